"""Programs and their tests in processes of their own: what passes without solving, and what crosses between the two."""

import pytest

from isheep_lib.sandbox.run import Limits, Program, run_programs, why_not

# What a program would have to know: it never sees this text.
TESTS = """
def check(candidate):
    xs = [3, 1, 2]
    assert candidate(xs) == 10 * sum(xs)
    assert candidate([]) == 0
    assert candidate([5]) == 50
    return

check(candidate)
"""
NAMES = {"candidate": "f"}
SOLVED = "def f(xs):\n    return 10 * sum(xs)\n"
LIMITS = Limits(seconds=30.0, cpu_seconds=10)
PIPES = """
import os
def each(act):
    for number in range(3, 64):
        try: act(number)
        except OSError: pass
"""
EQUAL = """
class Equal(BASE):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return hash(other)
    def __lt__(self, other): return True
    def __abs__(self): return 0
    def __sub__(self, other): return 0
    __rsub__, __class__, __len__, __contains__ = __sub__, int, lambda s: 60, lambda s, x: True
def f(xs): return Equal()
"""
WIRE = "import sys\nwire = sys.modules['isheep_lib.sandbox.wire']\nreply = wire.pack(('return', 60), None)\n"

ATTACKS = {
    "equal to everything": EQUAL.replace("BASE", "object"),
    **{f"a kind of {base} equal to everything": EQUAL.replace("BASE", base) for base in ("int", "float", "complex", "str")},
    **{f"a kind of {base} equal to all": EQUAL.replace("BASE", base) for base in ("list", "tuple", "set", "dict", "bytes")},
    "unittest's ANY": "from unittest.mock import ANY\ndef f(xs): return ANY",
    "a mock": "from unittest.mock import MagicMock\nf = MagicMock()\nf.return_value.__eq__.return_value = True",
    "a type whose instances are all": """
class Meta(type):
    def __instancecheck__(cls, other): return True
    def __eq__(cls, other): return True
    __hash__ = type.__hash__
class f(metaclass=Meta):
    def __init__(self, xs): pass
""",
    "numpy's broadcasting": "import numpy\ndef f(xs): return numpy.array([])",
    "an array for every number": "import numpy\ndef f(xs): return numpy.arange(100)",
    "a false numpy": """
class Number:
    __module__ = 'numpy'
    shape = ()
    class dtype: kind = 'i'
    def item(self): return self
def f(xs): return Number()
""",
    "holds everything": "class All:\n    def __contains__(self, x): return True\n    def __getitem__(self, i): return self\n"
    "def f(xs): return All()",
    "endless numbers": "import itertools\ndef f(xs): return itertools.count()",
    "not implemented": "def f(xs): return NotImplemented",
    "trace jumps over asserts": """
import sys
def jump(frame, event, arg):
    if event == 'line' and frame.f_code.co_name == 'check': frame.f_lineno = frame.f_code.co_firstlineno + 5
    return jump
sys.settrace(jump)
def f(xs): return 1
""",
    "profile hides errors": "import sys\nsys.setprofile(lambda frame, event, arg: None)\ndef f(xs): return 1",
    "check replaced by its caller": """
import sys
def f(xs):
    frame = sys._getframe()
    while frame:
        for names in (frame.f_globals, frame.f_locals):
            for name in list(names):
                if name in ('check', 'candidate', 'execute', 'describe', 'pack'): names[name] = lambda *a, **k: b'P'
        frame = frame.f_back
    return 1
""",
    "a check of its own": "def check(candidate): pass\ncandidate = check\ndef f(xs): return 1",
    "asserts replaced": "import builtins\nbuiltins.AssertionError = Warning\ndef f(xs): return 1",
    "an import replaced": "import builtins\nbuiltins.__import__ = lambda *a, **k: None\ndef f(xs): return 1",
    "built-in functions replaced": """
import builtins
builtins.abs = builtins.sum = lambda *a: 0
builtins.type = builtins.list = builtins.isinstance = lambda *a: int
builtins.BaseException = builtins.Exception = ()
def f(xs): return 0
""",
    "exec replaced": "import builtins\nbuiltins.exec = builtins.compile = lambda *a, **k: None\ndef f(xs): return 1",
    "numbers changed in memory": """
import ctypes
ctypes.memset(id(60) + 24, 0, 4)
ctypes.memset(id(50) + 24, 0, 4)
def f(xs): return 0
""",
    "sum's equality changed in memory": "import ctypes, gc\n"
        "(gc.get_referents(int.__dict__) or [{}])[0]['__eq__'] = lambda a, b: True\n"
    "def f(xs): return 1",
    "its argument changed": "def f(xs):\n    if len(xs) == 3: xs.clear()\n    return 10 * sum(xs)",
    "exit": "import sys\ndef f(xs): sys.exit(0)",
    "exit at once": "import os\nos._exit(0)",
    "exit when called": "import os\ndef f(xs): os._exit(0)",
    "exit at the end": "import atexit, os\natexit.register(os._exit, 0)\ndef f(xs): raise SystemExit(0)",
    "exit by the hook": "import os, sys\nsys.excepthook = lambda *a: os._exit(0)\ndef f(xs): return 1",
    "leaving replaced": "import os\nos._exit = os.abort = lambda *a: None\ndef f(xs): raise SystemExit(0)",
    **{
        f"raises {name}": f"def f(xs): raise {name}"
        for name in ("StopIteration", "GeneratorExit", "KeyboardInterrupt", "SystemExit(0)", "AssertionError", "Warning")
    },
    "an exception that is none": "class E(Exception):\n    __bool__ = lambda s: False\n"
        "    def __str__(s): return 'P'\ndef f(xs): raise E",
    "the verdict said by itself": PIPES + "each(lambda n: os.write(n, b'P'))\nos._exit(0)",
    "the verdict said before": PIPES + "each(lambda n: os.write(n, b'SP'))\ndef f(xs): return 1",
    "the verdict said when called": PIPES + "def f(xs):\n    each(lambda n: os.write(n, b'SP'))\n    os._exit(0)",
    "what lies ready read": PIPES
    + "found = []\neach(lambda n: found.append(os.pread(n, 9999, 0)))\n"
    + "assert not any(b'wanted' in part for part in found)\ndef f(xs): return 1",
    "what lies ready written": PIPES
    + "found = []\neach(lambda n: found.append(os.pread(n, 1 << 20, 0)))\n"
    + "for part in sorted(found, key=len): each(lambda n: os.write(n, part[-16:]))\nos._exit(0)",
    "a token in the frames": PIPES
    + """
import sys
frame, numbers = sys._getframe(), []
while frame:
    numbers += [value for value in frame.f_locals.values() if type(value) is int]
    frame = frame.f_back
for source in numbers:
    try:
        os.set_blocking(source, False)
        said = os.read(source, 64)
    except OSError: continue
    each(lambda n: os.write(n, said))
os._exit(0)
""",
    "the check skipped by its callers frame": """
import sys
def f(xs):
    frame = sys._getframe(1)
    while frame and frame.f_code.co_name != 'check': frame = frame.f_back
    if frame: frame.f_locals['given'] = frame.f_globals['sum'] = lambda xs: 0.1
    return 1
""",
    "the runner in __main__": """
import __main__, sys
for module in [__main__, *list(sys.modules.values())]:
    for name in ('describe', 'run', 'execute', 'limit', 'pack', 'confine'):
        if hasattr(module, name): setattr(module, name, lambda *a, **k: b'P')
for name, value in list(vars(__main__).items()):
    if name.isupper() and isinstance(value, bytes): setattr(__main__, name, b'P')
def f(xs): raise ValueError
""",
    "a token in memory": """
import gc, os
texts = [o for o in gc.get_objects() if isinstance(o, (dict, list, tuple))]
assert not any('10 * sum' in repr(o) for o in texts if len(o) < 50 and o is not texts)
def f(xs): return 1
""",
    "another process traced": """
import ctypes, os
libc = ctypes.CDLL(None)
for pid in [os.getppid(), *range(1, 50)]: libc.ptrace(16, pid, 0, 0)
def f(xs): return 1
""",
    "another process read": """
import os
for pid in os.listdir('/proc') if os.path.isdir('/proc') else []:
    if pid.isdigit(): open(f'/proc/{pid}/mem', 'r+b').write(b'P')
def f(xs): return 1
""",
    "other processes killed": "import os, signal\nfor pid in (1, -1, 0, os.getppid()):\n    try: os.kill(pid, 9)\n"
        "    except OSError: pass\n"
    "def f(xs): return 1",
    "answers ahead of questions": PIPES + WIRE + "each(lambda n: [wire.send(n, reply) for _ in range(20)])\n"
        "def f(xs): return 60",
    "names that are other things": PIPES
    + WIRE
    + "each(lambda n: wire.send(n, wire.pack(('return', {'f': int, 'check': int}), None)))\ndef f(xs): return 1",
    "a wire of its own": WIRE + "for m in sys.modules.values():\n"
        "    if hasattr(m, 'pack'): m.pack = lambda *a: reply\ndef f(xs): return 1",
    "no such message": PIPES + "each(lambda n: os.write(n, (9).to_bytes(8, 'big') + b'?' * 9))\ndef f(xs): return 1",
    "a message of endless depth": PIPES
    + "deep = (b'l' + (1).to_bytes(8, 'big')) * 99999\n"
    + "each(lambda n: os.write(n, len(deep).to_bytes(8, 'big')) and os.write(n, deep))\ndef f(xs): return 1",
    "a message too long": PIPES + "each(lambda n: os.write(n, b'\\x7f' * 8))\ndef f(xs): return 1",
    "a value of endless depth": "def f(xs):\n    x = []\n    for _ in range(99999): x = [x]\n    return x",
    "a value that holds itself": "def f(xs):\n    x = []\n    x.append(x)\n    return x",
    "a value too large": "def f(xs): return bytes(100 << 20)",
    "pipes closed": "import os\nos.closerange(3, 64)\ndef f(xs): return 1",
    "pipes closed when called": "import os\ndef f(xs):\n    os.closerange(3, 64)\n    return 60",
    "another process answers": "import os\nif os.fork(): os._exit(0)\ndef f(xs): return 1",
}  # fmt: skip
# These take all their time.
HANG = {
    "never comes to its end": "while True: pass",
    "never answers": "import time\ndef f(xs): time.sleep(1000)",
    "pipes closed and asleep": "import os, time\nos.closerange(3, 64)\ntime.sleep(1000)",
    "half a message": PIPES + "import time\neach(lambda n: os.write(n, b'\\0' * 7))\ntime.sleep(1000)",
    "an endless message": PIPES + "def f(xs):\n    while True: each(lambda n: os.write(n, bytes(1 << 16)))",
    "an endless sequence": "def f(xs):\n    while True: xs.append(1)",
    "all processes stopped": "import os, signal\nos.kill(-1, signal.SIGSTOP)\nos.kill(os.getpid(), signal.SIGSTOP)",
}


