"""The trainer with shards on CPUs, started by the tests as a module: torch shards there, accelerate would not start it."""

import sys
from pathlib import Path

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from isheep_lib.train import trainer

plain = AcceleratorState.__init__


def as_on_gpus(self: AcceleratorState, *arguments: object, **named: object) -> None:
    PartialState(cpu=True)
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    plain(self, *arguments, **named)


if __name__ == "__main__":
    AcceleratorState.__init__ = as_on_gpus
    trainer.leave(trainer.main(Path(sys.argv[1])))
