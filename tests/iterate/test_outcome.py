"""What bringing a run to an iteration came to is told from its manifests."""

import pytest

from isheep_lib.iterate.outcome import finished, told
from isheep_lib.record import manifests

STEPS = [(0, "evaluate"), (1, "synthesize"), (1, "assess")]
OWN = {"finished": "monday"}
TAKEN = {"finished": "sunday", "shared_from": "first"}


def write(run_dir, iteration, stage, facts):
    folder = manifests.stage_folder(run_dir, iteration, stage)
    folder.mkdir(parents=True, exist_ok=True)
    manifests.write_manifest(folder, {"iteration": iteration, "stage": stage, "outputs": {}, **facts})


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([OWN, OWN, OWN], [OWN, OWN, OWN], "Nothing was to do: all 3 stages were done before."),
        ([TAKEN, OWN, OWN], [TAKEN, OWN, OWN], "Nothing was to do: all 3 stages were done before."),
        ([], [OWN, OWN, OWN], "3 stage(s) ran: iter-0/evaluate, iter-1/synthesize, iter-1/assess."),
        (
            [],
            [TAKEN, TAKEN, TAKEN],
            "no stage ran; 3 taken from the run first: iter-0/evaluate, iter-1/synthesize, iter-1/assess.",
        ),
        (
            [OWN],
            [OWN, TAKEN, OWN],
            "1 stage(s) ran: iter-1/assess; 1 taken from the run first: iter-1/synthesize; 1 were done before.",
        ),
        (
            [OWN, OWN],
            [OWN, {"finished": "tuesday"}, OWN],
            "2 stage(s) ran: iter-1/synthesize, iter-1/assess; 1 were done before.",
        ),
    ],
)
def test_what_ran_what_was_taken_and_what_was_done_before_is_told(tmp_path, before, after, said):
    for step, facts in zip(STEPS, before, strict=False):
        write(tmp_path, *step, facts)
    first = finished(tmp_path, STEPS)
    for step, facts in zip(STEPS, after, strict=False):
        write(tmp_path, *step, facts)
    assert told(first, finished(tmp_path, STEPS)) == said


def test_stages_beyond_the_wanted_iteration_do_not_count(tmp_path):
    for step in [*STEPS, (2, "synthesize")]:
        write(tmp_path, *step, OWN)
    assert set(finished(tmp_path, STEPS)) == {"iter-0/evaluate", "iter-1/synthesize", "iter-1/assess"}
