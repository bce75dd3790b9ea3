"""Interpreters for `--python` that hang, print without end, or answer nonsense."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.records.run import read_run
from tests.torture.campaign import Fault, Tried, faults_of
from tests.torture.oracles import MARK
from tests.torture.processes import (
    PARENT_BYTES,
    Running,
    describe,
    no_orphans,
    run_arguments,
    undisturbed,
)

_END_SECONDS = 120.0
_TIMEOUT = "4"
_HUGE = 50_000_000


def _prints(text: str) -> str:
    return f"printf %s {shlex.quote(text)}\n"


def _as_worker(command: str) -> str:
    """Answers as Python does, but is no worker."""
    return f'case "$1" in -*) exec {sys.executable} "$@";; esac\n{command}\n'


_SCRIPTS = {
    "null": _prints("null"),
    "numbers as versions": _prints('{"python": 3, "numpy": 2, "msgspec": 1}'),
    "endless": "exec yes\n",
    "hangs": "exec sleep 1000\n",
    "hangs without output": "exec >&- 2>&-\nexec sleep 1000\n",
    "a helper holds the output": "sleep 1000 &\n" + _prints('{"numpy": "2", "msgspec": "1"}'),
    "endless errors": "exec yes >&2\n",
    "endless without lines": "exec cat /dev/zero\n",
    "list": _prints("[]"),
    "number": _prints("5"),
    "text": _prints('"x"'),
    "true": _prints("true"),
    "nested": _prints('{"numpy": {"a": []}, "msgspec": [1], "python": null}'),
    "deep": f"{sys.executable} -c 'print(\"[\" * 200000)'\n",
    "huge": f'{sys.executable} -c \'print("{{\\"numpy\\": \\"" + "x" * {_HUGE} + "\\"}}")\'\n',
    "hostile versions": _prints(
        f'{{"numpy": "\\u001b[2J<{MARK}>", "msgspec": "=cmd|{MARK}", "python": "a\\u0000b"}}'
    ),
    "hostile names": _prints(f'{{"numpy": "2", "msgspec": "1", "<{MARK}>\\u001b": "1"}}'),
    "no UTF-8": "printf '\\377\\376{}'\n",
    "lone surrogate": _prints('{"numpy": "\\ud800", "msgspec": "1"}'),
    "empty": "",
    "fails": "echo why >&2\nexit 3\n",
    "fails in colours": f"printf '\\033[2J<{MARK}>' >&2\nexit 3\n",
    "killed": "kill -9 $$\n",
    "killed by 40": "kill -40 $$\n",
    "worker hangs": _as_worker("exec sleep 1000"),
    "worker ends": _as_worker("exit 0"),
    "worker fails": _as_worker("echo why\nexit 3"),
    "worker prints": _as_worker("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"),
    # Its arguments are our program, the assignment, the lines, and others.
    "worker writes nonsense": _as_worker('for f in "$2" "$3"; do echo "{}[" >> "$f"; done'),
    "worker removes its files": _as_worker('rm -f "$2" "$3"'),
    "worker leaves helpers": _as_worker("setsid sleep 77 &\nsleep 77 &\nexit 0"),
}
_THINGS: dict[str, Callable[[Path], object]] = {
    "folder": lambda path: path.mkdir(),
    "pipe": lambda path: os.mkfifo(path, 0o755),
    "link to itself": lambda path: path.symlink_to(path.name),
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "not executable": lambda path: path.write_text("#!/bin/sh\n"),
    "no program": lambda path: (path.write_bytes(os.urandom(1000)), path.chmod(0o755)),
    "no such interpreter": lambda path: (path.write_text("#!/no/such\n"), path.chmod(0o755)),
}
_NAMES = [*_SCRIPTS, *_THINGS]

GOAL, UNIT = 2 * len(_NAMES), "interpreters"
SLICE = (0, 1, 2)


def attempt(seed: int, folder: Path) -> Tried:
    """A run with one such interpreter."""
    name, run, python = _NAMES[seed % len(_NAMES)], folder / "run", folder / "python"
    if name in _THINGS:
        _THINGS[name](python)
    else:
        python.write_text(f"#!/bin/sh\n{_SCRIPTS[name]}")
        python.chmod(0o755)
    undisturbed()  # so that the data are there
    place = ("--backend", "torture", "--python", f"torture={python}", "--timeout", _TIMEOUT)
    with Running(run_arguments(run, *place, "--seeds", "0"), folder) as running:
        ended = running.end(_END_SECONDS, run)
        faults = [*ended.faults, *no_orphans([running.mark], time.monotonic())]
    if ended.code not in {0, 1, 2, None}:
        faults.append(Fault("no proper end", describe(ended)))
    if ended.peak_bytes > PARENT_BYTES:
        faults.append(Fault("memory of the parent", f"{ended.peak_bytes / 1e6:.0f} MB"))
    left_out = read_run(run)[1] if (run / "jobs").is_dir() else []
    faults += [Fault("a record of its own that it cannot read", str(file)) for file in left_out]
    return Tried(1, faults_of(name, faults), [name])