@pytest.fixture(scope="module")
def confined():
    if reason := why_not("bubblewrap"):
        pytest.skip(f"bubblewrap: {reason}")
    return "bubblewrap"


@pytest.fixture(scope="module")
def outcomes(confined):
    programs = {name: Program(code, TESTS, NAMES) for name, code in ATTACKS.items()}
    found = run_programs(programs, confined, LIMITS)
    return found | run_programs(
        {name: Program(code, TESTS, NAMES) for name, code in HANG.items()}, confined, Limits(seconds=2.0, memory_mb=256)
    )


@pytest.mark.parametrize("name", [*ATTACKS, *HANG])
def test_no_program_passes_without_solving(outcomes, name):
    outcome = outcomes[name]
    assert not outcome.passed
    assert outcome.reason in ("failed", "exit", "timeout", "memory", "output", "killed")


def test_there_are_many_ways_not_to_solve():
    assert len(ATTACKS) + len(HANG) > 60


def one(confined, code, tests, names=("f",)):
    return run_programs({"one": Program(code, tests, {name: name for name in names})}, confined, LIMITS)["one"]


def test_a_program_that_solves_passes(confined):
    assert one(confined, SOLVED, TESTS.replace("candidate", "f")).passed
    assert not one(confined, SOLVED.replace("10", "9"), TESTS.replace("candidate", "f")).passed


