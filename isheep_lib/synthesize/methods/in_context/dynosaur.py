"""DYNOSAUR: the model designs tasks for tables, whose rows then are the inputs and the answers.

A row of `examples.jsonl`:
    {"id": "i1-bus-messages-d0-t1-row-007", "instruction": "…", "input": "message is '…'.", "output": "praise", "finish": "end",
     "num_tokens": 2, "table": "bus-messages", "row": 7, "licence": "Apache-2.0", "input_fields": ["message"],
     "output_field": "tone", "described": true}
"""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from isheep_lib.display.table import Table
from isheep_lib.engines.generate import ask, generate_all
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.errors import DataError
from isheep_lib.params.kinds import Positive, Section
from isheep_lib.prompting.prompt_files import Prompts
from isheep_lib.synthesize.candidates import Candidates, Intake, pool_of
from isheep_lib.synthesize.extras.asking import before, count_tokens, text_request
from isheep_lib.synthesize.grounds.benchmark_text import benchmark_digests, repeats
from isheep_lib.synthesize.grounds.tables import DataSet, digest_tables, load_tables, texts_of
from isheep_lib.synthesize.method import Example, Method, Need
from isheep_lib.synthesize.methods.in_context.designs import (
    Design,
    design_problem,
    filled,
    instruction_of,
    pair_problem,
    read_designs,
    shown_row,
    usable,
)
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.writing import SHOWN, Writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARAMETER = "synthesize.options.tables"
WRITTEN = ("dynosaur-row.txt", "dynosaur-value.txt", "dynosaur-labels.txt")
FORMS = {True: "dynosaur-described.txt", False: "dynosaur-bare.txt"}


class DynosaurOptions(Section):
    """Which tables, how often each is shown, and how many pairs a task makes."""

    tables: str = Field("seeds/tables", description="folder of tables, each name.jsonl with name.yaml", min_length=1)
    described: Literal["both", "always", "never"] = Field(
        "both", description="prompts that say what table and columns mean, that do not, or one of each, as in the paper"
    )
    shown_rows: Positive = Field(2, description="rows that a prompt shows (2 in the paper)")
    tasks_per_prompt: Positive = Field(3, description="tasks that a prompt asks for, at most (3 in the paper)")
    tries: Positive = Field(1, description="prompts of each form for a table, with other rows and another sampling")
    rows_per_task: Positive = Field(12, description="pairs that a task makes at most, of rows drawn at random")
    benchmark_text: Literal["refuse", "keep"] = Field(
        "refuse", description="tables with a row that holds an item of any benchmark whose data are here"
    )


@dataclass(frozen=True)
class Asked:
    """One prompt for tasks of a table."""

    table: DataSet
    described: bool
    request: Request

    def lineage(self, design: Design) -> dict[str, Any]:
        """Say where a task is from."""
        about = self.table.description
        fields = {"input_fields": list(design.inputs), "output_field": design.output}
        return {"table": about.name, "licence": about.licence, **fields, "described": self.described}


