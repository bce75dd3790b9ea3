"""Every signal that a process can catch, to the parent and to its worker; then the same command."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from random import Random

from tests.torture.campaign import Fault, Tried, faults_of
from tests.torture.oracles import whole_files
from tests.torture.processes import (
    Running,
    describe,
    finish,
    no_orphans,
    prepare,
    run_arguments,
)

_NUMBERS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_TARGETS = [(number, target) for number in _NUMBERS for target in ("parent", "worker")]
# A person, a terminal or a scheduler sends these to end a run: it says how to go on.
_ORDERLY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_STOPPED_SECONDS = 1.0

GOAL, UNIT = 2 * len(_TARGETS), "signals"
SLICE = (_TARGETS.index((signal.SIGHUP, "parent")), _TARGETS.index((40, "worker")))


def attempt(seed: int, folder: Path) -> Tried:
    """One signal to one process while a job trains."""
    number, target = _TARGETS[seed % len(_TARGETS)]
    random, run = Random(seed), folder / "run"
    clean, expected = prepare(run)
    kind = f"{_name(number)} to the {target}"
    with Running(run_arguments(run), folder) as running:
        running.wait_for(running.workers)
        time.sleep(random.uniform(0, 1.0))
        _send(running, target, number)
        ended = running.end()
        faults = [*ended.faults, *no_orphans([running.mark], time.monotonic())]
        faults += whole_files(run)
    in_order = {0, 128 + number}  # as shells tell the end by a signal
    if target == "parent" and number in _ORDERLY and ended.code not in in_order:
        faults.append(Fault("no orderly end", describe(ended)))
    if target == "worker" and ended.code not in {0, 1}:
        faults.append(Fault("the worker's end is the parent's", describe(ended)))
    with Running(run_arguments(run, "--retry"), folder) as again:
        faults += finish(again, run, clean, expected)
    return Tried(1, faults_of(kind, faults), [kind])


def _send(running: Running, target: str, number: int) -> None:
    """Send the signal; a process that it stops may continue after a second."""
    chosen = [running.process.pid] if target == "parent" else running.workers()
    for pid in chosen:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    if number in {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}:
        time.sleep(_STOPPED_SECONDS)
        for pid in chosen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _name(number: int) -> str:
    return number.name if isinstance(number, signal.Signals) else f"signal {number}"
