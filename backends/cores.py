"""The order in which the threads of a job use CPUs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

TOPOLOGY = Path("/sys/devices/system/cpu")


def cores_first(cpus: Sequence[int]) -> list[int]:
    """CPUs sorted so that the first CPU of every core comes first, as siblings slow each other."""
    earlier, place = Counter[str](), dict[int, int]()
    for cpu in cpus:
        core = siblings(cpu)
        place[cpu] = earlier[core]
        earlier[core] += 1
    return sorted(cpus, key=place.__getitem__)


def siblings(cpu: int) -> str:
    """The CPUs of the same core, as Linux lists them; elsewhere the CPU alone."""
    try:
        return (TOPOLOGY / f"cpu{cpu}/topology/thread_siblings_list").read_text(encoding="ascii")
    except OSError:
        return str(cpu)
