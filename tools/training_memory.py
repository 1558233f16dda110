"""What a training needs, worked out before it runs: memory of a GPU and of its machine, operations, network.

    shape = Shape(hidden=576, layers=30, heads=9, kv_heads=3, intermediate=1536, vocabulary=49152, tied=True)
    memory(shape, params)                     # bytes on one GPU, term by term
    fewest_gpus(shape, params)                # of 80 GB

Covers decoders in Llama's layout (gated MLP, no experts). Everything that one process holds was compared with a CPU
(docs/scaling.md); what several GPUs share out or send is worked out on paper alone. Does not cover inference, DoRA's own
activations, or an accelerate config of one's own.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from isheep_lib.errors import ParameterError
from isheep_lib.train.batch_plan import accumulation

FLOAT32, BFLOAT16 = 4, 2  # bytes
FOUR_BITS = 0.5 + 1 / 64 + 4 / (64 * 256)  # NF4; a constant of 8 bits for each 64 weights, one of 32 for each 256 of these
KINDS = ("ddp", "fsdp2", "zero3")
SHARDED = ("fsdp2", "zero3")
LIVE = 1_000_000_000  # weights that ZeRO-3 leaves gathered (stage3_max_live_parameters)

GPU_BYTES = 80e9
FREE = 0.1  # share of a GPU left for its context, NCCL's buffers and gaps between tensors
USED = 0.4  # share of a GPU's published peak that a training reaches, and of a link's rate: assumed
ROW_TOKENS = 200  # of a row: a released answer of iteration 1 has 121 words, prompt and frame come on top


@dataclass(frozen=True)
class Shape:
    """A model's shape, as in its config.

    Attributes:
        hidden: width of the residual stream, heads x width of a head.
        layers: decoder layers.
        heads: of queries.
        kv_heads: of keys and values.
        intermediate: width inside the MLP.
        vocabulary: rows of the embedding.
        tied: the embedding is the head, too.
        attention_bias: queries, keys and values have a bias.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied: bool = False
    attention_bias: bool = False

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """Width in and out of a layer's matrices by name."""
        narrow = self.hidden // self.heads * self.kv_heads
        attention = {"q_proj": self.hidden, "k_proj": narrow, "v_proj": narrow, "o_proj": self.hidden}
        gates = {"gate_proj": (self.hidden, self.intermediate), "up_proj": (self.hidden, self.intermediate)}
        named = {f"self_attn.{name}": (self.hidden, out) for name, out in attention.items()}
        return named | {
            f"mlp.{name}": sizes for name, sizes in (gates | {"down_proj": (self.intermediate, self.hidden)}).items()
        }

    @property
    def layer(self) -> int:
        """Weights of a layer: matrices, biases, two norms."""
        biases = sum(self.linear[f"self_attn.{name}"][1] for name in ("q_proj", "k_proj", "v_proj"))
        return self._matrices + (biases if self.attention_bias else 0) + 2 * self.hidden

    @property
    def _matrices(self) -> int:
        return sum(wide * out for wide, out in self.linear.values())

    @property
    def embedding(self) -> int:
        """Weights of the embedding, and again of the head where it is not tied."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.layers * self.layer + self.embedding * (1 if self.tied else 2) + self.hidden

    @property
    def multiplied(self) -> int:
        """Weights that every token is multiplied with: all matrices and the head; an embedding is looked up."""
        return self.layers * self._matrices + self.embedding

    @property
    def largest(self) -> int:
        """Weights of the largest matrix in a layer."""
        return max(wide * out for wide, out in self.linear.values())


def adapted(shape: Shape, params: Any) -> list[tuple[int, int]]:
    """Return width in and out of a layer's matrices that get an adapter."""
    targets = params.target_modules
    named = shape.linear.items()
    return [sizes for name, sizes in named if targets == ["all-linear"] or any(f".{name}".endswith(f".{t}") for t in targets)]


def lora_parameters(shape: Shape, params: Any) -> int:
    """Return layers x sum of rank x (in + out) over adapted matrices; DoRA adds a size for each row of a matrix."""
    each = sum(params.lora_rank * (wide + out) + (out if params.dora else 0) for wide, out in adapted(shape, params))
    return shape.layers * each


def trained_parameters(shape: Shape, params: Any) -> int:
    """Return how many weights learn."""
    return shape.parameters if params.method == "full" else lora_parameters(shape, params)


