"""Workloads and suites with random mistakes, by Hypothesis, against the reader of specs.

Each example is a real file with some of its values changed, moved, removed or doubled. Reading it
gives a value or one error in plain words, at once. Some go through the command line, too.
"""

from __future__ import annotations

import copy
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from specs.errors import UserError
from specs.loading import SUITES, WORKLOADS, load_suite, load_workload
from tests.torture.calls import call
from tests.torture.campaign import Fault, Tried
from tests.torture.mutations import hostile_text
from tests.torture.oracles import plain_terminal, tail

GOAL, UNIT = 100_000, "specs"
SLICE = (0,)
_EXAMPLES = 500  # of an attempt
_CALLED = 12  # of these go through the command line
_SECONDS = 5  # the slowest healthy one takes a thousandth of it
_LONGEST_MESSAGE = 4000  # characters; it is read on a terminal
_COMMANDS = ("show {}", "show {} --as pytorch", "run {} --dry-run --backend reference")

# A seed gives the same specs whatever is imported, and after the code has changed: Hypothesis would
# else draw from the constants of all modules of this project.
_NO_CONSTANTS = Constants()
providers._get_local_constants = lambda: _NO_CONSTANTS

_numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 1, 10**6, 10**9, 10**18, 2**63, 10**30, 1e308, 1e-320, 0.1]),
)
_texts = st.one_of(
    st.text(max_size=20),
    st.integers(0, 2**32).map(lambda seed: hostile_text(Random(seed))[:20_000]),
    st.sampled_from(
        ["dense", "conv2d", "sgd", "adam", "type", "softmax", "mnist", "glorot_uniform"]
    ),
    st.sampled_from(
        ["` - at `$", "` - at `$.layers[...]", "layers[0]", "$", "a.b[1]", "`", "%s", ""]
    ),
)
_scalars = st.one_of(st.none(), st.booleans(), _numbers, _texts)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4)
)


def attempt(seed: int, folder: Path) -> Tried:
    """Some hundred specs to the reader, and a dozen of them to the command line."""
    faults: dict[str, Fault] = {}
    kept: list[bytes] = []
    hostile: list[bytes] = []  # their messages have characters that control a terminal
    path = folder / "spec.json"

    @hypothesis.seed(seed)
    @settings(
        max_examples=_EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(_specs())
    def read(example: tuple[str, bytes]) -> None:
        kind, content = example
        path.write_bytes(content)
        kept.append(content)
        found, message = _read(kind, path)
        if plain_terminal(message):
            hostile.append(content)
        for fault in found:
            shown = f"{fault.text}\n{kind}: {content[:600]!r}"
            which = fault.text if fault.oracle == "traceback" else ""
            faults.setdefault(fault.oracle + which, Fault(fault.oracle, shown))

    read()
    random = Random(seed)
    for content in [*hostile[: _CALLED // 2], *random.sample(kept, _CALLED // 2)]:
        path.write_bytes(content)
        command = random.choice(_COMMANDS)
        called = call(command.format(path).split(), folder, [folder / "results"])
        found = [*called.faults]
        if called.code not in {0, 2}:
            found.append(Fault("exit code", f"{called.code}: {tail(called.errors)}"))
        for fault in found:
            shown = f"bench {command}: {fault.text}\n{content[:600]!r}"
            faults.setdefault(fault.oracle + command, Fault(fault.oracle, shown))
    return Tried(len(kept), [*faults.values()], ["workloads and suites"])


def _read(kind: str, path: Path) -> tuple[list[Fault], str]:
    """Read a file: what only an error in plain words may come of, and its message."""
    try:
        with _in_time():
            (load_workload if kind == "workload" else load_suite)(path)
    except UserError as error:
        message = str(error)
        if len(message) > _LONGEST_MESSAGE:
            return [Fault("long message", f"{len(message):,} characters")], message
        return [], message
    except TimeoutError:
        return [Fault("no end in time", f"more than {_SECONDS} s")], ""
    except Exception as error:  # noqa: BLE001 - whatever it is, the user would see a traceback
        return [Fault("traceback", f"{type(error).__name__}: {str(error)[:200]}")], ""
    return [], ""


@contextmanager
def _in_time() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@cache
def _originals() -> list[tuple[str, Any]]:
    kinds = (("workload", WORKLOADS), ("suite", SUITES))
    return [
        (kind, json.loads(path.read_bytes()))
        for kind, folder in kinds
        for path in sorted(folder.glob("*.json"))
    ]


@st.composite
def _specs(draw: st.DrawFn) -> tuple[str, bytes]:
    """A kind of spec, and the content of a file."""
    kind, original = draw(st.sampled_from(_originals()))
    spec = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        places = [*_places(spec)]
        if not places:
            break
        parent, at = draw(st.sampled_from(places))
        _CHANGES[draw(st.sampled_from([*_CHANGES]))](draw, spec, parent, at)
    content = json.dumps(spec, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    cut = draw(st.one_of(st.none(), st.none(), st.none(), st.integers(0, len(content))))
    return kind, content if cut is None else content[:cut] + draw(st.binary(max_size=8))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """All places in a spec, each as its parent and a key or an index."""
    steps = [*value.items()] if isinstance(value, dict) else [*enumerate(value)]
    for step, inner in steps:
        yield value, step
        if isinstance(inner, (dict, list)):
            yield from _places(inner)


def _replace(draw: st.DrawFn, _: Any, parent: Any, at: Any) -> None:
    same = _numbers if isinstance(parent[at], (int, float)) else _values
    parent[at] = draw(st.one_of(same, _values))


def _remove(_draw: st.DrawFn, _: Any, parent: Any, at: Any) -> None:
    del parent[at]


def _move(draw: st.DrawFn, spec: Any, parent: Any, at: Any) -> None:
    """Put what stands elsewhere in the spec here."""
    other, step = draw(st.sampled_from([*_places(spec)]))
    parent[at] = copy.deepcopy(other[step])


def _add(draw: st.DrawFn, _: Any, parent: Any, at: Any) -> None:
    if isinstance(parent, dict):
        parent[draw(_texts)] = draw(_values)
    else:
        parent.insert(at, draw(_values))


def _repeat(draw: st.DrawFn, _: Any, parent: Any, at: Any) -> None:
    """Repeat an element of a list, up to 2,000 times."""
    if isinstance(parent, list):
        parent[at:at] = [parent[at]] * draw(st.sampled_from([1, 2, 100, 2000]))


def _nest(draw: st.DrawFn, _: Any, parent: Any, at: Any) -> None:
    for _number in range(draw(st.sampled_from([1, 3, 50, 300]))):
        parent[at] = [parent[at]] if draw(st.booleans()) else {"type": parent[at]}


_CHANGES = {
    "replace": _replace,
    "replace again": _replace,
    "remove": _remove,
    "move": _move,
    "add": _add,
    "repeat": _repeat,
    "nest": _nest,
}
