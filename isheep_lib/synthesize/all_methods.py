"""The table of all methods: what `synthesize.method` may name."""

from typing import Any

from isheep_lib.synthesize.method import Method
from isheep_lib.synthesize.methods.backtranslation.dog_instruct import DogInstruct
from isheep_lib.synthesize.methods.backtranslation.instruction_backtranslation import InstructionBacktranslation
from isheep_lib.synthesize.methods.backtranslation.longform import LongForm
from isheep_lib.synthesize.methods.backtranslation.udit import Udit
from isheep_lib.synthesize.methods.evolution.auto_evol import AutoEvol
from isheep_lib.synthesize.methods.evolution.evol_instruct import EvolInstruct
from isheep_lib.synthesize.methods.evolution.wizard_coder import WizardCoder
from isheep_lib.synthesize.methods.evolution.wizard_math import WizardMath
from isheep_lib.synthesize.methods.feedback.autodetect import AutoDetect
from isheep_lib.synthesize.methods.feedback.llm2llm import LLM2LLM
from isheep_lib.synthesize.methods.feedback.llms_as_instructors import LLMsAsInstructors
from isheep_lib.synthesize.methods.feedback.rainbow import Rainbow
from isheep_lib.synthesize.methods.in_context.dialogue import Dialogue
from isheep_lib.synthesize.methods.in_context.dynosaur import Dynosaur
from isheep_lib.synthesize.methods.in_context.lamini import LaMini
from isheep_lib.synthesize.methods.in_context.magpie import Magpie
from isheep_lib.synthesize.methods.in_context.self_instruct import SelfInstruct
from isheep_lib.synthesize.methods.in_context.task_list import TaskList
from isheep_lib.synthesize.methods.in_context.unnatural_instructions import UnnaturalInstructions
from isheep_lib.synthesize.methods.revision.dromedary import Dromedary
from isheep_lib.synthesize.methods.revision.iteralign import IterAlign
from isheep_lib.synthesize.methods.revision.selective_reflection import SelectiveReflection

METHODS: dict[str, Method[Any]] = {
    method.name: method
    for method in (
        *(TaskList(), Dialogue(), Magpie(), SelfInstruct(), UnnaturalInstructions(), LaMini(), Dynosaur()),
        *(EvolInstruct(), WizardCoder(), WizardMath(), AutoEvol()),
        *(LongForm(), InstructionBacktranslation(), DogInstruct(), Udit()),
        *(SelectiveReflection(), IterAlign(), Dromedary()),
        *(LLM2LLM(), LLMsAsInstructors(), AutoDetect(), Rainbow()),
    )
}