def memory(shape: Shape, params: Any, tokens: int = 0, learned: int = 0, device: str = "cuda") -> dict[str, float]:
    """Return the peak bytes on one GPU, term by term.

    Args:
        shape: of the model.
        params: `TrainParams`.
        tokens: of each row; `max_length` by default.
        learned: tokens of each row that have a loss; all by default.
        device: cuda, or cpu, where dropout keeps its noise as floats.

    Raises:
        ParameterError: `parallel` is a config of one's own.
    """
    kind, processes = parallel_of(params), params.num_processes
    trained, shared = trained_parameters(shape, params), processes if kind in SHARDED else 1
    tokens = tokens or params.max_length
    return {
        "frozen weights": frozen_bytes(shape, params) / shared,
        "weights in use": weights_in_use(shape, params),
        "trained weights": FLOAT32 * trained / shared,
        "gradients": FLOAT32 * trained / shared + gradient_copies(trained, params),
        "optimizer": 2 * FLOAT32 * trained / shared,
        "activations": activations(shape, params, params.micro_batch * tokens, device),
        "logits": logits(shape, params.micro_batch * (learned or tokens)),
    }


def parallel_of(params: Any) -> str:
    """Return ddp, fsdp2 or zero3, "" for one process."""
    if params.num_processes == 1:
        return ""
    if params.parallel not in KINDS:
        raise ParameterError(f"No estimate for {params.parallel}", where="train.parallel", allowed=", ".join(KINDS))
    return params.parallel


def width(params: Any) -> int:
    """Return the bytes of a number in the forward pass."""
    return BFLOAT16 if params.dtype == "bfloat16" else FLOAT32


def frozen_bytes(shape: Shape, params: Any) -> float:
    """Return the bytes of the weights that do not learn, whole.

    lora: 2 or 4 per weight. qlora: 4 bits and their constants in the layers' matrices, 4 bytes in everything else, which
    peft turns to float32. full: none.
    """
    if params.method == "full":
        return 0
    if params.method == "lora":
        return width(params) * shape.parameters
    quantized = shape.multiplied - shape.embedding
    return FOUR_BITS * quantized + FLOAT32 * (shape.parameters - quantized)


def weights_in_use(shape: Shape, params: Any) -> float:
    """Return the bytes of weights that are whole, or in another format, only while they are needed.

    fsdp2: the layer at work, the next one, and the head. zero3: what DeepSpeed leaves gathered, and the largest matrix.
    qlora: the largest matrix out of its 4 bits. full in bfloat16 and not in shards: the copies that autocast makes, of
    all matrices until the backward pass, of one layer and the head with gradient checkpointing.
    """
    kind, each = parallel_of(params), width(params)
    if kind == "fsdp2":
        return each * (2 * shape.layer + shape.embedding)
    if kind == "zero3":
        return each * min(shape.parameters, LIVE + max(shape.largest, shape.embedding))
    if params.method == "qlora":
        return each * shape.largest
    if params.method == "full" and each == BFLOAT16:
        return each * (shape.layer + shape.embedding if params.gradient_checkpointing else shape.multiplied)
    return 0


def gradient_copies(trained: int, params: Any) -> float:
    """Return the bytes of gradients beside those that the optimizer reads.

    ddp: its buckets. fsdp2: whole gradients, in the format of the pass, while a step has more than one pass per process.
    """
    kind = parallel_of(params)
    if kind == "ddp":
        return FLOAT32 * trained
    if kind == "fsdp2" and accumulation(params) > 1:
        return (width(params) if params.method == "full" else FLOAT32) * trained
    return 0


def activations(shape: Shape, params: Any, tokens: int, device: str) -> float:
    """Return the bytes that the backward pass needs of a forward pass of `tokens` tokens.

    Without gradient checkpointing all layers' (`saved_a_token`); with it each layer's input and one layer's.
    """
    each = saved_a_token(shape, params, device)
    if not params.gradient_checkpointing:
        return shape.layers * each * tokens
    stream = FLOAT32 if params.method == "full" else width(params)
    return (shape.layers * stream * shape.hidden + each) * tokens


def saved_a_token(shape: Shape, params: Any, device: str) -> int:
    """Return the bytes of one token that a layer keeps for the backward pass; h hidden, i intermediate, b bytes of a number.

    Attention: query, key, value, result (b each; keys and values repeated to all heads where rows are padded), and
    4 a head; a padded row's mask, b x its tokens, is left out. MLP: gate, its activation, up, 3 b i. Norms: their inputs
    in float32, 8 h.
    An adapter keeps its input after dropout in float32, each its own, the mask (a byte; on a CPU a float), and 4 rank.
    All weights: each matrix keeps its input, in bfloat16 each its own, 10 h + 2 i, in float32 shared, 8 h + 4 i; norms keep
    8 h more.
    """
    narrow = shape.linear["self_attn.k_proj"][1] if params.micro_batch == 1 else shape.hidden
    each = width(params)
    common = each * (2 * shape.hidden + 2 * narrow) + 4 * shape.heads + 3 * each * shape.intermediate + 8 * shape.hidden
    if params.method == "full":
        inputs = (10, 2) if each == BFLOAT16 else (8, 4)
        return common + (8 + inputs[0]) * shape.hidden + inputs[1] * shape.intermediate
    mask = (1 if device == "cuda" else FLOAT32) if params.lora_dropout else 0
    return common + sum((FLOAT32 + mask) * wide + 4 * params.lora_rank for wide, _ in adapted(shape, params))


