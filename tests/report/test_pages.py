"""Pages of a run: whole, linked, inert, the same twice, and never in place of anything else."""

import json
import shutil
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest

from isheep_lib.errors import DataError, RecordError
from isheep_lib.iterate import claims
from isheep_lib.record import manifests
from isheep_lib.record.fingerprints import fingerprint
from isheep_lib.record.fixity import inventory
from isheep_lib.record.rows import write_jsonl
from isheep_lib.report import contents, languages, pages

HOSTILE = "</div></table><script>go()</script><img src=http://a.example/x onerror=go()> \x1b[31m‮ [x](javascript:go())"
VOID = {"meta", "img", "br", "hr", "col"}
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


class Reader(HTMLParser):
    """Reads a page: tags, ids, links, text; notes tags that are closed out of turn."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.disorder, self.text, self._open = [], [], [], [], "", []
        self.feed(text)
        self.close()
        self.disorder += self._open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        self._open += [] if tag in VOID else [tag]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)  # a slash closes nothing but a tag that needs no end

    def handle_endtag(self, tag):
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.disorder.append(f"/{tag}")

    def handle_data(self, data):
        self.text += data


def read(folder):
    return {path.name: Reader(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.html"))}


def assert_sound(folder):
    """Check what must hold of every page: nothing runs, nothing is fetched, every link of ours leads somewhere."""
    found = read(folder)
    for name, page in found.items():
        tags = dict(page.tags)
        assert not page.disorder, (name, page.disorder)
        assert not {"script", "iframe", "object", "embed", "link", "base", "form", "input", "svg", "video"} & set(tags), name
        for tag, attributes in page.tags:
            assert not [a for a in attributes if a.startswith("on")], name
            assert attributes.get("src", "data:image/").startswith("data:image/"), name
            assert "url(" not in (attributes.get("style") or ""), name
            assert tag != "img" or attributes["alt"], name
        policies = [a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
        assert policies == [POLICY], name
        assert (tags["html"]["lang"], [t for t, _ in page.tags].count("h1")) == ("en", 1), name
        assert len(page.ids) == len(set(page.ids)), name
        assert name == "index.html" or "index.html" in page.links, name
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme not in ("http", "https"):
                assert not parts.scheme, (name, link)
                assert unquote(parts.path or name) in found, (name, link)
                assert not parts.fragment or parts.fragment in found[unquote(parts.path or name)].ids, (name, link)
    return found


def notebook(path, *outputs, source="# Title"):
    cells = [
        {"cell_type": "markdown", "id": "title", "source": source, "metadata": {}},
        {"cell_type": "code", "id": "c1", "source": "1", "metadata": {}, "outputs": list(outputs), "execution_count": 1},
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": cells}))


def finish(run_dir, iteration, stage, *outputs, kept=1, dropped=None, facts=None, by_hand=False, **rows):
    """Record a stage with its rows and its notebook."""
    folder = manifests.stage_folder(run_dir, iteration, stage)
    for name, content in rows.items():
        write_jsonl(folder / f"{name}.jsonl", content)
    if not by_hand:
        notebook(folder / f"{stage}.ipynb", *outputs)
    parts = {"stage": stage, "inputs": {}, "model": {"base": "f00d" * 16}}
    dropped = dropped or {}
    manifest = {
        "stage": stage,
        "iteration": iteration,
        "parts": parts,
        "fingerprint": fingerprint(parts),
        "counts": {"in": kept + sum(dropped.values()), "kept": kept, "dropped": dropped},
        "outputs": {path.name: manifests.describe_file(path) for path in folder.glob("*") if path.is_file()},
        "seconds": 2.0,
        "tokens": {"a": 7},
        "environment": {
            "python": "3.12.1",
            "packages": {"numpy": f"2.{iteration}"},
            "system": "Linux",
            "cores": 2,
            "processor": "A chip",
            "instruction_sets": {"torch": "AVX2"},
            "threads": iteration,
        },
        "git": {"commit": "c0ffee"},
        **(facts or {}),
    }
    manifests.write_manifest(folder, manifest)
    return folder


def pair(number, **more):
    text = f"{HOSTILE} {number}"
    return {"id": f"i1-t{number}", "instruction": text, "input": text, "output": text, "num_tokens": 9, **more}


@pytest.fixture
def run_dir(tmp_path):
    """Return a run with one iteration made and filtered; nothing is trained or evaluated."""
    run = tmp_path / "runs" / "small"
    claims.claim_params(run, {"seed": 1, "model": {"base_model": "a/b"}})
    tasks = [{"id": "t9", "instruction": HOSTILE, "reason": "echo", "detail": HOSTILE, "raw": HOSTILE}]
    finish(run, 1, "synthesize", examples=[pair(1), pair(2)], dropped={"echo": 1}, kept=2)
    write_jsonl(run / "iter-1" / "synthesize" / "dropped.jsonl", tasks)
    finish(run, 1, "assess", scores=[{"id": f"i1-t{n}", "scores": {"greedy": 1.25 * n}} for n in (1, 2)], kept=2)
    kept, left = [pair(1, scores={"greedy": 1.25})], [pair(2, scores={}, reason="echo", detail=HOSTILE)]
    finish(run, 1, "filter", kept=1, dropped={"echo": 1})
    folder = run / "iter-1" / "filter"
    write_jsonl(folder / "kept.jsonl", kept)
    write_jsonl(folder / "dropped.jsonl", left)
    return run


@pytest.fixture(scope="module")
def reference(root, tmp_path_factory):
    """Return the pages of the committed record, without the adapters."""
    folder = tmp_path_factory.mktemp("reference") / "smollm2-135m"
    shutil.copytree(root / "results" / "reference" / "smollm2-135m", folder, ignore=shutil.ignore_patterns("*.safetensors"))
    pages.write(folder)
    return folder / "report"


def test_the_reference_record_becomes_sound_pages(reference):
    found = assert_sound(reference)
    stages = ["assess", "evaluate", "filter", "synthesize", "train"]
    names = [f"iter-{k}-{stage}.html" for k in (1, 2, 3) for stage in stages]
    names += [f"iter-{k}.html" for k in range(4)]
    assert set(found) == {*names, "index.html", "iter-0-evaluate.html", "notebook-iterate.html"}


def test_the_first_page_shows_the_whole_run(reference):
    index = read(reference)["index.html"]
    commits = {manifest["git"]["commit"] for _, manifest in manifests.all_manifests(reference.parent)}
    for words in (
        *commits,
        "embedded:smollm2-135m-instruct",
        "16 of 16 stages are done",
        "everything at hand is as it was recorded",
        "iter-3/train/adapter/adapter_model.safetensors",
        "transformers 5.19.0",
        "in 12 of 12 tests",
        "synthesize.options",
        "24.0 ± 4.4",
        "0.98 (0.92 to 1.00)",
        "mean words per answer",
    ):
        assert words in index.text, words
    assert [tag for tag, _ in index.tags].count("img") == 4


def test_the_first_page_says_before_all_else_whether_the_run_helped(reference):
    page = read(reference)["index.html"]
    verdict = page.text.index("It is not shown to have helped: M_3 and M_0 cannot be told apart on any of 3 benchmarks")
    assert verdict < page.text.index("A language model writes tasks")
    assert "The answers stayed about as long" in page.text and "it would have taken about" in page.text
    assert next(facts["alt"] for tag, facts in page.tags if tag == "img") == "What changed since the base model"


def test_pages_of_stages_stand_in_the_order_of_work(reference):
    found = read(reference)
    for before, after in [
        ("iter-0-evaluate", "iter-1-synthesize"),
        ("iter-1-filter", "iter-1-train"),
        ("iter-2-evaluate", "iter-3-synthesize"),
    ]:
        assert f"{after}.html" in found[f"{before}.html"].links
        assert f"{before}.html" in found[f"{after}.html"].links
    assert "iter-1.html" in found["iter-1-filter.html"].links
    assert set(found["iter-1.html"].links) >= {"iter-1-filter.html", "iter-0.html", "iter-2.html"}


def test_a_notebook_s_links_lead_to_pages(reference):
    assert "iter-2-train.html" in read(reference)["notebook-iterate.html"].links
    assert 'ipynb"' not in (reference / "index.html").read_text()


def test_looks_fetch_nothing():
    looks = (pages.TEMPLATES / "page.css").read_text()
    assert "url(" not in looks
    assert "@import" not in looks
    assert "<" not in looks, "it stands inside a style element"


def test_figures_are_part_of_the_page_and_code_is_folded(reference):
    page = read(reference)["iter-1-filter.html"]
    assert any(tag == "img" and "funnel" in attributes["alt"] for tag, attributes in page.tags)
    text = (reference / "iter-1-filter.html").read_text()
    assert text.index('<details class="code"><summary>Code: setup') < text.index("open_stage")
    assert "<details open" not in text


def test_every_pair_stands_on_the_page_of_its_iteration(reference, root):
    text = read(reference)["iter-2.html"].text
    for name in ("filter/kept", "filter/dropped", "synthesize/dropped"):
        for line in (root / f"results/reference/smollm2-135m/iter-2/{name}.jsonl").read_text().split("\n"):
            assert not line or json.loads(line)["id"] in text


def test_the_same_record_gives_the_same_bytes_wherever_it_lies(run_dir, tmp_path):
    moved = tmp_path / "elsewhere" / "small"
    shutil.copytree(run_dir, moved)
    first = {path.name: path.read_bytes() for path in pages.write(run_dir).parent.iterdir()}
    assert {path.name: path.read_bytes() for path in pages.write(moved, tmp_path / "out").parent.iterdir()} == first
    assert {path.name: path.read_bytes() for path in pages.write(run_dir).parent.iterdir()} == first
    assert str(tmp_path).encode() not in b"".join(first.values())


def test_what_a_model_wrote_is_inert_wherever_it_stands(run_dir):
    outputs = [
        {"output_type": "execute_result", "data": {"text/html": f"<table><tr><td>{HOSTILE}</td></tr></table><iframe src=x>"}},
        {"output_type": "display_data", "data": {"text/markdown": HOSTILE, "application/javascript": "go()"}},
        {"output_type": "display_data", "data": {"text/plain": HOSTILE}},
        {"output_type": "stream", "name": "stdout", "text": HOSTILE},
    ]
    finish(
        run_dir,
        1,
        "train",
        *outputs,
        facts={"git": {"commit": HOSTILE}, "counts": {"in": 1, "kept": 0, "dropped": {HOSTILE: 1}}},
    )
    notebook(run_dir / "a <b> & 'c'.ipynb", *outputs, source=HOSTILE)
    found = assert_sound(pages.write(run_dir).parent)
    assert "notebook-a <b> & 'c'.html" in found
    for name in ("iter-1.html", "iter-1-train.html"):
        assert "<script>go()</script>" in found[name].text, "it is shown as text"
        assert "\x1b" not in found[name].text


def test_pairs_say_how_they_ended_and_why(run_dir):
    text = " ".join(read(pages.write(run_dir).parent)["iter-1.html"].text.split())
    for words in ("Pairs kept: 1", "Pairs dropped by the filter: 1", "Dropped in the synthesis: 1"):
        assert words in text
    assert "i1-t1 greedy 1.25" in text
    assert "i1-t2 echo" in text
    assert "t9 echo" in text


def test_pairs_that_are_not_filtered_yet_are_shown_with_their_scores(run_dir):
    shutil.rmtree(run_dir / "iter-1" / "filter")
    found = assert_sound(pages.write(run_dir).parent)
    text = " ".join(found["iter-1.html"].text.split())
    assert "Pairs not filtered yet: 2" in text
    assert "i1-t2 greedy 2.5" in text
    assert "filter not done" in text


def test_a_stage_without_rows_to_show_says_why(run_dir):
    shutil.rmtree(run_dir / "iter-1" / "filter")
    shutil.rmtree(run_dir / "iter-1" / "assess")
    (run_dir / "iter-1" / "synthesize" / "manifest.json").unlink()
    finish(run_dir, 2, "synthesize", examples=[])
    (run_dir / "iter-2" / "synthesize" / "examples.jsonl").unlink()
    found = assert_sound(pages.write(run_dir).parent)
    assert "Pairs not filtered yet: the stage synthesize is not done" in found["iter-1.html"].text
    assert "Pairs not filtered yet: examples.jsonl of the stage synthesize is missing" in found["iter-2.html"].text
    assert "difference(s) from what was recorded" in " ".join(found["index.html"].text.split())


def test_what_is_not_done_says_so(run_dir):
    notebook(
        run_dir / "iter-1" / "train" / "train.failed.ipynb", {"output_type": "error", "traceback": ["\x1b[31mYieldError: no"]}
    )
    (run_dir / "iter-2" / "synthesize" / ".work-1").mkdir(parents=True)
    (run_dir / ".iterate.partial.ipynb").write_text("{")
    finish(run_dir, 0, "evaluate", by_hand=True)
    found = assert_sound(pages.write(run_dir).parent)
    index = " ".join(found["index.html"].text.split())
    assert "4 of 11 stages are done" in index
    assert "train failed" in index
    assert "synthesize begun" in index
    assert "No self-assessment is checked yet." in index
    assert "YieldError: no" in found["iter-1-train.html"].text
    assert "not done (failed)" in " ".join(found["iter-1-train.html"].text.split())
    assert "There is no executed notebook to show yet." in found["iter-2-synthesize.html"].text
    assert "run by hand" in found["iter-0-evaluate.html"].text
    assert "iter-1-evaluate.html" not in found


def test_stages_that_another_run_made_are_told_on_the_first_page_and_on_their_own(run_dir):
    assert "Not all was computed for this run" not in read(pages.write(run_dir).parent)["index.html"].text
    folder = manifests.stage_folder(run_dir, 1, "synthesize")
    manifests.write_manifest(folder, {**manifests.read_manifest(folder), "shared_from": "first<b>"})
    found = read(pages.write(run_dir).parent)
    assert "1 taken from the run first<b>: iter-1/synthesize." in found["index.html"].text
    assert "the run first<b>" in found["iter-1-synthesize.html"].text


def test_absent_weights_are_told_beside_their_stage_and_what_that_means(reference):
    found = read(reference)
    assert found["index.html"].text.count("weights absent") == 3
    assert "Absent weights are known by their digests alone" in found["index.html"].text
    verdicts = found["index.html"].text
    assert "iter-1/train/adapter/adapter_model.safetensorsabsent" in "".join(verdicts.split())
    assert "absent. Absent weights are known" in found["iter-1-train.html"].text


def test_an_edited_file_is_named_on_the_first_page(run_dir):
    finish(run_dir, 1, "train", log=[{"step": 1}])
    (run_dir / "iter-1" / "train" / "log.jsonl").write_text("")
    text = read(pages.write(run_dir).parent)["index.html"].text
    assert "iter-1/train/log.jsonl" in text.split("The ledger")[1]
    assert "everything at hand" not in text


def test_the_first_page_quotes_the_root_digest(run_dir):
    assert inventory.renew(run_dir) == ""
    pages.write(run_dir)
    assert f"root sha256 {inventory.root_of(run_dir)}" in (run_dir / "report" / "index.html").read_text()


def test_facts_that_differ_between_stages_are_all_named(run_dir):
    finish(run_dir, 2, "synthesize", facts={"git": {"commit": "beef-dirty"}})
    text = read(pages.write(run_dir).parent)["index.html"].text
    assert "c0ffee\nbeef-dirty" in text
    assert "numpy 2.1, 2.2" in text and "A chip" in text and "AVX2" in text


def test_many_pairs_are_divided_into_pages_that_a_phone_opens(run_dir):
    count = 2 * pages.ROWS + 1
    long = {"output": "word " * 2000, "scores": {}}
    write_jsonl(run_dir / "iter-1" / "filter" / "kept.jsonl", [pair(n, **long) for n in range(count)])
    folder = pages.write(run_dir).parent
    found = assert_sound(folder)
    files = ["iter-1.html", "iter-1-pairs-2.html", "iter-1-pairs-3.html"]
    assert [name for name in found if name.startswith("iter-1") and found[name].text.count("tokens") > 1] == sorted(files)
    assert [sum(a.get("class") == "card pair" for _, a in found[name].tags) for name in files] == [pages.ROWS, pages.ROWS, 3]
    assert f"(+{10000 - pages.LONGEST} characters)" in found["iter-1.html"].text
    assert {"iter-1-pairs-3.html#dropped", "iter-1-pairs-3.html#tasks", "iter-1.html#kept"} <= set(found["iter-1.html"].links)
    assert all(set(files) - {name} <= set(found[name].links) for name in files)


def test_a_lone_surrogate_is_no_reason_to_fail(run_dir):
    row = json.dumps({"id": "x", "instruction": "a \ud800 b", "output": "", "scores": {}})
    (run_dir / "iter-1" / "filter" / "kept.jsonl").write_text(row)
    assert "a ? b" in read(pages.write(run_dir).parent)["iter-1.html"].text


def test_what_a_judge_said_is_shown(run_dir):
    facts = {"self_preference": {"difference": None, "why": "no judge asked"}}
    folder = finish(run_dir, 1, "judge", facts=facts)
    judge = {"local": False, "name": "somebody's <model>", "verdicts": "written"}
    manifests.write_manifest(folder, {"judge": judge}, "metrics.json")
    found = assert_sound(pages.write(run_dir).parent)
    assert "somebody's <model>" in found["index.html"].text
    assert "iter-1-judge.html" in found["index.html"].links


def test_a_folder_of_somebody_else_is_never_replaced(run_dir, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    for folder in (other, run_dir, tmp_path):
        with pytest.raises(RecordError, match=r"(?s)no report wrote.*--out"):
            pages.write(run_dir, folder)
    with pytest.raises(RecordError, match=r"thesis\.txt"):
        pages.write(run_dir, other / "thesis.txt")
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


def test_a_file_that_somebody_put_into_a_report_is_kept(run_dir):
    folder = pages.write(run_dir).parent
    (folder / "notes.txt").write_text("mine")
    before = (folder / "index.html").stat().st_ino
    with pytest.raises(RecordError, match=r"notes\.txt"):
        pages.write(run_dir)
    assert (folder / "index.html").stat().st_ino == before


def test_an_earlier_report_is_replaced_whole_and_an_empty_folder_is_taken(run_dir, tmp_path):
    notebook(run_dir / "explore.ipynb")
    (tmp_path / "out").mkdir()
    assert pages.write(run_dir, tmp_path / "out") == tmp_path / "out" / "index.html"
    assert (tmp_path / "out" / "notebook-explore.html").is_file()
    (run_dir / "explore.ipynb").unlink()
    pages.write(run_dir, tmp_path / "out")
    assert not (tmp_path / "out" / "notebook-explore.html").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"out", "runs"}, "nothing is left beside it"


def test_a_report_that_cannot_be_finished_leaves_the_earlier_one(run_dir):
    folder = pages.write(run_dir).parent
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (run_dir / "explore.ipynb").write_text("{")
    with pytest.raises(RecordError, match=r"explore\.ipynb"):
        pages.write(run_dir)
    (run_dir / "explore.ipynb").unlink()
    (run_dir / "iter-1" / "filter" / "kept.jsonl").write_text("{")
    with pytest.raises(DataError, match=r"kept\.jsonl:1"):
        pages.write(run_dir)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not [path for path in run_dir.iterdir() if path.name.startswith(".report")]


def test_without_a_run_or_a_finished_stage_there_is_nothing_to_write(tmp_path):
    with pytest.raises(RecordError, match=r"(?s)no such run.*do: give a name"):
        pages.write(tmp_path / "none")
    claims.claim_params(tmp_path / "begun", {"seed": 1})
    with pytest.raises(RecordError, match=r"(?s)No finished stage.*do: "):
        pages.write(tmp_path / "begun")
    assert not (tmp_path / "begun" / "report").exists()
    assert not (tmp_path / "none").exists()


def test_a_disk_that_refuses_is_said_so(run_dir, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="Writing failed"):
        pages.write(run_dir, tmp_path / "file" / "report")


def test_the_facts_of_a_run_begin_with_its_grade():
    first, *_ = contents.facts_table([], {"synthesize": {"instruction_rules": False}, "filter": {"steps": []}}).rows
    assert first["fact"] == "grade" and first["value"].startswith("A: ")


@pytest.mark.parametrize(
    ("params", "tag"),
    [
        ({}, "en"),  # what was made before the parameter
        ({"synthesize": {}}, "en"),
        ({"synthesize": {"language": "en"}}, "en"),
        ({"synthesize": {"language": "zh-Hant"}}, "zh-Hant"),
        ({"synthesize": {"language": ["ar"]}}, "ar"),
        ({"synthesize": {"language": ["zh", "en"]}}, ""),
        ({"synthesize": {"language": "any"}}, ""),
    ],
)
def test_the_language_of_what_a_run_made_is_its_one_tag_or_unknown(params, tag):
    assert languages.language_of(params) == tag
    assert languages.attribute(params) == ("" if tag == "en" else f' lang="{tag}"')


def test_a_tag_is_escaped():
    assert languages.attribute({"synthesize": {"language": '"><b>'}}) == ' lang="&#34;&gt;&lt;b&gt;"'


def test_what_a_model_wrote_carries_its_language_and_direction_and_the_page_its_own(run_dir):
    said = [pair(1, instruction="写一首诗。", output="Python لغة برمجة"), pair(2)]
    write_jsonl(run_dir / "iter-1" / "filter" / "kept.jsonl", said)
    run_file = run_dir / "params.yaml"
    run_file.write_text(run_file.read_text() + "synthesize: {language: zh}\n")
    pages.write(run_dir)
    found = assert_sound(run_dir / "report")
    blocks = [attributes for _, attributes in found["iter-1.html"].tags if attributes.get("class") == "said"]
    assert len(blocks) >= 6
    assert {block["lang"] for block in blocks} == {"zh"}
    assert [block["dir"] for block in blocks].count("rtl") == 1
    assert {block["dir"] for block in blocks} == {"ltr", "rtl"}