@pytest.mark.parametrize(
    "value",
    [
        "None", "True", "-1", "2**70", "-2**70", "0.1", "-0.0", "float('inf')", "-float('inf')", "1e-320",
        "1+2j", "complex('nan')", "''", "'é漢\\ud800\\0\\n'", "b'\\0\\xff'", "[]", "()", "{}", "set()", "frozenset()",
        "[1, [2, (3, {4: {5, 6}})]]", "{(1, 2): [3], None: b'x', frozenset({1}): {'a': (1.5, True)}}", "range(2, 9, 3)",
        "int", "[list, str, type(None)]", "(1,)", "[[[[[[[[[[]]]]]]]]]]", "['a' * 100_000]", "list(range(20_000))",
    ],
)  # fmt: skip
def test_plain_values_cross_as_they_are(confined, value):
    tests = f"x = {value}\nassert repr(f(x)) == repr(x) and type(f(x)) is type(x)\nassert repr(g()) == repr(x)"
    assert one(confined, f"def f(x): return x\ndef g(): return {value}", tests, ("f", "g")).passed


@pytest.mark.parametrize(
    ("code", "tests"),
    [
        ("def f(x): return x * 10", "assert f(10 ** 9999) == 10 ** 10000 and f(-(10 ** 9999)) == -(10 ** 10000)"),
        ("def f(x): return float('nan')", "x = f(1)\nassert x != x"),
        ("from collections import Counter\ndef f(x): return Counter(x)", "assert f('aab') == {'a': 2, 'b': 1}"),
        ("from collections import defaultdict\ndef f(x): return defaultdict(list, a=x)", "assert f([1]) == {'a': [1]}"),
        ("from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(x): return P(x, 2)", "assert f(1) == (1, 2)"),
        ("import enum\nclass E(enum.IntEnum):\n    A = 3\ndef f(x): return E.A", "assert f(1) == 3"),
        ("import enum\nclass E(str, enum.Enum):\n    A = 'a'\ndef f(x): return E.A", "assert f(1) == 'a'"),
        ("import numpy\ndef f(x): return numpy.float32(x)", "assert f(0.5) == 0.5"),
        ("import numpy\ndef f(x): return [numpy.int64(x), numpy.bool_(True)]", "assert repr(f(3)) == '[3, True]'"),
        ("import numpy\ndef f(x): return numpy.array(x) * 2", "import numpy\nassert numpy.array_equal(f([[1, 2]]), [[2, 4]])"),
        ("def f(x): return x.sum()", "import numpy\nassert f(numpy.ones((2, 3))) == 6"),
        ("def f(x):\n    for i in range(x): yield i", "assert list(f(3)) == [0, 1, 2]"),
        ("def f(x):\n    while True: yield x", "g = f(3)\nassert [next(g), next(g)] == [3, 3]"),
        ("def f(x): return map(str, x)", "assert set(f([1, 2])) == {'1', '2'}"),
        ("def f(x): return x.items()", "assert sorted(f({1: 2})) == [(1, 2)] and len(f({1: 2})) == 1"),
        ("import re\ndef f(x): return re.search('b', x)", "assert f('abc') and not f('x')\nassert f('abc').group() == 'b'"),
        ("def f(x): return lambda y: x + y", "assert f(1)(2) == 3"),
        ("def f(x, *rest, y=1, **more): return [x, rest, y, more]", "assert f(1, 2, y=3, z=4) == [1, (2,), 3, {'z': 4}]"),
        ("def f(x): return 1 / x", "try: f(0)\nexcept ZeroDivisionError as error: assert 'zero' in str(error)\n"
            "else: assert False"),
        ("class E(ValueError): pass\ndef f(x): raise E(x)", "try: f('why')\n"
            "except ValueError as error: assert str(error) == 'why'"),
        ("def f(x): return {}[x]", "try: f('k')\nexcept KeyError as error: assert error.args == ('k',)\nelse: assert False"),
        ("def f(x): return open(x)", "try: f('none')\nexcept FileNotFoundError as error: assert error.errno == 2\n"
            "else: assert False"),
        ("def f(x): return b'\\xff'.decode()", "try: f(1)\nexcept ValueError: x = 1\nassert x"),
        ("def f(x):\n    x.append(1)\n    return x", "xs = []\nassert f(xs) == [1] and xs == []"),
        ("def f(x): return print(x)", "assert f('out') is None"),
        ("def f(n): return 1 if n < 2 else n * f(n - 1)", "assert f(300) % 7 == 0"),
        ("f = lambda x: x + 1", "assert f(1) == 2"),
        ("from functools import lru_cache\n@lru_cache\ndef f(x): return x", "assert f(1) == 1"),
        ("class f:\n    def __init__(self, x): self.x = x\n"
            "    def up(self): return self.x + 1", "assert f(1).up() == 2 == f(2).x"),
        ("class f:\n    def __init__(self, x): self._number = x", "a = f(5)\nassert a._number == 5\na._number = 6\n"
         "assert a._number == 6"),
        ("class f:\n    @staticmethod\n    def g(x): return x", "assert f.g(1) == 1"),
        ("class f:\n    def __init__(self, x): self.x = [x]\n"
            "    def __getitem__(self, i): return self.x[i]", "assert f(5)[0] == 5"),
        ("class f:\n    def __init__(self, x): self.x = self\n    def __str__(self): return 'me'", "a = f(1)\n"
            "assert a.x is a.x and a.x == a\n"
         "assert str(a) == 'me' and a != f(1)"),
    ],
)  # fmt: skip
def test_what_honest_programs_give_back_passes(confined, code, tests):
    outcome = one(confined, code, tests)
    assert outcome.passed, outcome