def logits(shape: Shape, places: int) -> float:
    """Return the bytes of the loss at its peak, its backward pass: log-probabilities and two gradients, float32."""
    return 3 * FLOAT32 * shape.vocabulary * places


def host_bytes(shape: Shape, params: Any) -> float:
    """Return the bytes of weights in a machine's own memory while it loads them, at most.

    One process and ddp: a copy a process. Shards: one process reads, the others get theirs from it. qlora: a matrix at a
    time, straight to the GPU.
    """
    here = params.num_processes // params.num_machines
    each = FLOAT32 if params.method == "full" else width(params)
    if params.method == "qlora":
        return here * each * max(shape.largest, shape.embedding)
    return each * shape.parameters * (1 if parallel_of(params) in SHARDED else here)


def fits(shape: Shape, params: Any) -> bool:
    """Tell whether a training fits its GPUs, with `FREE` of each to spare."""
    return sum(memory(shape, params).values()) <= (1 - FREE) * GPU_BYTES


def fewest_gpus(shape: Shape, params: Any) -> int:
    """Return the smallest number of processes, at `params.micro_batch` rows each, that fits; 0 if none does."""
    most = params.train_batch // params.micro_batch
    tried = [SimpleNamespace(**{**vars(params), "num_processes": n}) for n in range(1, most + 1) if most % n == 0]
    return next((one.num_processes for one in tried if fits(shape, one)), 0)


def operations_a_token(shape: Shape, params: Any) -> float:
    """Return the floating-point operations of learning from one token; N weights multiplied, A of the adapter.

    lora and qlora: 2 N forward, 2 N backward through frozen weights, 6 A. full: 6 N. Gradient checkpointing: the forward
    pass again. Products of tokens with tokens are left out: 2 x layers x hidden x tokens more forward, 1 % for 72B and 1024.
    """
    forward = 2 * shape.multiplied
    adapter = 0 if params.method == "full" else lora_parameters(shape, params)
    again = forward + 2 * adapter if params.gradient_checkpointing else 0
    return forward * (3 if params.method == "full" else 2) + 6 * adapter + again


def steps(params: Any, kept: int) -> int:
    """Return the optimizer steps of a training on `kept` pairs."""
    return -(-learned_rows(params, kept) // params.train_batch) * params.epochs


def learned_rows(params: Any, kept: int) -> int:
    """Return how many of `kept` pairs are learned from, held-out ones taken off."""
    rows = min(params.max_rows, kept)
    return rows - max(1, round(params.held_out * rows))


def computing_seconds(shape: Shape, params: Any, kept: int, tokens: float, peak: float) -> float:
    """Return the seconds of computing: operations x rows x epochs x tokens per row, over all GPUs at `USED` of their peak."""
    total = operations_a_token(shape, params) * learned_rows(params, kept) * params.epochs * tokens
    return total / (params.num_processes * USED * peak)


def sent_a_step(shape: Shape, params: Any) -> float:
    """Return the bytes that a GPU sends in an optimizer step; n processes, each message passed on (n - 1) / n times.

    ddp: gradients in float32, summed and handed out, once per step. fsdp2: all weights twice a forward pass, gradients once
    a step. zero3: the same, but gradients after each pass.
    """
    kind, passed = parallel_of(params), (params.num_processes - 1) / params.num_processes
    gradients = passed * trained_parameters(shape, params) * (width(params) if params.method == "full" else FLOAT32)
    if kind not in SHARDED:
        return 2 * passed * FLOAT32 * trained_parameters(shape, params)
    gathered = 2 * passed * width(params) * shape.parameters * accumulation(params)
    return gathered + gradients * (accumulation(params) if kind == "zero3" else 1)


def sending_seconds(shape: Shape, params: Any, kept: int, rate: float) -> float:
    """Return the seconds that a link at `USED` of its rate needs for a whole training; some pass while GPUs compute."""
    return sent_a_step(shape, params) * steps(params, kept) / (USED * rate)
