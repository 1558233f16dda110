"""The judges of the scorer learned, trained in stage assess by what trains the model in stage train.

    school = train(stage, pairs)                          # nothing where no scorer learns; resumes after a crash
    judges = school.judges(model, frame)                  # for `assess.scoring.Assessment`
    found = school.check()                                # what they are worth on kinds that they have not learned

A training is a job in the stage's unfinished work, whose checkpoints it goes on from; what judges say is in a journal of the
stage. They are asked by transformers in this process, and `isheep check` trains and asks them anew. Covers the trainings and
their engines. Does not cover what is learned (`assess.known_order`) or how scores follow (`assess.judges`).
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isheep_lib.assess.judges import Generalisation, LearnedJudges, check_kinds
from isheep_lib.assess.known_order import Courses, courses, judge_name
from isheep_lib.display.table import Table
from isheep_lib.engines.open import open_engine
from isheep_lib.engines.protocol import Engine
from isheep_lib.errors import EngineError
from isheep_lib.iterate.run_params import AssessParams
from isheep_lib.iterate.session import StageSession
from isheep_lib.prompting.chat import Frame, user_words
from isheep_lib.record.rows import Pair
from isheep_lib.scorers.verdict import Question
from isheep_lib.train.dataset import Data
from isheep_lib.train.judge import Graded, prepare, recipe
from isheep_lib.train.params import TrainParams


@dataclasses.dataclass(frozen=True)
class Judge:
    """A judge that was trained: its rows, its adapter and that one's files below the folder of the stage, how it learned."""

    data: Data
    adapter: Path
    files: tuple[str, ...]
    held_out: dict[str, Any]
    rounding: dict[str, Any]


@dataclasses.dataclass
class School:
    """The judges of a stage by name, what they learned from, and their engines once they are asked."""

    stage: StageSession[AssessParams]
    courses: Courses
    trained: dict[str, Judge]
    asked: Engine | None = None
    learned: LearnedJudges | None = None
    engines: dict[str, Engine] = dataclasses.field(default_factory=dict)

    @property
    def files(self) -> tuple[str, ...]:
        """The adapters whose scores the filter may use, below the stage's folder."""
        return tuple(file for name in self.scoring for file in self.trained[name].files)

    @property
    def scoring(self) -> list[str]:
        """The judges that score pairs of the run; the others only show what is learned."""
        return [name for name in (judge_name(0), judge_name(1)) if name in self.trained]

    def judges(self, model: Engine | None, frame: Frame | None) -> LearnedJudges | None:
        """Return what the scorer learned asks, None where no scorer learns."""
        if model is None or frame is None or not self.trained:
            return None
        self.asked = model
        by_id = {lesson.pair.id: lesson for made in self.courses.lessons.values() for lesson in made}
        held = {name: [by_id[row.id] for row in judge.data.held_out] for name, judge in self.trained.items()}
        question = Question(frame, self.stage.prompts)
        self.learned = LearnedJudges(self._ask, question, self.courses.folds, held, lambda: self.stage.journal("judges"))
        return self.learned

    def _ask(self, name: str, prompts: list[str]) -> list[list[float]]:
        if self.asked is None:
            raise EngineError("No model is open", where="assess", do="ask for the judges with the model that assesses")
        return (self._opened(name) if name else self.asked).choices(prompts, self.stage.prompts.words.answers)

    def _opened(self, name: str) -> Engine:
        """Open a judge; of those that only show what is learned one at a time is open."""
        if name not in self.engines:
            for other in [each for each in self.engines if each not in self.scoring]:
                self.engines.pop(other).close()
            base = self.stage.model
            model = dataclasses.replace(base, adapters=(*base.adapters, self.trained[name].adapter))
            self.engines[name] = open_engine(model, self.stage.params)
        return self.engines[name]

    def check(self) -> Generalisation:
        """Test the judges by every kind, and let their engines go: this comes last."""
        if self.learned is None:
            return Generalisation([], [])
        seed = self.stage.seed("judges/bootstrap")
        found = check_kinds(self.learned, self.courses.tested, self.stage.params.bootstrap, seed)
        while self.engines:
            self.engines.popitem()[1].close()
        return found

    def table(self) -> Table:
        """Show every training in a line."""
        rows = [
            {
                "judge": name,
                "learned from": len(judge.data.train),
                "held out": len(judge.data.held_out),
                **{key: judge.held_out[key] for key in ("before", "best", "at step")},
            }
            for name, judge in self.trained.items()
        ]
        absent = f"; too few wrong responses: {', '.join(self.courses.absent)}" if self.courses.absent else ""
        said = "held-out loss of the verdict in nats: 0.69 is a coin"
        return Table(rows or [{"judge": "no scorer learns here"}], f"{said}{absent}" if rows else "")

    def rows(self, generalisation: Generalisation) -> dict[str, list[dict[str, Any]]]:
        """Return the files of rows: what became of every pair and lesson, and what each side said in the test."""
        if not self.trained:
            return {}
        told = [{"id": id_, "judge": "", "fate": reason} for id_, reason in self.courses.fates.items()]
        for name, judge in self.trained.items():
            kinds = {lesson.pair.id: lesson.kind for lesson in self.courses.lessons[name]}
            told += [{"id": row["id"], "judge": name, "kind": kinds[row["id"]], **row} for row in judge.data.fates]
        return {"lessons.jsonl": told, "learned_check.jsonl": generalisation.rows}

    def documents(self, generalisation: Generalisation) -> dict[str, dict[str, Any]]:
        """Return the document `learned.json`: AUROC by kind and side, and every training's held-out loss and rounding."""
        if not self.trained:
            return {}
        judges = {name: {"held_out": judge.held_out, "rounding": judge.rounding} for name, judge in self.trained.items()}
        return {"learned.json": {"auroc": generalisation.document(), "judges": judges, "absent": self.courses.absent}}


def train(stage: StageSession[AssessParams], pairs: Sequence[Pair]) -> School:
    """Train the judges that the scorer learned needs, before the model that assesses is loaded.

    Raises:
        YieldError: too few tasks or kinds to learn from.
        TrainingError: a training cannot start, or must not go on.
    """
    params = stage.params
    if not params.learns:
        return School(stage, Courses({}, {}, [], {}, []), {})
    plan = courses(list(pairs), params.learned_kinds, stage.seed)
    tokenizer, frame = stage.open_tokenizer(params.frame_of(stage.model_iteration))
    settings = recipe(params.model_dump(), params.learned_epochs, params.learned_rate, params.learned_tasks)
    trained = {}
    for name, made in plan.lessons.items():
        graded = [Graded(lesson.pair, user_words(lesson.pair.task), lesson.right) for lesson in made]
        data = prepare(graded, Question(frame, stage.prompts), tokenizer, settings, stage.seed(f"judges/{name}/split"))
        print(f"{name}: {len(data.train)} rows to learn")
        trained[name] = _trained(stage, name, data, settings)
    return School(stage, plan, trained)


def _trained(stage: StageSession[AssessParams], name: str, data: Data, settings: TrainParams) -> Judge:
    from isheep_lib.train.run import fine_tune, held_out_change, lay_out  # torch, and the stage says first how it waits

    folder = stage.out if name in (judge_name(0), judge_name(1)) else stage.work / "tests"
    layout = lay_out(stage.model, data, settings, stage.seed(f"judges/{name}/train"))
    made = fine_tune(layout, stage.work / name, folder / name)
    files = tuple(f"{name}/{file}" for file in made.files)
    return Judge(data, folder / name / "adapter", files, held_out_change(made.log), made.rounding)
