"""SIGKILL at random moments, to the parent, to its worker, or to both; then the same command again.

The moments: at any time; just after a worker has started; while a file is being written.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random

from tests.torture.campaign import Fault, Tried
from tests.torture.oracles import whole_files
from tests.torture.processes import (
    ORPHAN_SECONDS,
    Running,
    finish,
    no_orphans,
    prepare,
    run_arguments,
)

GOAL, UNIT = 1000, "kills"
SLICE = (0,)
_KILLS = 3  # of one run, before it may go on to its end
_TARGETS = ("parent", "parent", "worker", "both")
_MOMENTS = ("any time", "worker starts", "file is written")
_WITH_TURNS = 5  # one of so many runs also takes turns, with two backends
_TURNS = (
    *("--backend", "reference,torture", "--python", f"torture={sys.executable}"),
    *("--turns", "2"),
)


def attempt(seed: int, folder: Path) -> Tried:
    """One run, killed three times and then left alone."""
    random, run, kinds = Random(seed), folder / "run", []
    more = _TURNS if seed % _WITH_TURNS == _WITH_TURNS - 1 else ()
    clean, expected = prepare(run, *more, with_limits=random.random() < 0.75)
    faults, waits, mark, killed_at = list[Fault](), False, "", 0.0
    with ExitStack() as stack:  # a killed run's orphans are ended only at its end
        for _ in range(_KILLS):
            retry = ("--retry",) if kinds else ()
            running = stack.enter_context(Running(run_arguments(run, *more, *retry), folder))
            if waits:  # beside the orphans of the run before
                time.sleep(ORPHAN_SECONDS)
                faults += no_orphans([mark], killed_at)
            target, moment = random.choice(_TARGETS), random.choice(_MOMENTS)
            _wait(running, run, moment, random)
            _kill(running, target)
            if target == "worker":
                faults += running.end().faults
            running.process.wait()
            kinds.append(f"{target}, {moment}")
            mark, killed_at = running.mark, time.monotonic()
            faults += whole_files(run)
            waits = random.random() < 0.5
            if not waits:
                faults += no_orphans([mark], killed_at)
        running = stack.enter_context(Running(run_arguments(run, *more, "--retry"), folder))
        faults += finish(running, run, clean, expected)
        faults += no_orphans([mark], killed_at)
    return Tried(len(kinds), faults, kinds)


def _wait(running: Running, run: Path, moment: str, random: Random) -> None:
    """Wait for the moment, or until the run has ended."""
    longest = {"any time": 6, "worker starts": 3, "file is written": 4}
    until = time.monotonic() + random.uniform(0, longest[moment])  # not always the first of them
    running.wait_for(lambda: time.monotonic() > until)
    if moment == "worker starts":
        running.wait_for(lambda: not running.workers(), 5)
        running.wait_for(running.workers, 5)
        time.sleep(random.choice((0, random.uniform(0, 0.3))))
    if moment == "file is written":
        running.wait_for(lambda: any(run.rglob("*.tmp")), 3)


def _kill(running: Running, target: str) -> None:
    chosen = [running.process.pid] if target != "worker" else []
    chosen += running.workers() if target != "parent" else []
    for pid in chosen:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
