"""The table of all methods: what `synthesize.method` may name."""

from typing import Any

from isheep_lib.synthesize.method import Method
from isheep_lib.synthesize.methods.backtranslation.dog_instruct import DogInstruct
from isheep_lib.synthesize.methods.backtranslation.instruction_backtranslation import InstructionBacktranslation
from isheep_lib.synthesize.methods.backtranslation.udit import Udit
from isheep_lib.synthesize.methods.dialogue import Dialogue
from isheep_lib.synthesize.methods.evol_instruct import EvolInstruct
from isheep_lib.synthesize.methods.longform import LongForm
from isheep_lib.synthesize.methods.magpie import Magpie
from isheep_lib.synthesize.methods.task_list import TaskList

METHODS: dict[str, Method[Any]] = {
    method.name: method
    for method in (
        TaskList(),
        Dialogue(),
        Magpie(),
        EvolInstruct(),
        LongForm(),
        InstructionBacktranslation(),
        DogInstruct(),
        Udit(),
    )
}
