"""The loss of a response after its task."""

from isheep_lib.engines.scripted import ScriptedEngine
from isheep_lib.prompting.chat import Frame
from isheep_lib.record.rows import Pair
from isheep_lib.scorers.likelihoods import likelihoods
from isheep_lib.scorers.table import scorer


class Reader(ScriptedEngine):
    def logprobs(self, pairs):
        self.calls.append(pairs)
        return [(-6.0, 4) for _ in pairs]


def test_it_reads_the_response_after_its_task_and_nothing_else():
    engine = Reader()
    found = likelihoods(engine, Frame("f", "<", ">", "END"), [Pair("p", "Do.", "", "done")], [scorer("response_loss")])
    assert found == [{"response_loss": 1.5}]
    assert engine.calls == [[("<Do.>", "doneEND")]]
