"""What the rules make of the same texts in ten languages: the cells of a table in docs/rules.md, each also a test.

    COLUMNS["starts"]("¿Qué significa la palabra «alba»?", "es")     # "accepted"

The texts, what became of each while every rule was English (`before`), and what must become of it (`now`) are in
`tools/languages.yaml`.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from isheep_lib.analysis.sentences import shortened
from isheep_lib.analysis.words import is_refusal
from isheep_lib.assess.reliability_check import truncated
from isheep_lib.errors import DataError
from isheep_lib.filter.steps.rules import rule_problem
from isheep_lib.languages import rules
from isheep_lib.prompting.prompt_files import english
from isheep_lib.prompting.score_parsing import parse_score
from isheep_lib.record.rows import Pair
from isheep_lib.synthesize.lists import parse_list
from isheep_lib.synthesize.near_duplicates import NearDuplicates
from isheep_lib.synthesize.rules import Item, instruction_problem
from isheep_lib.synthesize.seeds import digest_seeds, load_seeds

ABOUT = """\
`synthesize.language` names the language of a run's tasks: a tag (BCP 47), a list of tags, or `any`; the default is `en`. A
tag takes the file of its language, `zh-Hant-TW` that of `zh`; a language without a file is refused. Of several languages all
words count, and what one of them allows is allowed. For `any`, no rule that drops a text knows a word or a length: what is
left are the rules that hold in every language. Seeds most of which are in another language are refused before anything runs.

`language_mismatch` counts each word once, leaves out code, addresses and quotations, and says nothing of fewer than five
words; below 40 % of words in the language's scripts a text is in another. Languages that share a script are told apart by
langdetect in long texts, where a language whose letters do not occur counts for none. Code without a fence is left out where
the run's language is not written in Latin letters. The response to a task that names another language, asks to translate, or
brings an input in another language may be in any: *Translate to French: …* is answered in French. Runs made before there was a
choice were filtered by `chinese`, and `isheep rerun` repeats them so.

No native speaker has read the words of the nine languages besides English; they were collected for this project, and are
checked by the texts below and by `tests/languages/words_of_each_language.yaml`. Both are data: who sees a word that is wrong or
missing changes its file of rules, and adds a text where it must be found and one where it must not.

What became of the same texts while every rule was English, and what becomes of them now, with an arrow between where they
differ. The texts are in `tools/languages.yaml`; `tests/languages/test_language_table.py` checks each cell."""
FILE = Path(__file__).with_name("languages.yaml")
ACCEPTED = "accepted"


def instruction(text: str, language: str) -> str:
    """Say which rule an instruction breaks."""
    return instruction_problem(Item(text, text, ""), language=language) or ACCEPTED


def response(text: str, language: str) -> str:
    """Say which rule a response to the language's own task breaks."""
    task = cells()[language]["rules"]["text"]
    pair = {"id": "0", "instruction": task, "input": "", "output": text, "finish": "end", "num_tokens": 1}
    return rule_problem(Pair.from_row(pair), 1.0, language=language)[0] or ACCEPTED


def refusal(text: str, language: str) -> str:
    """Say whether an answer is counted as a refusal."""
    return "a refusal" if is_refusal(text, language) else "an answer"


def seeds(text: str, language: str) -> str:
    """Say what becomes of a file of seeds in the run of its language."""
    with _file([{"instruction": line} for line in text.splitlines()]) as path:
        try:
            digest_seeds(path, [], language)
        except DataError:
            return "refused at the plan"
    return ACCEPTED


def seeds_elsewhere(text: str, language: str) -> str:
    """Say what becomes of such seeds in a run whose language is another: English, or for English Chinese."""
    return seeds(text, "zh" if language == "en" else "en")


def no_input(text: str, language: str) -> str:
    """Say what a seed's input is read as."""
    with _file([{"instruction": "…", "input": text}]) as path:
        (task,) = load_seeds(path, [], language)
    return "an input" if task.input else "no input"


def duplicate(text: str, language: str) -> str:
    """Say whether the second of two tasks is dropped because of the first."""
    first, second = text.splitlines()
    known = NearDuplicates(0.7)
    known.add(first)
    return "near_duplicate" if known.find(second) else ACCEPTED