class Dynosaur(Method[DynosaurOptions]):
    """Tasks that the model designs for the columns of tables, with the tables' rows as inputs and answers."""

    name = "dynosaur"
    source = "DYNOSAUR (arXiv 2305.14327), section 2; the model itself designs the tasks; prompts in our words"
    Options = DynosaurOptions
    needs: ClassVar[tuple[Need, ...]] = ("tables", "an aligned model")
    brings_answers = True
    people = "tables that people wrote, as answers"
    prompts = (*FORMS.values(), *WRITTEN)
    reasons: ClassVar[dict[str, str]] = {
        "incomplete_design": "the task lacks an instruction, columns that are given, or the column that is the answer",
        "unknown_field": "the task names a column that the table has not, or several as the answer",
        "output_is_given": "the column that is the answer is given, too",
        "skewed_labels": "of at most ten different answers one is more frequent than 70 % (of two) or 50 %, or the only one",
        "same_task": "an earlier task of the iteration has the same instruction",
        "empty_value": "the row has no answer, or nothing that is given",
        "row_too_long": "what the row gives is longer than 2,000 letters",
        "beyond_target": "there are as many pairs as wanted",
    }
    answers_given: ClassVar[bool] = True

    def prompt_files(self, options: DynosaurOptions) -> tuple[str, ...]:
        """Name those that are filled."""
        return (*(FORMS[form] for form in _forms(options)), *WRITTEN)

    def data_digests(self, options: DynosaurOptions) -> dict[str, str]:
        """Hash the tables, whose columns must make tasks, and the benchmarks that their rows are compared with."""
        _check_tables(load_tables(options.tables, PARAMETER), options)
        compared = benchmark_digests() if options.benchmark_text == "refuse" else {}
        return {"tables": digest_tables(options.tables, PARAMETER), **compared}

    def sources(self, options: DynosaurOptions) -> dict[str, Any]:
        """Say what a record keeps of the tables: where they lie, how many rows they have, under which licences."""
        found = load_tables(options.tables, PARAMETER)
        licences = Counter(dict.fromkeys(sorted({table.description.licence for table in found}), 0))
        for table in found:
            licences[table.description.licence] += len(table.rows)
        return {"rows of tables": {"from": options.tables, "number": licences.total(), "licences": dict(licences)}}

    def given(self, writing: Writing[DynosaurOptions]) -> Table:
        """Show the tables."""
        rows = [
            {"table": t.description.name, "says": t.description.summary, "columns": ", ".join(usable(t)), "rows": len(t.rows)}
            | {"licence": t.description.licence}
            for t in load_tables(writing.options.tables, PARAMETER)
        ]
        return Table(rows)

    def example(self, writing: Writing[DynosaurOptions]) -> Example:
        """Ask for tasks of the first table, and fill the first one that fits with its first row."""
        first = next(iter(_prompts(writing).values()))
        said = ask(writing.engine, first.request)
        rows = []
        for design in read_designs(said):
            reason, detail = design_problem(design, first.table, writing.prompts)
            given, answer = ("", "") if reason else filled(design, first.table.rows[0], writing.prompts)
            verdict = f"{reason}: {detail}" if detail else reason or "fits"
            rows.append({"instruction": design.instruction, "verdict": verdict, "input": given, "output": answer})
        return Example(first.request.prompt, said.text, rows or [{"verdict": "incomplete_design"}])

    def write(self, writing: Writing[DynosaurOptions]) -> Candidates:
        """Let every table have tasks designed, then fill the tasks that fit with rows, a row of each in turn.

        Raises:
            DataError: a table's prompt has no room in the model's context.
            YieldError: fewer than `min_instructions` pairs were made; with the top reasons and examples.
        """
        shared, prompts = writing.shared, _prompts(writing)
        _refuse_long(writing, prompts)
        with writing.open_journal("designs") as journal:
            said = generate_all(writing.engine, [each.request for each in prompts.values()], journal, "tasks for tables")
        before = [task.instruction for task in writing.earlier if shared.dedup_scope == "run"]
        intake = Intake(writing, pool_of(before, shared.max_rouge), asks=False)
        tasks = {}
        for i, each in prompts.items():
            _design(intake, i, each, said[i], tasks)
        _fill(writing, intake, tasks)
        return intake.require("look at the designs; raise tries, rows_per_task or instruction_tokens, or give other tables")

    def evidence(self, candidates: Candidates) -> Table:
        """Show what each table brought."""
        kept, lost = (_by_table(each) for each in (candidates.accepted, candidates.dropped))
        rows = []
        for name in sorted({*kept, *lost}):
            tasks = len({row["instruction"] for row in kept.get(name, [])})
            reasons = Counter(row["reason"] for row in lost.get(name, [])).most_common()
            why = ", ".join(f"{number} {reason}" for reason, number in reasons)
            rows.append({"table": name, "tasks": tasks, "pairs": len(kept.get(name, [])), "dropped": why})
        return Table(rows, "what each table brought")

    def figure(self, candidates: Candidates) -> "Figure":
        """Draw how many pairs have which column as their answer."""
        from isheep_lib.synthesize.extras.figures import shares

        kept, lost = (
            [f"{row['table']}: {row['output_field'] or 'none'}" for row in each]
            for each in (candidates.accepted, candidates.dropped)
        )
        return shares(kept, lost, "pairs, and tasks without any, by table and answer")


def _forms(options: DynosaurOptions) -> list[bool]:
    """Return which prompts there are: one that describes the table, one that does not."""
    return [form for form in (True, False) if options.described in ("both", "always" if form else "never")]


def _check_tables(tables: list[DataSet], options: DynosaurOptions) -> None:
    """Refuse tables that can have no task, of one column that says something or of too few rows; and text of benchmarks."""
    faults = []
    for table in tables:
        name, number = table.description.name, len(usable(table))
        if number < 2:
            faults.append(f"{name}: {number} column(s) beside ids, a task takes two at least")
        if len(table.rows) < options.shown_rows:
            faults.append(f"{name}: {len(table.rows)} row(s), a prompt shows {options.shown_rows}")
    if faults:
        what = f"{len(faults)} table(s) can have no task:\n  " + "\n  ".join(faults)
        raise DataError(what, where=f"{PARAMETER}: {options.tables}", do="mend or remove them, or lower shown_rows")
    texts = {name: text for table in tables for name, text in texts_of(table).items()}
    if held := repeats(texts) if options.benchmark_text == "refuse" else {}:
        listed = "\n  ".join(f"{name}: {item}" for name, item in list(held.items())[:SHOWN])
        raise DataError(
            f"{len(held)} row(s) of tables hold an item of a benchmark:\n  {listed}",
            where=f"{PARAMETER}: {options.tables}",
            do="remove these rows, or set synthesize.options.benchmark_text to keep",
        )


