"""Ratios of the engines: each against the plain way of doing the same, in one run on one machine.

    python benchmarks/engines.py                       # all measurements, each side in a process of its own
    python benchmarks/engines.py generation logprobs   # some

Sides of one comparison run one after the other, twice, and the faster time counts: what else the machine does only adds.
"""

import argparse
import importlib.util
import itertools
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
from openai import OpenAI, OpenAIError

from isheep_lib.engines.open import open_engine
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Engine, Request
from isheep_lib.models.base import find_model
from isheep_lib.prompting.chat import get_frame
from isheep_lib.prompting.prompt_files import english
from isheep_lib.record.provenance import versions

MODEL = "embedded:smollm2-135m-instruct"
ROUNDS = 2
# Lengths, in this model's tokens, of the 2038 instructions that the authors released for round one of their 72B run:
# 48 quantiles.
LENGTHS = [
    *(
        7,
        8,
        10,
        11,
        11,
        12,
        13,
        14,
        15,
        16,
        16,
        17,
        18,
        19,
        19,
        20,
        21,
        21,
        22,
        23,
        24,
        25,
        26,
        27,
        28,
        29,
        30,
        31,
        32,
        34,
        35,
        37,
    ),
    *(39, 41, 43, 46, 49, 51, 54, 58, 65, 71, 79, 87, 101, 118, 147, 220),
]
NEW_TOKENS, TEMPERATURE, TOP_P = 192, 0.7, 0.95
PAIRS = 12
SEEDS = Path(__file__).parents[1] / "seeds" / "tasks.jsonl"


def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(find_model(MODEL).path, padding_side="left")


def texts(lengths: list[int]) -> list[str]:
    """Cut texts of given token lengths out of the seed tasks."""
    words, known = tokenizer(), [json.loads(line) for line in SEEDS.read_text(encoding="utf-8").splitlines()]
    stream = itertools.cycle(f"{row['instruction']} {row['input']} {row['output']}" for row in known)
    found = []
    for length in lengths:
        tokens: list[int] = []
        while len(tokens) < length:
            tokens += words(next(stream), add_special_tokens=False)["input_ids"]
        found.append(words.decode(tokens[:length]))
    return found


def requests() -> list[Request]:
    """Ask for answers to instructions of the released lengths, in a random order of arrival."""
    frame = get_frame("chatml", "You are a helpful assistant.", tokenizer())
    lengths = random.Random(0).sample(LENGTHS, len(LENGTHS))
    return [
        Request(f"r{i}", frame.prompt(text), NEW_TOKENS, TEMPERATURE, TOP_P, i, (frame.end,))
        for i, text in enumerate(texts(lengths))
    ]


def pairs(kind: str) -> list[tuple[str, str]]:
    """Make texts to score: twice the instructions by themselves, or with answers of 4 to 280 tokens after them."""
    asked = texts(LENGTHS)
    if kind == "instructions":
        return random.Random(1).sample([("", text) for text in asked] * 2, 2 * len(asked))
    rests = texts([4 + 7 * (i % 40) for i in range(len(asked))])
    return random.Random(1).sample(list(zip(asked, rests, strict=True)), len(asked))


def engine(name: str = "transformers", **changes: object) -> Engine:
    settings = Model(**{"base_model": MODEL, "engine": name, "inference_dtype": "float32", "context_tokens": 2048, **changes})
    return open_engine(find_model(MODEL), settings)


def plain_model(dtype: str = "float32"):
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(find_model(MODEL).path, dtype=getattr(torch, dtype)).eval()


def timed(work: Callable[[], int]) -> dict:
    """Run work that returns how much it did; report seconds and how far the peak of memory rose meanwhile."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    done = work()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"done": done, "seconds": round(seconds, 2), "rise_mb": (peak - before) // 1024, "peak_mb": peak // 1024}


def generate_with(which: Engine) -> dict:
    asked = requests()
    return timed(lambda: sum(c.num_tokens for group in which.generate(which.batches(asked)) for c in group))


def plain_loop(dtype: str = "float32") -> dict:
    """Generate as a first script would: batches of 8 in the order of arrival, `model.generate`."""
    import torch

    model, words, asked = plain_model(dtype), tokenizer(), requests()

    def work() -> int:
        torch.manual_seed(0)
        total = 0
        for first in range(0, len(asked), 8):
            batch = words(
                [r.prompt for r in asked[first : first + 8]], return_tensors="pt", padding=True, add_special_tokens=False
            )
            sampling = {"do_sample": True, "temperature": TEMPERATURE, "top_p": TOP_P, "top_k": 0}
            out = model.generate(**batch, max_new_tokens=NEW_TOKENS, pad_token_id=words.pad_token_id, **sampling)
            for row in out[:, batch["input_ids"].shape[1] :].tolist():
                total += row.index(words.eos_token_id) + 1 if words.eos_token_id in row else len(row)
        return total

    return timed(work)


def bare_vllm() -> dict:
    """Generate by vLLM's own call, with the same model settings, tokens and sampling as our engine gives it."""
    which, asked = engine("vllm"), requests()
    llm = which._open("generate")  # the same LLM, so that only the way of asking differs
    prompts = [{"prompt_token_ids": which.vocabulary.encode(r.prompt)} for r in asked]
    sampling = [which._sampling(r) for r in asked]
    return timed(lambda: sum(len(out.outputs[0].token_ids) for out in llm.generate(prompts, sampling, use_tqdm=False)))


