"""Several parents at once on one folder: of one host, and of hosts with other names.

Hosts are made with `unshare --uts`. Where that is not allowed, all parents are of one host.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from random import Random

from tests.torture.campaign import Fault, Tried, faults_of
from tests.torture.oracles import nothing_left, same_records, whole_files
from tests.torture.processes import (
    Ended,
    Running,
    describe,
    no_orphans,
    prepare,
    records,
    run_arguments,
)

GOAL, UNIT = 200, "crowds"
SLICE = (0,)
_REFUSED = "another `bench` on this machine"
_USUAL = {"results", "run", "home", "tmp"}
_HOSTS = ("node1", "node2", "../../evil", "a/b", "-x", "<b>", "$(id)", "\x1b[2J", "n" * 64)


def attempt(seed: int, folder: Path) -> Tried:
    """Parents of one host, or one or two of each of some hosts; all start within a second."""
    random, run = Random(seed), folder / "results" / "run"
    _, expected = prepare(run)
    hosts = random.sample(_HOSTS, 2) if seed % 2 and can_rename() else [None]
    starts = [*hosts, *random.choices(hosts, k=random.randint(1, 3))]
    with ExitStack() as stack:
        crowd = []
        for host in starts:
            before = _as_host(host)
            process = Running(run_arguments(run), folder, before=before)
            crowd.append(stack.enter_context(process))
            time.sleep(random.choice((0, 0, random.random())))
        ended = [running.end() for running in crowd]
        faults = [fault for each in ended for fault in each.faults]
        faults += no_orphans([running.mark for running in crowd], time.monotonic())
    faults += _judge(ended, len(hosts))
    faults += [*whole_files(run), *nothing_left(run)]
    strange = {path.name for path in [*folder.iterdir(), *run.parent.iterdir()]} - _USUAL
    if strange:
        faults.append(Fault("write elsewhere", f"{sorted(strange)}"))
    faults += _records_of_each(run, expected, len(hosts), renamed=hosts != [None])
    names = " and ".join(sorted({ascii(host) if host else "one host" for host in starts}))
    return Tried(1, faults_of(names, faults), [f"{len(starts)} parents, {len(hosts)} hosts"])


def _judge(ended: list[Ended], hosts: int) -> list[Fault]:
    """Of each host one runs, and the others are refused; one may also come after it has ended."""
    ran = [each for each in ended if each.code == 0]
    refused = [each for each in ended if each.code == 2 and _REFUSED in each.errors]
    faults = [
        Fault("no proper end", describe(each))
        for each in ended
        if each not in ran and each not in refused
    ]
    if len(ran) < hosts:
        faults.append(Fault("none ran", f"{len(ran)} of {hosts} hosts"))
    return faults


def _records_of_each(
    run: Path, expected: dict[str, dict[str, object]], hosts: int, *, renamed: bool
) -> list[Fault]:
    """Each host has each job once, with the facts of an undisturbed run."""
    found = records(run)
    if not renamed:
        return same_records(found, expected)
    faults = []
    for key, facts in expected.items():
        start = key.rpartition(".")[0]  # the rest depends on the host
        of_job = {name: values for name, values in found.items() if name.startswith(start)}
        if len(of_job) != hosts:
            faults.append(Fault("lost or doubled record", f"{sorted(of_job)} of {hosts} hosts"))
        for name, values in of_job.items():
            faults += same_records({name: values}, {name: facts})
    return faults


@cache
def can_rename() -> bool:
    """Whether a process can have a host name of its own here."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "--uts", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _as_host(name: str | None) -> list[str]:
    """The command that gives what follows it a host name."""
    if name is None:
        return []
    rename = f"printf %s {shlex.quote(name)} > /proc/sys/kernel/hostname"
    return ["unshare", "--uts", "sh", "-c", f'{rename}; exec "$@"', "sh"]