def echo(text: str, language: str) -> str:
    """Say which rule a response, the second line, to a task, the first, breaks."""
    task, said = text.splitlines()
    pair = {"id": "0", "instruction": task, "input": "", "output": said, "finish": "end", "num_tokens": 1}
    return rule_problem(Pair.from_row(pair), 0.5, language=language)[0] or ACCEPTED


def truncation(text: str, language: str) -> str:
    """Return the half of a response that the self-assessment check shows in its place."""
    return truncated([Pair("0", "", "", text)])[0]


def lists(text: str, language: str) -> str:
    """Count the tasks of a continued list, and the inputs among them."""
    items = parse_list(text, 6, "end", english(), language)
    return f"{len(items)} task(s), {sum(bool(item.input) for item in items)} input(s)"


def score(text: str, language: str) -> str:
    """Return the score that a reply gives."""
    value, problem = parse_score(text)
    return problem if value is None else f"{value:g}"


def sentence_end(text: str, language: str) -> str:
    """Return the beginning of a text that ends with a sentence."""
    return shortened(text)


COLUMNS: dict[str, Callable[[str, str], str]] = {
    "rules": instruction,
    "forbidden": instruction,
    "starts": instruction,
    "labels": instruction,
    "seeds": seeds,
    "seeds elsewhere": seeds_elsewhere,
    "no input": no_input,
    "lists": lists,
    "duplicates": duplicate,
    "unlike": duplicate,
    "roles": response,
    "follow-up": response,
    "placeholder": response,
    "echo": echo,
    "refusals": refusal,
    "sentence ends": sentence_end,
    "truncation": truncation,
    "scores": score,
    "mismatch": response,
}
MEANINGS = {
    "rules": "an ordinary instruction",
    "forbidden": "an instruction that asks for an image",
    "starts": "an instruction that begins with a letter or a mark of its own",
    "labels": "an instruction with a label of the list in it",
    "seeds": "seeds in the run's language",
    "seeds elsewhere": "these seeds in a run in English (English ones in one in Chinese)",
    "no input": "what says that a seed has no input",
    "lists": "a list of three tasks, one of them with an input, that goes on from English prompts in labels of its own",
    "duplicates": "a task that is another one but for a word",
    "unlike": "two unlike tasks that name the same thing, in Latin letters",
    "roles": "a response in which the user speaks",
    "follow-up": "a response that ends with another question",
    "placeholder": "a response to be filled in",
    "echo": "a response that says its task again, but for a word",
    "refusals": "an answer that declines",
    "sentence ends": "where a text may end early",
    "truncation": "what is left of an answer that the self-assessment check cuts in half",
    "scores": "the score of 8 that a reply gives, in the language's words and digits",
    "mismatch": "a response in another language that nobody asked for",
}


def cells() -> dict[str, dict[str, dict[str, Any]]]:
    """Read the texts by language and column."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def markdown() -> str:
    """Write the table, a column a language; a cell is what was, and what is now."""
    known = cells()
    titles = [f"{rules.load(tag).name} ({rules.load(tag).own_name})" for tag in known]
    lines = [f"| what | of which text | {' | '.join(titles)} |", "|---" * (len(known) + 2) + "|"]
    lines += [f"| {n} | {MEANINGS[n]} | {' | '.join(_cell(row[n]) for row in known.values())} |" for n in COLUMNS]
    return "\n".join(lines)


def section() -> str:
    """Write the section on languages of docs/rules.md: what applies, the table, and the words of each file of rules."""
    parts = ["## Languages", "", ABOUT, "", markdown()]
    for tag in rules.known():
        own = rules.load(tag)
        parts += ["", f"### {own.name} (`{tag}.yaml`)", ""]
        for name, value in vars(own).items():
            shown = value if isinstance(value, list) else [str(value)]
            if name not in ("name", "own_name") and any(shown):
                parts.append(f"- {name}: {', '.join(f'`{item}`' for item in shown)}")
    return "\n".join(parts) + "\n"


def _cell(cell: dict[str, Any]) -> str:
    before, now = (str(cell[when]) or "nothing found" for when in ("before", "now"))
    return now if before == now else f"{before} → {now}"


class _file:  # noqa: N801 - used as a function is
    """A file of seeds for as long as it is looked at."""

    def __init__(self, rows: list[dict[str, str]]) -> None:
        self.rows = rows

    def __enter__(self) -> str:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "seeds.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows), encoding="utf-8")
        return str(path)

    def __exit__(self, *_: object) -> None:
        self.folder.cleanup()
