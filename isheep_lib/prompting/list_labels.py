"""The words by which a list of tasks is read: labels of its lines, and what says that a task has no input.

    labels("zh").input            # ("输入", …)

English words are read in every language, as models fall back to them. This small table is all that there is until the
rules of languages hold these words.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Labels:
    """Words of one language, each without a colon.

    Attributes:
        instruction: labels of an instruction.
        input: labels of an input.
        output: labels of an answer, which ends an input.
        no_input: what says that there is none.
        marks: signs between an item's number and its text, full-width ones as ASCII.
        ordinals: regular expressions of what else numbers an item, # being the number.
        stops: signs after the number of an item that is not asked for.
    """

    instruction: tuple[str, ...]
    input: tuple[str, ...]
    output: tuple[str, ...]
    no_input: tuple[str, ...]
    marks: str = "."
    ordinals: tuple[str, ...] = ()
    stops: tuple[str, ...] = (".",)


ENGLISH = Labels(("Instruction",), ("Input",), ("Output",), ("no input", "none", "n/a", "na"))
CHINESE = Labels(
    instruction=("指令", "任务", "任務", "指示", "题目", "題目"),
    input=("输入", "輸入"),
    output=("输出", "輸出", "回答", "答案"),
    no_input=(
        *("无", "無", "没有", "沒有", "空", "暂无"),
        *("无输入", "無輸入", "没有输入", "沒有輸入", "无需输入", "無需輸入", "不需要输入", "不需要輸入"),
    ),
    marks=".、",
    ordinals=(
        "（[ \t]*#[ \t]*）",
        "第[ \t]*#[ \t]*[个個项項条條道]?[ \t]*(?:任务|任務|指令|题目?|題目?)",
        "(?:任务|任務|指令|题目|題目)[ \t]*#",
    ),
    stops=(".", "．", "、"),
)
TABLE = {"en": ENGLISH, "zh": CHINESE}


def labels(language: str) -> Labels:
    """Return the words of a language together with the English ones; those alone for a language that is not in the table."""
    own = TABLE.get(language, ENGLISH)
    if own is ENGLISH:
        return ENGLISH
    return Labels(
        (*own.instruction, *ENGLISH.instruction),
        (*own.input, *ENGLISH.input),
        (*own.output, *ENGLISH.output),
        (*own.no_input, *ENGLISH.no_input),
        own.marks,
        own.ordinals,
        own.stops,
    )
