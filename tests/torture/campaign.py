"""What a campaign is: a module with `attempt(seed, folder) -> Tried`, `GOAL` and `UNIT`.

An attempt is one experiment that its seed decides, as far as the system allows; `folder` is empty
and its own. `GOAL` is how many tries a whole campaign has, `UNIT` what a try is. `SLICE` are the
seeds of the part that runs as ordinary tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Fault(NamedTuple):
    """A promise that did not hold: which oracle says so, and what it saw."""

    oracle: str
    text: str


def faults_of(what: str, faults: Sequence[Fault]) -> list[Fault]:
    """The faults, and what was tried."""
    return [Fault(fault.oracle, f"{what}: {fault.text}") for fault in faults]


class Tried(NamedTuple):
    """What an attempt tried, and what did not hold.

    `kinds` are short names of what was tried, for the table; `lowered` says what could not be done
    here, and what was done instead.
    """

    tries: int
    faults: Sequence[Fault]
    kinds: Sequence[str] = ()
    lowered: str = ""


# The name of a campaign, in the order in which they are run, and its share of the time.
CAMPAIGNS = {
    "kills": 8,
    "signals": 3,
    "disks": 2,
    "crowds": 2,
    "workers": 2,
    "records": 6,
    "fuzzed_specs": 2,
    "mirrors": 1,
    "interpreters": 1,
}
