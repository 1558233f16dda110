"""A round of IterAlign: answers, those of them that are bad, rules written from these, and answers by the rules.

Covers one round. Does not cover rules by themselves (`revising.constitution`) or how many rounds there are.
"""

from dataclasses import dataclass
from typing import Any

from isheep_lib.engines.generate import generate_all
from isheep_lib.engines.protocol import Request
from isheep_lib.languages.words import words
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Intake
from isheep_lib.synthesize.extras.asking import answer_request, yes_shares
from isheep_lib.synthesize.respond import ANSWER, respond
from isheep_lib.synthesize.revising.constitution import Rule, judge, propose, read_rules, taken
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.writing import Writing


@dataclass
class Course:
    """What a writing has come to: the constitution, and tokens that were generated beside the accepted answers."""

    rules: list[Rule]
    tokens: int = 0


def begin(writing: Writing[Any]) -> Course:
    """Begin with the constitution that an earlier iteration left."""
    return Course([Rule(**row) for row in writing.carried])


def take_round(writing: Writing[Any], intake: Intake, journal: Journal, course: Course, seeds: dict[str, Task]) -> int:
    """Answer seeds, add rules from the bad answers, and take in what is answered by the rules; return how many were bad."""
    name = next(iter(seeds)).rpartition("-")[0]
    rows = [{"id": i, "instruction": seed.instruction, "input": seed.input} for i, seed in seeds.items()]
    first = {row["id"]: row for row in respond(writing, rows, journal)}
    bad = bad_answers(writing, journal, list(first.values()))
    cases = {i: (user_words(seeds[i]), first[i]["output"]) for i in bad}
    if cases:
        said, finish, tokens = propose(writing, journal, name, cases, writing.options.rules)
        version = 1 + max((rule.version for rule in course.rules if not rule.reason), default=0)
        course.rules += judge(writing, journal, proposed(writing, name, version, said, finish), taken(course.rules))
        course.tokens += tokens
    again = _revise(writing, journal, course, {i: seeds[i] for i in bad})
    version = max((rule.version for rule in course.rules if not rule.reason), default=0)
    for i, seed in seeds.items():
        answer = again.get(i, first[i])
        problem = _problem(i, bad, first, again, bool(taken(course.rules)))
        lineage = {"parents": [seed.id], "operator": "revise", "generation": int(name.rpartition("g")[2])}
        more = {"constitution_version": version, "first_output": first[i]["output"], **{k: answer[k] for k in ANSWER}}
        item = Item(answer["output"], seed.instruction, seed.input)
        taken_in = intake.take(i, item, {**lineage, **more}, problem or intake.problem(item, {seed.instruction}))
        course.tokens += first[i]["num_tokens"] + (0 if taken_in or i not in again else answer["num_tokens"])
    return len(bad)


def bad_answers(writing: Writing[Any], journal: Journal, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Ask the model which answers are bad; return those, each with the probability that it gives to yes."""
    questions = {
        row["id"]: writing.prompts.render(
            "iteralign-bad.txt", task=user_words(Task("", row["instruction"], row["input"])), answer=row["output"]
        )
        for row in rows
    }
    shares = yes_shares(writing, questions, journal, "judging")
    return {i: f"{share:.0%} yes" for i, share in shares.items() if share > 0.5}


def proposed(writing: Writing[Any], name: str, version: int, said: str, finish: str) -> list[Rule]:
    """Read proposed rules; one that the token limit ended is not taken, nor more than were asked for."""
    read, most = read_rules(said), writing.options.rules
    return [
        Rule(
            f"{name}-rule-{n}",
            writing.iteration,
            version,
            rule,
            "cut_off" if finish == "length" and n == len(read) - 1 else "beyond_wanted" if n >= most else "",
        )
        for n, rule in enumerate(read)
    ]


def _revise(writing: Writing[Any], journal: Journal, course: Course, seeds: dict[str, Task]) -> dict[str, dict[str, Any]]:
    """Answer tasks by the constitution; return output, finish and tokens by id, without those that leave no room."""
    rules = taken(course.rules)
    requests = {i: revision_request(writing, f"{i}/revised", seed, rules) for i, seed in seeds.items() if rules}
    long = writing.overlong({i: each.prompt for i, each in requests.items()}, writing.shared.response_tokens)
    requests = [each for i, each in requests.items() if i not in long]
    said = generate_all(writing.engine, requests, journal, "answers by the constitution")
    found = {request.id.removesuffix("/revised"): said[request.id] for request in requests}
    return {i: {"output": a.text.strip(), "finish": a.finish, "num_tokens": a.num_tokens} for i, a in found.items()}


def revision_request(writing: Writing[Any], id_: str, seed: Task, rules: list[str]) -> Request:
    """Ask for an answer by the constitution."""
    listed = "\n".join(f"{n}. {rule}" for n, rule in enumerate(rules, start=1))
    return answer_request(writing, id_, writing.prompts.render("iteralign-revise.txt", rules=listed, task=user_words(seed)))


def _problem(
    i: str, bad: dict[str, str], first: dict[str, dict[str, Any]], again: dict[str, dict[str, Any]], has_rules: bool
) -> tuple[str, str] | None:
    """Return why a seed's answer by the constitution is not learned, None where nothing speaks against it."""
    if i not in bad:
        return "no_violation", ""
    if not has_rules:
        return "no_constitution", ""
    if i not in again:
        return "too_long_to_revise", ""
    same = words(again[i]["output"]) in (words(first[i]["output"]), [])
    return ("answer_unchanged", "") if same else None
