"""What else the machine did while a job ran, as the idle parent sees it; and when that is too much.

The rule was fixed without looking at anyone's times, and reads none: leaving out what came out slow
would only make everybody look fast. It cannot see all. A neighbour on the same host who takes
memory bandwidth or the other half of a core shows nowhere; that is noise, and what `bench
calibrate` measures.

A repetition (a round's processes of one seed) in which any job was disturbed does not count, and is
repeated; but where most of the first ten are disturbed, that is how this machine is, and all count.
Which it is does not change afterwards, so that no interval is looked at in two ways, and before ten
there is no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

# Shares of the job's CPUs; an idle system's own services take less than one hundredth.
_MOST_OTHERS = 0.10
_MOST_STEAL = 0.03
# Clocks rise and fall by some percent all the time; below this they were throttled, by heat or a
# governor.
_LEAST_FREQUENCY = 0.75
_FIRST = 10  # repetitions; no verdict takes fewer than eleven


class Disturbance(Struct, frozen=True, kw_only=True):
    """What a job shared its machine with. None: it was not seen, or cannot be on this machine.

    Attributes:
        other_cpu: share of the job's CPUs (0..1) that other processes used, from the worker's start
            to its end.
        steal: the same share that a virtual machine's host gave to others.
        frequency: the clock of the job's fastest CPU, the median of its samples by the highest.
        gpu_processes: the most processes at once on the job's GPU besides its own.
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
    """Which repetitions count, of those made so far in their order, given which were disturbed."""
    first = disturbed[:_FIRST]
    usual = 2 * sum(first) > len(first)
    return [usual or not one for one in disturbed]
