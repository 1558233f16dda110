"""The model that learns: an adapter, an adapter on a base in 4 bits, or all weights; and what a base offers to train.

Covers loading and peft's configuration. Does not cover training (`train.trainer`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.pytorch_utils import Conv1D

from isheep_lib.engines.tokens import own_context
from isheep_lib.errors import TrainingError
from isheep_lib.models.load import load_config
from isheep_lib.train import exact
from isheep_lib.train.dataset import TrainRow
from isheep_lib.train.job import Job
from isheep_lib.train.loss import tensors, token_losses
from isheep_lib.train.params import Train

PACKED_TOLERANCE = 1e-3  # nats per token; other sums in float32 stay a hundred times below


def load_trainable(job: Job) -> Any:
    """Load the weights and put what is to be trained on them.

    LoRA's own weights and arithmetic are float32 on a base in any format, and float64 as the base in exact training; all
    weights are trained in float32, with the forward pass in `dtype`.
    """
    params = job.params
    more: dict[str, Any] = {}
    if params.method == "qlora":
        more["quantization_config"] = four_bits(params.dtype)
        more["device_map"] = {"": torch.cuda.current_device()}
    dtype = torch.float32 if params.method == "full" else getattr(torch, params.dtype)
    if params.numerics == "exact":
        dtype = torch.float64
    more["config"] = load_config(job.model)
    model = AutoModelForCausalLM.from_pretrained(job.model, dtype=dtype, use_safetensors=True, trust_remote_code=False, **more)
    if params.method == "full":
        return model
    if params.method == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=params.gradient_checkpointing)
    torch.manual_seed(job.seed)  # right before the adapter's random matrices
    return get_peft_model(model, lora_config(params))


def check_targets(folder: Path, params: Train) -> None:
    """Refuse layers that a model lacks or that take no adapter (TrainingError), naming those it has; no weights are read."""
    targets = params.target_modules
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(load_config(folder))
    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear | Conv1D)]
    allowed = ", ".join(["all-linear", *dict.fromkeys(name.rpartition(".")[2] for name in linear)])
    wanted = [] if targets == ["all-linear"] else targets
    absent = [target for target in wanted if not any(f".{name}".endswith(f".{target}") for name in linear)]
    if absent:
        what = f"No layer of the model is called {', '.join(absent)}"
        raise TrainingError(what, where="train.target_modules", allowed=allowed)
    try:
        get_peft_model(model, lora_config(params))
    except ValueError as error:  # of Mamba's layers some are read by kernels that would pass an adapter by
        do = "name the layers in train.target_modules and leave these out"
        raise TrainingError(str(error), where="train.target_modules", allowed=allowed, do=do) from error


def check_context(folder: Path, rows: Sequence[TrainRow]) -> None:
    """Refuse rows that are longer than the model's context (TrainingError); its weights are not read."""
    config = load_config(folder).get_text_config()
    limit = own_context(folder, config, AutoTokenizer.from_pretrained(folder, trust_remote_code=False))
    long = [row.id for row in rows if limit and len(row.input_ids) > limit]
    if long:
        raise TrainingError(
            f"{len(long)} row(s) are longer than the model's context, such as {long[0]}",
            where="train.max_length",
            allowed=f"at most {limit} tokens",
            do="lower train.max_length, which shortens them",
        )


def check_packing(folder: Path) -> None:
    """Refuse packed rows where a model lets them see one another (TrainingError); a random layer of each kind is tried."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _sample(folder, torch.float32).eval()
        rows = _sample_rows(model, 3)
    with torch.inference_mode():
        alone = torch.cat([token_losses(model, tensors([row], packed=False), True)[0].flatten() for row in rows])
        together = token_losses(model, tensors(rows, packed=True), True)[0].flatten()
    apart = (alone - together).abs().max().item()
    if not apart < PACKED_TOLERANCE:
        raise TrainingError(
            f"Packed rows would see one another in this model: their losses change by up to {apart:.3f} nats per token",
            where=f"train.batching packed, attention {model.config._attn_implementation}",
            do="set train.batching to grouped",
        )


def _sample(folder: Path, dtype: torch.dtype) -> Any:
    """Make a model of random weights that has a layer of each kind and few words."""
    config = load_config(folder).get_text_config()
    kinds = getattr(config, "layer_types", None) or [""]
    config.num_hidden_layers = max(kinds.index(kind) for kind in kinds) + 1
    config.vocab_size, config.pad_token_id = min(config.vocab_size, 1000), None  # no gigabytes of embeddings
    config.initializer_range = 2 * config.hidden_size**-0.5  # weights that let a leak be seen
    return AutoModelForCausalLM.from_config(config, dtype=dtype)


def _sample_rows(model: Any, number: int) -> list[TrainRow]:
    return [TrainRow(str(i), torch.randint(model.config.vocab_size, (40,)).tolist(), 1) for i in range(number)]


def check_double(folder: Path, params: Train) -> None:
    """Refuse a model that leaves float64 when it learns (TrainingError); a random layer of each kind is tried."""
    with torch.random.fork_rng(), exact.arithmetic(params):
        model = get_peft_model(_sample(folder, torch.float64), lora_config(params)).train()
        inputs = tensors(_sample_rows(model, 2), params.batching == "packed")
        with exact.watch():
            token_losses(model, inputs, True)[0].sum().backward()


def four_bits(dtype: str) -> BitsAndBytesConfig:
    """Return QLoRA's format of the base: NF4 with quantized constants (arXiv 2305.14314)."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )


def lora_config(params: Train) -> LoraConfig:
    """Return peft's configuration of the adapter."""
    targets = params.target_modules
    return LoraConfig(
        r=params.lora_rank,
        lora_alpha=params.lora_alpha,
        lora_dropout=params.lora_dropout,
        target_modules=targets[0] if targets == ["all-linear"] else targets,
        use_dora=params.dora,
        use_rslora=params.rslora,
        task_type="CAUSAL_LM",
    )