def _prompts(writing: Writing[DynosaurOptions]) -> dict[str, Asked]:
    """Return every prompt by its id, table by table."""
    found = {}
    for table in load_tables(writing.options.tables, PARAMETER):
        for form in _forms(writing.options):
            for number in range(writing.options.tries):
                id_ = f"i{writing.iteration}-{table.description.name}-{'d' if form else 'b'}{number}"
                found[id_] = Asked(table, form, _request(writing, id_, table, form))
    return found


def _request(writing: Writing[DynosaurOptions], id_: str, table: DataSet, described: bool) -> Request:
    names, options = usable(table), writing.options
    draw = random.Random(writing.seed_of(f"{id_}/rows"))  # noqa: S311 - reproducible, not secret
    shown = draw.sample(table.rows, options.shown_rows)
    values = {"rows": "\n".join(_row(writing.prompts, n, row, names) for n, row in enumerate(shown, start=1))}
    values["count"] = str(options.tasks_per_prompt)
    if described:
        values["summary"] = table.description.summary
        values["columns"] = "\n".join(f"- {name} ({table.columns[name].meaning})" for name in names)
    else:
        values["columns"] = ", ".join(names)
    end = before(writing, FORMS[described], "summary" if described else "columns")
    return text_request(writing, id_, writing.prompts.render(FORMS[described], **values), end)


def _row(prompts: Prompts, number: int, row: Mapping[str, Any], names: list[str]) -> str:
    return prompts.render("dynosaur-row.txt", number=str(number), values=shown_row(row, names, prompts))


def _refuse_long(writing: Writing[DynosaurOptions], prompts: Mapping[str, Asked]) -> None:
    long = writing.overlong({i: each.request.prompt for i, each in prompts.items()}, writing.shared.instruction_tokens)
    if long:
        listed = "\n  ".join(f"{prompts[i].table.description.name}: {said}" for i, said in long.items())
        raise DataError(
            f"{len(long)} prompt(s) with tables are too long:\n  {listed}",
            where=f"{PARAMETER}: {writing.options.tables}",
            do="shorten what is said of the columns, lower shown_rows or instruction_tokens, or remove these tables",
        )


def _design(intake: Intake, id_: str, prompt: Asked, said: Completion, tasks: dict[str, tuple[Asked, Design]]) -> None:
    """Add the tasks of one prompt that fit its table, by id; drop the others."""
    prompts = intake.writing.prompts
    known = {instruction_of(design, each.table, prompts) for each, design in tasks.values()}
    intake.found.tokens += said.num_tokens
    designs = read_designs(said) or [Design(said.text, "", (), "", cut=said.finish == "length")]
    for number, read in enumerate(designs):
        bare = Item(read.raw, read.instruction, "", read.cut)  # the rules look at what the model wrote
        problem = ("", "") if read.cut else design_problem(read, prompt.table, prompts)
        problem = problem if problem[0] else (intake.writing.rule_problem(bare), "")
        item = replace(bare, instruction=bare.instruction if problem[0] else instruction_of(read, prompt.table, prompts))
        if not problem[0]:
            problem = ("same_task", "") if item.instruction in known else intake.problem(item)
        if problem[0]:
            intake.take(f"{id_}-t{number}", item, prompt.lineage(read), problem)
        else:
            intake.pool.add(item.instruction)
            known.add(item.instruction)
            tasks[f"{id_}-t{number}"] = prompt, read


def _fill(writing: Writing[DynosaurOptions], intake: Intake, tasks: Mapping[str, tuple[Asked, Design]]) -> None:
    """Make pairs, a row of each task in turn, until there are enough; a task that comes to none is dropped."""
    orders = {}
    for id_, (prompt, _) in tasks.items():
        draw = random.Random(writing.seed_of(f"{id_}/rows"))  # noqa: S311 - reproducible, not secret
        numbers = range(1, len(prompt.table.rows) + 1)
        orders[id_] = draw.sample(numbers, min(writing.options.rows_per_task, len(numbers)))
    for turn in range(writing.options.rows_per_task):
        for id_, (prompt, design) in tasks.items():
            instruction, lineage = instruction_of(design, prompt.table, writing.prompts), prompt.lineage(design)
            if intake.full and not turn:
                intake.take(id_, Item(design.raw, instruction, ""), lineage, ("beyond_target", ""))
            if intake.full or turn >= len(orders[id_]):
                continue
            number = orders[id_][turn]
            given, answer = filled(design, prompt.table.rows[number - 1], writing.prompts)
            item = Item(given, instruction, given)
            reason, detail = pair_problem(given, answer)
            problem = (reason or writing.rule_problem(item), detail)
            said = {"output": answer, "finish": "end", "num_tokens": count_tokens(writing, answer)}
            intake.take(f"{id_}-row-{number:03d}", item, {**lineage, "row": number, **said}, problem)


def _by_table(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["table"], []).append(row)
    return found
