"""An exported model in vLLM: it answers in the frame of its training and stops where it was trained to."""

import json
import shutil

import pytest
import torch

from isheep_lib.engines.vllm_setup import check_installed, prepare
from isheep_lib.errors import EngineError
from isheep_lib.export.run import export
from isheep_lib.models.base import find_model
from isheep_lib.prompting.chat import get_frame
from tests.export.test_export import made


def installed():
    try:
        check_installed()
    except EngineError:
        return False
    return True


pytestmark = [pytest.mark.vllm, pytest.mark.skipif(not installed(), reason="vllm is not installed (make setup-vllm)")]
ASKED = "Name the capital of France."


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run whose adapter changes little, so that answers end."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model, folder = find_model("embedded:smollm2-135m-instruct"), tmp_path_factory.mktemp("run")
    torch.manual_seed(5)
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32),
        LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    for name, values in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(values, std=0.003)
    adapter = folder / "iter-1/train/adapter"
    adapted.save_pretrained(adapter)
    (adapter / "README.md").unlink()
    config = json.loads((adapter / "adapter_config.json").read_text()) | {"base_model_name_or_path": model.name}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    made(folder, 1, model)
    yield export(folder, 1, merged=True)
    shutil.rmtree(folder)


MESSAGES = [{"role": "user", "content": ASKED}]


def answered(path, tokenizer, **more):
    """Answer with vLLM, greedily; the exported template and generation config decide the rest."""
    from vllm import LLM, SamplingParams

    asked = {name: more.pop(name) for name in ("lora_request", "chat_template") if name in more}
    llm = LLM(str(path), dtype="float32", max_model_len=512, enforce_eager=True, enable_chunked_prefill=False, **more)
    stops = SamplingParams(temperature=0.0, max_tokens=64)
    (found,) = llm.chat(MESSAGES, stops, use_tqdm=False, **asked)
    llm.llm_engine.engine_core.shutdown()
    assert found.prompt_token_ids == tokenizer(get_frame("chatml", "Be brief.", tokenizer).prompt(ASKED))["input_ids"]
    assert found.outputs[0].finish_reason == "stop"
    return list(found.outputs[0].token_ids)


def test_vllm_says_of_the_merged_folder_and_of_the_adapter_what_transformers_says(exported):
    prepare(torch.cuda.is_available(), 1)
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from vllm.lora.request import LoRARequest

    tokenizer = AutoTokenizer.from_pretrained(exported / "merged")
    inputs = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    plain = AutoModelForCausalLM.from_pretrained(exported / "merged")
    answer = plain.generate(**inputs, max_new_tokens=64, do_sample=False)[0, inputs["input_ids"].shape[1] :].tolist()
    assert answer[-1] == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert answered(exported / "merged", tokenizer) == answer
    adapter = {"lora_request": LoRARequest("own", 1, str(exported / "adapter")), "enable_lora": True, "max_lora_rank": 8}
    adapter["chat_template"] = (exported / "chat_template.jinja").read_text()
    assert answered(find_model("embedded:smollm2-135m-instruct").path, tokenizer, **adapter) == answer
