"""Every parameter of a run: its name, type, range, default and meaning, in one place.

A params file is one complete run; its sections are the section classes below. A stage notebook's parameters
are the flat union of `Place`, `Model` and the stage's section.

Covers what there is. Does not cover checking (`params_check`), or where a run's parameters are kept (`store`).
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from isheep_lib.scorers import Level, Scorer
from isheep_lib.sections import (
    Against,
    Entries,
    EvaluatedPlace,
    Fields,
    FrameName,
    Model,
    Place,
    Positive,
    Rows,
    Scorers,
    Section,
    Shard,
    Share,
    Sources,
    Stops,
    TrainedModel,
    Urls,
    distinct,
    execution,
    routing,
)
from isheep_lib.training_params import Train

Corruption = Literal["shuffled", "truncated", "wrong_task"]
FilterStep = Literal["rules", "threshold", "perplexity", "density", "density_perplexity", "top"]
Judged = Literal["alpaca_eval", "mt_bench"]
DEFAULT_TASKS = [
    *("ifeval:64", "boolq:24", "piqa:32", "social_iqa:32", "hellaswag:24", "winogrande:32", "arc_easy:32", "arc_challenge:32"),
    *("openbookqa:32", "commonsense_qa:32", "mmlu:32", "triviaqa:32", "nq_open:32", "humaneval:8", "mbpp:8"),
]


class Synthesize(Section):
    """Instructions in context, then responses (paper, Algorithm 1, first two steps)."""

    seeds: str = Field("seeds/tasks.jsonl", description="seed tasks: file, or org/name@revision of a dataset", min_length=1)
    seed_fields: Fields = Field([], description="fields of other names: our name, an equals sign, theirs")
    instructions: Positive = Field(56, description="new instructions wanted, the data size I of the paper")
    min_instructions: Positive = Field(24, description="fewer than this stops the run")
    demonstrations: Positive = Field(5, description="tasks shown in a prompt")
    generated_demonstrations: int = Field(0, description="of them tasks accepted earlier in the run, at most", ge=0)
    demonstration_choice: Literal["uniform", "inverse_perplexity", "perplexity", "one_a_cluster"] = Field(
        "uniform", description="how seeds are drawn: alike, by 1 / perplexity, by perplexity, one a K-means cluster"
    )
    tasks_per_prompt: Positive = Field(10, description="tasks that a prompt asks for, the shown ones included")
    prompts_per_batch: Positive = Field(32, description="prompts generated before new tasks are compared")
    max_batches: Positive = Field(4, description="batches after which the stage takes what it has")
    instruction_temperature: float = Field(0.7, description="sampling temperature, 0 is greedy", ge=0.0, le=5.0)
    instruction_top_p: float = Field(0.9, description="nucleus sampling mass", gt=0.0, le=1.0)
    instruction_tokens: Positive = Field(128, description="new tokens a prompt may yield")
    instruction_stops: Stops = Field(
        [], description="texts that end a list, none is the number after tasks_per_prompt on a new line"
    )
    instruction_rules: bool = Field(True, description="apply the heuristic rules to instructions")
    max_rouge: Share = Field(0.7, description="ROUGE-L F against earlier tasks, more is a duplicate")
    dedup_scope: Literal["batch", "round", "run"] = Field(
        "run", description="earlier tasks: the seeds and those of the batch, the iteration, or the whole run"
    )
    response_temperature: float = Field(0.7, description="sampling temperature, 0 is greedy", ge=0.0, le=5.0)
    response_top_p: float = Field(0.95, description="nucleus sampling mass", gt=0.0, le=1.0)
    response_tokens: Positive = Field(192, description="new tokens a response may have")


class Assess(Section):
    """Self-assessment of every pair, and how far it can be trusted."""

    scorers: Scorers = Field(["mutual_information"], description="scorers run on all pairs, none to assess nothing")
    level: Level = Field("both", description="axes that prompted scorers ask about")
    assessment_prompt: Literal["combined", "simple", "icl"] = Field(
        "combined", description="criteria together, one criterion, or with scored examples"
    )
    judge: Literal["current", "base"] = routing("current", "who judges: the model that answered, or the base model")
    sampled_temperature: float = Field(1.0, description="temperature of the scorer sampled", gt=0.0, le=5.0)
    sampled_top_p: float = Field(1.0, description="nucleus sampling mass of the scorer sampled", gt=0.0, le=1.0)
    written_tokens: Positive = Field(16, description="new tokens of a written score and its explanation")
    parse_retries: int = Field(0, description="times that an unreadable sampled score is sampled again", ge=0)
    max_unread: Share = Field(0.5, description="share of pairs without a readable score, more stops the run")
    vectors: bool = Field(False, description="write the pairs' final-layer vectors, which density filters need")
    checked_scorers: Scorers = Field(
        ["mutual_information", "expected", "greedy"], description="scorers whose reliability is checked"
    )
    corruptions: Annotated[list[Corruption], AfterValidator(distinct)] = Field(
        ["shuffled", "truncated", "wrong_task"], description="wrong responses that true ones are told from"
    )
    checked_pairs: int = Field(12, description="pairs in the self-assessment check, drawn by seed", ge=4)
    bootstrap: int = Field(1000, description="bootstrap resamples of an AUROC interval", ge=100)


class Filter(Section):
    """Decontamination, then steps in the order given, each with its own line in the funnel."""

    decontaminate: Literal["drop", "list", "ignore"] = Field(
        "drop", description="pairs that repeat a benchmark item: dropped, only listed, or not looked for"
    )
    decontaminate_against: Against = Field(
        ["all"], description="benchmarks whose items no pair may repeat, or all; own data after an equals sign"
    )
    steps: Annotated[list[FilterStep], AfterValidator(distinct)] = Field(
        ["rules", "threshold"], description="filters in order; none at all is the C of -1 in the paper, rules alone its C of 0"
    )
    max_copy_share: Share = Field(0.5, description="rules: share of the response copied from the task, more is an echo")
    scorer: Scorer = Field("mutual_information", description="threshold: whose scores decide")
    axes: Level = Field("both", description="threshold and top: axes of a prompted scorer that decide")
    threshold: float = Field(0.25, description="threshold: C of the paper")
    comparison: Literal["above", "at_least", "below", "at_most"] = Field(
        "above", description="threshold: what a kept score is; the paper's is strictly above"
    )
    max_output_perplexity: float = Field(50.0, description="perplexity: limit of the response, more is dropped", gt=0.0)
    max_pair_perplexity: float = Field(50.0, description="perplexity: limit of task and response together", gt=0.0)
    clusters: int = Field(0, description="density: K of K-means, 0 is three tenths of the pairs (3000 of 10000)", ge=0)
    rows_per_cluster: Positive = Field(1, description="density: pairs kept of a cluster, at random or the lowest perplexity")
    top_scorer: Scorer = Field("mutual_information", description="top: whose scores rank, the mean of its columns")
    top_end: Literal["highest", "lowest"] = Field("highest", description="top: which end of the ranking is kept")
    top_share: float = Field(0.5, description="top: share of the pairs kept", gt=0.0, le=1.0)
    random_control: bool = Field(False, description="keep as many pairs as the steps would, drawn from those that pass rules")
    min_kept: Positive = Field(16, description="fewer than this stops the run")


class Evaluate(Section):
    """Benchmarks, and what a collapse would show in."""

    tasks: Entries = Field(
        DEFAULT_TASKS, description="benchmarks, each whole or with the size of its fixed seeded subset after a colon"
    )
    data: Sources = Field([], description="own data: benchmark, an equals sign, and a file or org/name@revision of the hub")
    subset_seed: int = Field(0, description="which subsets, the same for every iteration", ge=0)
    few_shot: int = Field(0, description="solved examples before a question, where the data hold some (MMLU)", ge=0, le=5)
    answer_tokens: Positive = Field(256, description="new tokens of an open answer or a program; short answers have their own")
    code_sandbox: Literal["required", "unconfined"] = Field(
        "required", description="without a sandbox, benchmarks that run programs are left out by name, or run unconfined"
    )
    reuse_answers: bool = execution(True, "take answers that the same model gave to the same prompts before")


class Judge(Section):
    """AlpacaEval and MT-Bench: another reader of the answers that evaluate recorded."""

    judged: Annotated[list[Judged], AfterValidator(distinct)] = Field(
        [], description="benchmarks that a judge reads, which evaluate.tasks must hold; none skips this stage"
    )
    judge_model: str = Field("", description="who judges: a model as in base_model, or a name served; empty is the base model")
    judge_engine: Literal["transformers", "vllm", "server", "chat"] = Field(
        "transformers", description="what computes the judge; chat is any server of chat completions"
    )
    judge_frame: FrameName = Field("chatml", description="chat frame of the judge; a chat server has its own")
    judge_urls: Urls = execution([], "server and chat: addresses of the judge")
    verdicts: Literal["written", "probabilities"] = Field(
        "probabilities", description="how a verdict is read: from text, or from the probabilities of its labels"
    )
    verdict_tokens: Positive = Field(512, description="new tokens of a written verdict")
    max_unread_verdicts: Share = Field(0.5, description="share of verdicts that cannot be read, more stops the stage")


class SynthesizeParams(Synthesize, Shard, Model, Place):
    """Parameters of `synthesize.ipynb`."""


class AssessParams(Assess, Shard, Model, Place):
    """Parameters of `assess.ipynb`."""


class FilterParams(Filter, Place):
    """Parameters of `filter.ipynb`; no model is loaded."""


class TrainParams(Train, TrainedModel, Place):
    """Parameters of `train.ipynb`."""


class EvaluateParams(Evaluate, Model, EvaluatedPlace):
    """Parameters of `evaluate.ipynb`."""


class JudgeParams(Judge, Model, EvaluatedPlace):
    """Parameters of `judge.ipynb`."""


class IterateParams(Section):
    """Parameters of `iterate.ipynb`."""

    iteration: int = Field(1, description="bring the run to this iteration", ge=1)
    params: str = Field("params/smollm2-135m.yaml", description="params file, one complete run", min_length=1)
    run: str = Field("", description="name under results or a path, empty takes the params file's")
    override: str = Field("", description="changes to the params file, like train.epochs:1 evaluate.answer_tokens:512")
    stale: Literal["stop", "redo", "keep"] = Field("stop", description="what to do with stages made by other code")
    share: bool = Field(True, description="take stages from runs beside this one that made the same of the same inputs")


class PaperParams(Section):
    """Parameters of `paper.ipynb`."""

    runs: Rows = Field(
        [], description="what was measured: a row of the tables, an equals sign, a run; none is the reference record"
    )
    map_sets: list[str] = Field(["seeds/tasks.jsonl"], description="files of tasks whose vectors span the map of Figure 4")
    map_model: str = Field("", description="model whose vectors place instructions, empty is the base model of the first run")
    out: str = Field("results/paper", description="folder for tables and figures", min_length=1)


class AblateParams(Section):
    """Parameters of `ablate.ipynb`."""

    sweep: str = Field("params/ablations/small-threshold.yaml", description="sweep file: axes, values, seeds", min_length=1)
    name: str = Field("", description="folder under results or a path for the runs, empty takes the name in the file")
    override: str = Field("", description="changes to the params file for all runs, after those of the sweep file")
    dry: bool = Field(False, description="plan and estimate only; the probe is run, the sweep is not")
    stale: Literal["stop", "redo", "keep"] = Field("stop", description="what to do with stages made by other code")


class ExploreParams(Section):
    """Parameters of `explore.ipynb`."""

    run: str = Field("reference/smollm2-135m", description="name under results, or a path", min_length=1)
    iteration: int = Field(1, description="whose pairs are looked at first", ge=1)
    pair: str = Field("", description="id of the pair that is followed, empty is the first kept one")
    search: str = Field("", description="show only pairs with this text in task or response")
    sort: str = Field("id", description="column that pairs are sorted by")
    ask_models: bool = Field(False, description="ask this model and the next one the followed task again; needs their weights")
    map_model: str = Field("", description="model whose vectors place pairs on the map, empty is the base model of the run")


STAGE_PARAMS: dict[str, type[Section]] = {
    "synthesize": SynthesizeParams,
    "assess": AssessParams,
    "filter": FilterParams,
    "train": TrainParams,
    "evaluate": EvaluateParams,
    "judge": JudgeParams,
}
# Notebooks that are no stage.
OTHER_PARAMS: dict[str, type[Section]] = {
    "iterate": IterateParams,
    "paper": PaperParams,
    "ablate": AblateParams,
    "explore": ExploreParams,
}
SECTIONS: dict[str, type[Section]] = {
    "model": Model,
    "synthesize": Synthesize,
    "assess": Assess,
    "filter": Filter,
    "train": Train,
    "evaluate": Evaluate,
    "judge": Judge,
}


class RunParams(Section):
    """A params file: every parameter of a run."""

    run: str = Field(description="name under results", min_length=1)
    seed: int = Field(description="all randomness of the run derives from it", ge=0, lt=2**31)
    model: Model
    synthesize: Synthesize
    assess: Assess
    filter: Filter
    train: Train
    evaluate: Evaluate
    judge: Judge = Judge()

    def stage(self, stage: str, iteration: int) -> dict[str, Any]:
        """Return the flat parameters of one stage notebook."""
        fields = STAGE_PARAMS[stage].model_fields
        flat = {**self.model.model_dump(), **getattr(self, stage).model_dump()}
        flat |= {"run": self.run, "iteration": iteration, "seed": self.seed}
        return {name: flat[name] for name in fields if name in flat}  # a shard is a worker's own


def is_execution(section: type[Section], name: str) -> bool:
    """Tell whether a parameter changes speed only."""
    return bool((section.model_fields[name].json_schema_extra or {}).get("execution"))


def is_routing(section: type[Section], name: str) -> bool:
    """Tell whether a parameter only chooses a stage's inputs or its model."""
    return bool((section.model_fields[name].json_schema_extra or {}).get("routing"))
