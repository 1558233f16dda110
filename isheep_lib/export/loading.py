"""How others load an exported model: lines for peft, transformers and vLLM that run in the export's folder as they are.

    lines = loading(record, weights)      # paragraphs and blocks of code for the model card

Covers what a card says of loading. Does not cover its other parts (`export.model_card`) or what is written (`export.run`).
"""

import json
import shlex
from dataclasses import dataclass

from isheep_lib.export.contents import Base, Record
from isheep_lib.export.markdown import block, code
from isheep_lib.prompting.chat import Frame

ASKED = "Name three uses of salt."


@dataclass(frozen=True)
class Weights:
    """What an export holds of a model.

    Attributes:
        adapters: folders of adapters, in the order in which they apply; none where all weights were trained.
        whole: folder of a model that loads by itself, "" where there is none.
        frame: the chat frame of the training.
        ends: tokens at which an answer ends, the frame's own included; none where that is no single token.
        knows_end: the base ends its answers at the frame's end by itself.
        rank: what vLLM must make room for to apply the adapter; 0 where it cannot apply it.
        takes_system: the frame has a place for a system prompt.
        same: pairs whose task the template turns into the tokens that the training read.
    """

    adapters: tuple[str, ...]
    whole: str
    frame: Frame
    ends: tuple[int, ...]
    knows_end: bool
    rank: int
    takes_system: bool
    same: int


def loading(record: Record, weights: Weights) -> list[str]:
    """Say how the model is loaded, with code that runs in the export's folder."""
    found: list[str] = []
    if weights.adapters:
        found += [base_note(record.base), "With peft, from this folder:", block(peft_code(record, weights), "python")]
        if len(weights.adapters) > 1:
            found.append(
                "Each adapter was trained on the model that the ones before it make, so they are merged one after the other."
            )
    if weights.whole:
        said = "`merged/` holds the base with the adapters merged in, in float32" if weights.adapters else "`model/` is whole"
        found += [f"{said}; with transformers:", block(whole_code(weights), "python")]
    found += ["With vLLM:", block(vllm_code(record, weights), "bash")]
    if not weights.ends:
        found.append(
            f"Answers end with a text of several tokens: send {code(json.dumps({'stop': [weights.frame.end]}))} with requests."
        )
    elif weights.rank and not weights.whole and not weights.knows_end:
        stop = code(json.dumps({"stop_token_ids": list(weights.ends)}))
        found.append(f"The base does not end its answers where this model does: send {stop} with requests.")
    return found


def base_note(base: Base) -> str:
    """Say how the base is got."""
    if base.package:
        return (
            f"The base is the model that the Python package {code(base.package)} ships (4-bit weights of {base.repository}), "
            "which isheep turns into safetensors once; `isheep_lib.models.base.find_model` finds the folder. An adapter "
            "belongs to these weights, not to those in that repository."
        )
    if base.repository:
        return f"The base is {code(base.repository)} at the commit {code(base.revision)}."
    return (
        f"The base was a folder of the machine that made the run, {code(base.name)}: put the path of the same model there. "
        "Its digest is above."
    )


def peft_code(record: Record, weights: Weights) -> str:
    """Write the lines that load the adapters beside the base and ask the model."""
    base = record.base
    found = f'find_model("{base.name}").path' if base.package else json.dumps(base.repository or base.name)
    revision = f', revision="{base.revision}"' if base.revision else ""
    if len(weights.adapters) == 1:
        apply = [f'model = PeftModel.from_pretrained(model, "{weights.adapters[0]}")']
    else:
        listed = ", ".join(f'"{name}"' for name in weights.adapters)
        apply = [f"for adapter in [{listed}]:"]
        apply.append("    model = PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)")
    lines = [
        *("from pathlib import Path", ""),
        *(["from isheep_lib.models.base import find_model"] if base.package else []),
        *("from peft import PeftModel", "from transformers import AutoModelForCausalLM, AutoTokenizer", ""),
        f"base = {found}",
        f"tokenizer = AutoTokenizer.from_pretrained(base{revision})",
        'tokenizer.chat_template = Path("chat_template.jinja").read_text(encoding="utf-8")',
        f'model = AutoModelForCausalLM.from_pretrained(base{revision}, dtype="{record.params["dtype"]}")',
        *apply,
    ]
    return "\n".join([*lines, *_asking(weights)])


def whole_code(weights: Weights) -> str:
    """Write the lines that load the whole model and ask it."""
    lines = [
        *("from transformers import AutoModelForCausalLM, AutoTokenizer", ""),
        f'tokenizer = AutoTokenizer.from_pretrained("{weights.whole}")',
        f'model = AutoModelForCausalLM.from_pretrained("{weights.whole}")',
    ]
    return "\n".join([*lines, *_asking(weights)])


def _asking(weights: Weights) -> list[str]:
    ends = (
        f"eos_token_id={list(weights.ends)}"
        if weights.ends
        else f"stop_strings=[{json.dumps(weights.frame.end)}], tokenizer=tokenizer"
    )
    return [
        "",
        f'messages = [{{"role": "user", "content": "{ASKED}"}}]',
        'inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")',
        f"answer = model.generate(**inputs, max_new_tokens=200, {ends})",
        'print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
    ]


def vllm_code(record: Record, weights: Weights) -> str:
    """Write the command that serves the model."""
    base, dtype = record.base, record.params["dtype"]
    name = shlex.quote(f"{record.run_dir.name}-{record.iteration}")
    if weights.whole:
        return f"vllm serve {weights.whole} --served-model-name {name} --dtype {dtype}"
    if not weights.rank:
        return "# vLLM cannot apply this as an adapter: export it with --merged, then vllm serve merged"
    folder = shlex.quote(base.repository if base.revision else base.name)
    if base.package:
        folder = f'"$(python -c "from isheep_lib.models.base import find_model; print(find_model(\'{base.name}\').path)")"'
    pinned = f" --revision {base.revision} --tokenizer-revision {base.revision}" if base.revision else ""
    lora = f"--enable-lora --max-lora-rank {weights.rank} --lora-modules {name}=adapter"
    return f"vllm serve {folder}{pinned} --dtype {dtype} \\\n  {lora} --chat-template chat_template.jinja"
