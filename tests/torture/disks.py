"""Disks that are full at a random moment; then there is room, and the same command again.

The disk is a small tmpfs of its own. Where none can be mounted, the size of each file is limited
instead (RLIMIT_FSIZE), which fails in the same places, but not while a folder is made.
"""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

from tests.support.disks import mount, mounted
from tests.torture.campaign import Fault, Tried, faults_of
from tests.torture.oracles import nothing_left, whole_files
from tests.torture.processes import (
    Running,
    describe,
    finish,
    no_orphans,
    prepare,
    run_arguments,
)

GOAL, UNIT = 200, "full disks"
SLICE = (0,)
_SMALLEST, _LARGEST = 4, 900  # kB; a whole run has about 700
_ROOM = "512m"


def attempt(seed: int, folder: Path) -> Tried:
    """One run on a disk that becomes full, and again when there is room."""
    random = Random(seed)
    size = int(_SMALLEST * (_LARGEST / _SMALLEST) ** random.random())
    disk = folder / "disk"
    disk.mkdir()
    with mounted(disk, size) as is_mounted:
        run = disk / "run"
        with_limits = is_mounted and random.random() < 0.5 and size > _LARGEST / 4
        clean, expected = prepare(run, with_limits=with_limits)
        limit = None if is_mounted else size * 1024
        with Running(run_arguments(run), folder, largest_file=limit) as full:
            ended = full.end()
            faults = [*ended.faults, *no_orphans([full.mark], time.monotonic())]
        faults += [*whole_files(disk), *nothing_left(disk)]
        if ended.code not in {0, 1, 2}:
            faults.append(Fault("no proper end", describe(ended)))
        if is_mounted:
            mount(disk, f"remount,size={_ROOM}")
        with Running(run_arguments(run, "--retry"), folder) as again:
            faults += finish(again, run, clean, expected)
    lowered = "" if is_mounted else "no disk can be mounted here: the size of files was limited"
    return Tried(1, faults_of(f"{size} kB", faults), [f"exit code {ended.code}"], lowered)
