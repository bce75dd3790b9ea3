"""The other load of the machine during a job, and the rule for a disturbed job.

A job is disturbed if the machine was busy with other work. The rule uses only counters of the
machine, because leaving out slow jobs would make every backend look fast. No counter shows that
another virtual machine of the host uses memory bandwidth or the other half of a core; `bench
calibrate` measures such noise.

The jobs of one round and seed count together. If any of them was disturbed, the round does not
count and is repeated. If most of the first ten rounds are disturbed, the machine is always busy,
and all rounds count. With fewer than ten rounds the rounds so far decide. After ten rounds the rule
is fixed. Verdicts need at least eleven rounds, so all of them use the fixed rule.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

# Shares of the job's CPUs; the services of an idle system use less than one hundredth.
_MOST_OTHERS = 0.10
_MOST_STEAL = 0.03
# As a share of the highest clock. Clocks always vary by some percent. Below this value they are
# throttled by heat or by a governor.
_LEAST_FREQUENCY = 0.75
_FIRST_ROUNDS = 10  # a verdict takes at least eleven rounds


class Disturbance(Struct, frozen=True, kw_only=True):
    """The other load of the machine during a job; a figure that is not available is None.

    Attributes:
        other_cpu: the share of the job's CPU time (0..1) that other processes used, from the
            worker's start to its end.
        steal: the share of the job's CPU time (0..1) that the host of a virtual machine gave to
            others.
        frequency: the clock of the job's fastest CPU: the median of the samples divided by their
            maximum.
        gpu_processes: the largest number of other processes at once on the job's GPU.
            Of a job's several GPUs, this and the next two figures are those of the worst one.
        gpu_throttled: whether the GPU was slowed down because of heat or lack of power.
        gpu_clock: the GPU's clock under load: the median of the samples divided by their maximum.
            Samples in which its power limit lowered the clock do not count, as that is usual.
    """

    other_cpu: float | None
    steal: float | None
    frequency: float | None
    gpu_processes: int | None
    gpu_throttled: bool | None
    gpu_clock: float | None = None


UNKNOWN = Disturbance(
    other_cpu=None, steal=None, frequency=None, gpu_processes=None, gpu_throttled=None
)


def reasons(load: Disturbance) -> str:
    """The reasons why a job counts as disturbed, as text; "" if it was not disturbed."""
    texts = []
    if load.other_cpu is not None and load.other_cpu > _MOST_OTHERS:
        texts.append(f"other processes used {100 * load.other_cpu:.0f} % of its CPUs")
    if load.steal is not None and load.steal > _MOST_STEAL:
        texts.append(f"the host took {100 * load.steal:.0f} % of its CPUs")
    if load.frequency is not None and load.frequency < _LEAST_FREQUENCY:
        texts.append(f"its CPUs' clock fell to {100 * load.frequency:.0f} %")
    if load.gpu_processes:
        processes = "process" if load.gpu_processes == 1 else "processes"
        texts.append(f"{load.gpu_processes} other {processes} on its GPU")
    if load.gpu_throttled:
        texts.append("its GPU was throttled")
    if load.gpu_clock is not None and load.gpu_clock < _LEAST_FREQUENCY:
        texts.append(f"its GPU's clock fell to {100 * load.gpu_clock:.0f} %")
    return ", ".join(texts)


def which_count(disturbed: Sequence[bool]) -> list[bool]:
    """Whether each round counts, in the order of rounds.

    Args:
        disturbed: for every round so far, in order, whether it was disturbed.
    """
    first = disturbed[:_FIRST_ROUNDS]
    always_busy = 2 * sum(first) > len(first)
    return [always_busy or not is_disturbed for is_disturbed in disturbed]
