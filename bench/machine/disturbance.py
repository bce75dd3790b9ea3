"""What else the machine did during a job, and when a job counts as disturbed.

The rule does not use the times of jobs, and was fixed before any were seen: to leave out slow jobs
would only make all backends look fast. The rule does not see everything. Another virtual machine on
the same host may use memory bandwidth or the other half of a core, and no counter shows it; that is
noise, which `bench calibrate` measures.

A repetition (the processes of one seed in one round) in which any job was disturbed does not count,
and is repeated. If most of the first ten are disturbed, the machine is always so, and all
repetitions count. This is decided once, after the first ten, so that an interval is never computed
in two ways; before that there is no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

# Shares of the job's CPUs; the services of an idle system use less than one hundredth.
_MOST_OTHERS = 0.10
_MOST_STEAL = 0.03
# A share of the highest clock. Clocks always vary by some percent; below this value they were
# throttled, by heat or a governor.
_LEAST_FREQUENCY = 0.75
_FIRST = 10  # repetitions; no verdict takes fewer than eleven


class Disturbance(Struct, frozen=True, kw_only=True):
    """What a job shared its machine with; None if it was not seen, or cannot be on this machine.

    Attributes:
        other_cpu: share of the job's CPUs (0..1) that other processes used, from the worker's start
            to its end.
        steal: share of the job's CPUs (0..1) that the host of a virtual machine gave to others.
        frequency: the clock of the job's fastest CPU: the median of its samples, divided by the
            highest.
        gpu_processes: the largest number of processes at once on the job's GPU, besides its own.
        gpu_throttled: whether that GPU was slowed down by heat or for lack of power.
    """

    other_cpu: float | None
    steal: float | None
    frequency: float | None
    gpu_processes: int | None
    gpu_throttled: bool | None


def say(found: Disturbance) -> str:
    """Why a job counts as disturbed, in words; "" if it does not."""
    reasons = []
    if found.other_cpu is not None and found.other_cpu > _MOST_OTHERS:
        reasons.append(f"other processes used {100 * found.other_cpu:.0f} % of its CPUs")
    if found.steal is not None and found.steal > _MOST_STEAL:
        reasons.append(f"the host took {100 * found.steal:.0f} % of its CPUs")
    if found.frequency is not None and found.frequency < _LEAST_FREQUENCY:
        reasons.append(f"its CPUs' clock fell to {100 * found.frequency:.0f} %")
    if found.gpu_processes:
        reasons.append(f"{found.gpu_processes} other on its GPU")
    if found.gpu_throttled:
        reasons.append("its GPU was throttled")
    return ", ".join(reasons)


def which_count(disturbed: Sequence[bool]) -> list[bool]:
    """Which repetitions count.

    Args:
        disturbed: of every repetition so far, in their order, whether it was disturbed.
    """
    first = disturbed[:_FIRST]
    usual = 2 * sum(first) > len(first)
    return [usual or not one for one in disturbed]
