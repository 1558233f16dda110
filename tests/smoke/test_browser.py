"""Pages in a real browser, opened as files: nothing that a model wrote runs, and nothing is wider than a phone."""

import html
import json
import os
import re
import shutil
import subprocess

import pytest

from isheep_lib.report import pages

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PLANTED = (
    "<script>document.title = 'RAN'</script><img src=x onerror=\"document.title = 'RAN'\">" + "<b>long</b>" * 3 + "x" * 300
)
WIDTH = 400
# A window is never narrower than 500 pixels, a frame may be; the frame's own policy does not bind the page around it.
MEASURE = """<script>addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument;
    page.querySelectorAll("details").forEach(node => node.open = true);
    return [page.documentElement.clientWidth, page.documentElement.scrollWidth];
  });
  document.title = JSON.stringify(found);
})</script>"""
SHOWN = ("index.html", "iter-1-filter.html", "iter-1.html")

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome here")


@pytest.fixture(scope="module")
def folder(root, tmp_path_factory):
    """Return pages of the committed record with a hostile text in a pair, in an output and in prose."""
    run = tmp_path_factory.mktemp("pages") / "smollm2-135m"
    ignored = shutil.ignore_patterns("*.safetensors", "iter-[23]")
    shutil.copytree(root / "results" / "reference" / "smollm2-135m", run, ignore=ignored)
    rows = run / "iter-1" / "filter" / "kept.jsonl"
    row = json.loads(rows.read_text().split("\n")[0])
    rows.write_text(json.dumps(row | {"instruction": PLANTED, "output": PLANTED}) + "\n" + rows.read_text())
    path = run / "iter-1" / "filter" / "filter.ipynb"
    book = json.loads(path.read_text())
    book["cells"][0]["source"] += PLANTED
    shown = {
        "output_type": "display_data",
        "metadata": {},
        "data": {"text/html": f"<table><tr><td>{PLANTED}</td></tr></table>"},
    }
    book["cells"][1]["outputs"].append(shown)
    path.write_text(json.dumps(book))
    return pages.write(run).parent


def opened(page, profile):
    """Open a file in a browser without a network and return the page as it then is."""
    command = [
        BROWSER,
        "--headless",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=3000",
        "--dump-dom",
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def title(dom):
    return re.search(r"<title>(.*?)</title>", dom, re.DOTALL)[1]


@pytest.mark.parametrize("name", SHOWN)
def test_nothing_that_a_model_wrote_runs(folder, tmp_path, name):
    shown = opened(folder / name, tmp_path / "profile")
    assert "smollm2-135m" in title(shown)
    assert "</footer>" in shown, "the page is there to its end"
    assert "<script" not in shown
    assert name == "index.html" or "xxxxx" in shown, "the text is shown"


def test_the_policy_alone_would_stop_a_script(folder, tmp_path):
    text = (folder / "iter-1.html").read_text()
    for name, page in (("with.html", text), ("without.html", re.sub(r"<meta http-equiv=[^>]*>", "", text))):
        (tmp_path / name).write_text(page.replace("</main>", f"{PLANTED}</main>"))
    assert title(opened(tmp_path / "with.html", tmp_path / "profile")) != "RAN"
    assert title(opened(tmp_path / "without.html", tmp_path / "profile")) == "RAN"


def test_no_page_is_wider_than_a_phone(folder, tmp_path):
    texts = [(folder / name).read_text() for name in SHOWN]
    too_wide = texts[0].replace("<main>", "<main><p style='width: 401px'>x</p>")
    frames = [f'<iframe width="{WIDTH}" height="900" srcdoc="{html.escape(text)}"></iframe>' for text in (*texts, too_wide)]
    (tmp_path / "frames.html").write_text(MEASURE.join(["<title>not measured</title>", "".join(frames)]))
    *measured, control = json.loads(title(opened(tmp_path / "frames.html", tmp_path / "profile")))
    assert all(visible > WIDTH - 30 for visible, _ in measured), measured
    assert [whole - visible for visible, whole in measured] == [0, 0, 0], measured
    assert control[1] > control[0], "the measurement would see a page that is too wide"


HIDDEN = """<script>addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument;
    page.querySelectorAll("details").forEach(node => node.open = true);
    const boxes = [...page.querySelectorAll(".box")].filter(box => box.querySelector("table"));
    return [boxes.length, ...boxes.map(box => box.scrollWidth - box.clientWidth)];
  });
  document.title = JSON.stringify(found);
})</script>"""


def test_no_column_of_a_table_lies_outside_of_a_phone(folder, tmp_path):
    texts = [(folder / name).read_text() for name in SHOWN]
    wide = texts[1].replace("overflow-wrap: anywhere !important", "")
    frames = [f'<iframe width="{WIDTH}" height="900" srcdoc="{html.escape(text)}"></iframe>' for text in (*texts, wide)]
    (tmp_path / "frames.html").write_text(HIDDEN.join(["<title>not measured</title>", "".join(frames)]))
    *measured, control = json.loads(title(opened(tmp_path / "frames.html", tmp_path / "profile")))
    assert measured[0][0] and measured[1][0]
    assert all(not any(hidden) for _, *hidden in measured), measured
    assert any(control[1:]), "the measurement would see a table that is too wide"