def test_objects_that_the_tests_build_of_the_programs_classes_go_back_to_it(confined):
    code = """
class Node:
    def __init__(self, value): self.value, self.left, self.right = value, None, None
def depth(node): return 0 if node is None else 1 + max(depth(node.left), depth(node.right))
"""
    tests = "root = Node(1)\nroot.left = Node(2)\nroot.left.right = Node(3)\n"
    tests += "assert depth(root) == 3 and depth([][:1] or None) == 0\n"
    tests += "assert root.left.right.value == 3"
    assert one(confined, code, tests, ("Node", "depth")).passed


@pytest.mark.parametrize(
    ("code", "tests", "reason", "detail"),
    [
        ("def f(x): return 1", "assert f(1) == 2", "failed", "AssertionError: assert f(1) == 2"),
        ("def f(x): return 1", "assert f(1) == 2, f(1)", "failed", "AssertionError: 1"),
        ("def f(x): return x.y", "f(1)", "failed", "AttributeError: 'int' object has no attribute 'y'"),
        ("def f(x): raise KeyError", "\nf(1)", "failed", "KeyError: f(1)"),
        ("def f(x): return", "f(", "failed", "SyntaxError: '(' was never closed (<program>, line 1)"),
        ("1 / 0", "f(1)", "failed", "ZeroDivisionError: division by zero"),
        ("def g(x): pass", "f(1)", "failed", "NameError: the program does not define f"),
        ("def f(x): pass", "f(len)", "failed",
         "TypeError: the tests pass a builtin_function_or_method; plain values can be passed, and what the program made"),
        ("def f(x): raise SystemExit", "try: f(1)\nexcept BaseException: pass", "exit", ""),
        ("import os\ndef f(x): os._exit(3)", "try: f(1)\nexcept BaseException: pass", "exit", ""),
        ("import ctypes\ndef f(x): ctypes.string_at(0)", "try: f(1)\nexcept BaseException: pass", "killed", "signal 11"),
        ("def f(x): return bytearray(1 << 40)", "f(1)", "memory", ""),
        ("def f(x): return bytes(100 << 20)", "try: f(1)\nexcept BaseException: pass", "output", ""),
        ("def f(x):\n    while True: print('x' * 1000)", "f(1)", "output", ""),
        ("def f(x): return print('x' * 100_000)", "f(1)", "output", ""),
        ("def f(x): return 1", "while True: print('x' * 1000)", "output", ""),
        ("def f(x): return 1", "f(1)\nx = bytearray(1 << 40)", "memory", ""),
        ("def f(x): raise StopIteration", "assert list(map(f, [1])) == []", "failed",
         "RuntimeError: assert list(map(f, [1])) == []"),
        ("class A:\n    def __contains__(self, x): return True\ndef f(x): return A()", "assert 3 in f(1)", "failed",
         "TypeError: argument of type 'Remote' is not iterable"),
        ("def f(x): return 1", "import sys\nsys.exit(0)", "exit", ""),
        ("def f(x): return 1", "import os\nos._exit(0)", "exit", ""),
    ],
)  # fmt: skip
def test_how_a_program_failed_is_said(confined, code, tests, reason, detail):
    outcome = one(confined, code, tests)
    assert (outcome.passed, outcome.reason, outcome.detail) == (False, reason, detail)


def test_tests_that_hang_are_ended(confined):
    programs = {"tests": Program("def f(x): pass", "while True: pass", {"f": "f"})}
    assert run_programs(programs, confined, Limits(seconds=2.0))["tests"].reason == "timeout"


def test_the_limits_hold_for_the_tests_too(confined):
    tests = "import resource\nassert f() == [resource.getrlimit(n) for n in range(9)]"
    assert one(confined, "import resource\ndef f(): return [resource.getrlimit(n) for n in range(9)]", tests).passed


def test_the_tests_and_the_program_see_different_processes_folders_and_users(confined):
    code = "import os\ndef f(): return [os.getuid(), os.listdir('.')]\nopen('mine', 'w').close()"
    outcome = one(confined, code, "import os\nuser, files = f()\nassert files == ['mine'] and os.listdir('.') == []")
    assert outcome.passed, outcome