def vllm_engine() -> dict:
    which = engine("vllm")
    which._open("generate")
    return generate_with(which)


def server_engine() -> dict:
    """Generate by one vLLM server on this machine; its processes' memory counts."""
    folder, name = str(find_model(MODEL).path), "benchmark"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", folder, "--served-model-name", name]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--max-model-len", "2048", "--enforce-eager"]
    command += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", "2048"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "2"}}
    with subprocess.Popen(command, start_new_session=True, **quiet) as process:
        try:
            url = f"http://127.0.0.1:{port}/v1"
            while not _answers(url):
                time.sleep(1)
            result = generate_with(engine("server", base_urls=[url], served_model=name))
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            return {**result, "peak_mb": sum(one.memory_info().rss for one in family) // 2**20, "rise_mb": 0}
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _answers(url: str) -> bool:
    try:
        return bool(OpenAI(base_url=url, api_key="none", max_retries=0).models.list().data)
    except OpenAIError:
        return False


def judge_prompts(form: str) -> list[str]:
    """Ask both questions about each pair, or, as an explanation, in the same words."""
    frame = get_frame("chatml", "You are a helpful assistant.", tokenizer())
    shown = list(zip(texts(LENGTHS[12 : 12 + 2 * PAIRS : 2]), texts([60 + 20 * i for i in range(PAIRS)]), strict=True))
    asked = [
        frame.prompt(english().render(f"{axis}-combined.txt", task=task, response=answer))
        for axis in ("quality", "following")
        for task, answer in shown
    ]
    return asked if form == "both" else asked[: len(asked) // 2]


def expected_scores() -> dict:
    which, asked = engine(), judge_prompts("both")
    return timed(lambda: len(which.choices(asked, [str(n) for n in range(1, 11)])) // 2)


def written_explanations() -> dict:
    """Write a score and an explanation of up to 256 tokens for both questions, by the same engine."""
    which = engine()
    asked = [Request(f"p{i}", text, 256, 0.7, 0.95, i, ("<|im_end|>",)) for i, text in enumerate(judge_prompts("both"))]
    return timed(lambda: sum(len(group) for group in which.generate(which.batches(asked))) // 2)


def logprobs_batched(kind: str) -> dict:
    which, asked = engine(), pairs(kind)
    return timed(lambda: sum(n for _, n in which.logprobs(asked)))


def logprobs_plain(kind: str) -> dict:
    """Score one text at a time, as a first script would."""
    import torch

    model, words, asked = plain_model(), tokenizer(), pairs(kind)

    def work() -> int:
        total = 0
        with torch.inference_mode():
            for context, rest in asked:
                before = words(context)["input_ids"] or [words.bos_token_id]
                after = words(rest)["input_ids"]
                logs = model(input_ids=torch.tensor([before + after])).logits[0].log_softmax(-1)
                logs[len(before) - 1 : -1].gather(1, torch.tensor(after)[:, None]).sum().item()
                total += len(after)
        return total

    return timed(work)


def logprobs_whole() -> dict:
    """Score in batches of 4096 tokens and keep the vocabulary logits of all positions, as a plain script does."""
    import torch

    model, words, asked = plain_model(), tokenizer(), pairs("answers")
    rows = sorted([words(a)["input_ids"] + words(b)["input_ids"] for a, b in asked], key=len)

    def work() -> int:
        with torch.inference_mode():
            first = 0
            while first < len(rows):
                size = max(1, 4096 // len(rows[min(first + 12, len(rows) - 1)]))
                group = rows[first : first + size]
                width = max(map(len, group))
                tokens = torch.tensor([[words.pad_token_id] * (width - len(row)) + row for row in group])
                mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in group])
                logs = model(input_ids=tokens, attention_mask=mask).logits[:, :-1].log_softmax(-1)
                logs.gather(2, tokens[:, 1:, None])
                first += size
        return sum(len(words(rest)["input_ids"]) for _, rest in asked)

    return timed(work)


NOTE = """Sides ran twice, the faster time counts; lengths are those of the released instructions, float32, temperature 0.7.
Scoring long answers one at a time comes close to what a CPU's matrix products allow, so batches gain little there."""
SIDES: dict[str, Callable[[], dict]] = {
    "transformers engine": lambda: generate_with(engine()),
    "transformers engine, bfloat16": lambda: generate_with(engine(inference_dtype="bfloat16")),
    "generate, 8 in order of arrival": plain_loop,
    "generate, the same in bfloat16": lambda: plain_loop("bfloat16"),
    "vllm engine": vllm_engine,
    "bare LLM.generate": bare_vllm,
    "server engine, one vLLM server": server_engine,
    "expected scores": expected_scores,
    "written explanations": written_explanations,
    "logprobs of instructions": lambda: logprobs_batched("instructions"),
    "one instruction at a time": lambda: logprobs_plain("instructions"),
    "logprobs of answers": lambda: logprobs_batched("answers"),
    "one answer at a time": lambda: logprobs_plain("answers"),
    "whole logits of answers": logprobs_whole,
}
# Name, what is better, over what, what is compared, the target.
COMPARISONS = {
    "generation": ("transformers engine", "generate, 8 in order of arrival", "tokens/s", 1.5),
    "bfloat16": ("transformers engine, bfloat16", "generate, the same in bfloat16", "tokens/s", 1.5),
    "vllm": ("vllm engine", "bare LLM.generate", "tokens/s", 0.95),
    "server": ("server engine, one vLLM server", "bare LLM.generate", "tokens/s", None),
    "assessment": ("expected scores", "written explanations", "pairs/s", 4.0),
    "logprobs": ("logprobs of instructions", "one instruction at a time", "tokens/s", 1.5),
    "logprobs-answers": ("logprobs of answers", "one answer at a time", "tokens/s", 1.5),
    "memory": ("logprobs of answers", "whole logits of answers", "rise of peak memory", 1 / 3),
}


def measure(side: str) -> dict:
    """Run one side in a process of its own, `ROUNDS` times, and keep the fastest."""
    found = []
    for _ in range(ROUNDS):
        command = [sys.executable, __file__, "--side", side]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(result.stdout.splitlines()[-1]))
    best = min(found, key=lambda one: one["seconds"] / one["done"])
    return {**best, "rise_mb": min(one["rise_mb"] for one in found)}


def main() -> None:
    """Print one row per side and one per comparison."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help=f"of {', '.join(COMPARISONS)}")
    parser.add_argument("--side", help="measure one side and print it as JSON")
    given = parser.parse_args()
    if given.side:
        print(json.dumps(SIDES[given.side]()))
        return
    chosen = {name: COMPARISONS[name] for name in given.names or COMPARISONS}
    if importlib.util.find_spec("vllm") is None:
        print("vllm and server: not measured, vLLM is not installed (make setup-vllm)", file=sys.stderr)
        chosen = {name: one for name, one in chosen.items() if name not in ("vllm", "server")}
    sides = dict.fromkeys(side for one, other, *_ in chosen.values() for side in (one, other))
    found = {}
    for side in sides:
        print(f"measuring: {side}", file=sys.stderr, flush=True)
        found[side] = SimpleNamespace(**measure(side))
    print(f"# Engines, measured\n\nWritten by `python benchmarks/engines.py`: {MODEL}, {_machine()}.\n")
    print(_markdown([_row(side, one) for side, one in found.items()]))
    rows = []
    for name, (one, other, unit, target) in chosen.items():
        wanted = f"{'at most' if unit.startswith('rise') else 'at least'} {target:.2f}" if target else "none"
        ratio = f"{_ratio(found[one], found[other], unit):.2f}"
        rows.append({"comparison": name, "of": one, "over": other, "in": unit, "ratio": ratio, "target": wanted})
    print(_markdown(rows))
    print(NOTE)


def _machine() -> str:
    import torch

    kept = {name: number for name, number in versions().items() if name in ("torch", "transformers", "vllm")}
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{os.cpu_count()} cores ({capability}), " + ", ".join(f"{name} {number}" for name, number in kept.items())


def _markdown(rows: list[dict]) -> str:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (rows[0], rows[0].fromkeys(rows[0], "---").values())]
    lines += ["| " + " | ".join(map(str, row.values())) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _row(side: str, one: SimpleNamespace) -> dict:
    rate = f"{one.done / one.seconds:.1f}"
    return {
        "side": side,
        "tokens or pairs": one.done,
        "seconds": one.seconds,
        "a second": rate,
        "rise of memory (MB)": one.rise_mb,
        "peak (MB)": one.peak_mb,
    }


def _ratio(one: SimpleNamespace, other: SimpleNamespace, unit: str) -> float:
    if unit.startswith("rise"):
        return one.rise_mb / max(1, other.rise_mb)
    return (one.done / one.seconds) / (other.done / other.seconds)


if __name__ == "__main__":
    main()
