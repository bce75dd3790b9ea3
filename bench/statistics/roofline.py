"""How far a training is from what its engine reaches by itself, by the roofline model.

The roofline (Williams, Waterman, Patterson 2009): with I floating point operations per byte moved,
no more than min(peak, I x bandwidth) of them are done in a second. Peak and bandwidth are measured
(`bench.runner.limits`), not a manufacturer's. `Bound` says in a few words what limits a training.
"""

from __future__ import annotations

from math import ceil
from typing import Literal

from msgspec import Struct

from bench.records.limits import EngineLimits
from specs.model import Conv2d, Workload
from specs.shapes import infer_shapes
from specs.traffic import training_traffic

Bound = Literal[
    "per-step overhead",
    "slow kernels or waiting",
    "partly memory",
    "partly arithmetic",
    "memory",
    "arithmetic",
]
# As shares of the ceiling. Under a quarter, at least three quarters of the time are neither
# arithmetic nor memory at the rates that this engine reaches; from a half on, at least half of the
# time is.
NEITHER_BELOW = 0.25
BOUND_FROM = 0.5
# The rest of the time is overhead if it is no longer than so many calls of the engine's smallest
# operation: a step of the models here makes some hundreds at most, and the loop around it costs
# some hundreds more. Otherwise operations take longer than calling them can explain.
MOST_CALLS = 1000


class Standing(Struct, frozen=True, kw_only=True):
    """One training compared with its engine's limits, in seconds, FLOP, bytes.

    Attributes:
        step_seconds: of a training step, as the mean of a median epoch.
        flops_per_second: of the model, by `specs.shapes`.
        bytes_per_second: what the model moves at least, by `specs.traffic`.
        intensity: FLOP per byte.
        product: the engine's best rate of matrix products, in FLOP/s.
        convolution: the same of convolutions; None for a model without them.
        peak: the rate of the model's own FLOP if each kind is done at its best rate.
        bandwidth: of the engine's memory, for what moves at least as much as a step.
        call_seconds: of an operation with nothing to do.
    """

    step_seconds: float
    flops_per_second: float
    bytes_per_second: float
    intensity: float
    product: float
    convolution: float | None
    peak: float
    bandwidth: float
    call_seconds: float

    @property
    def ceiling(self) -> float:
        """The most that the roofline allows at this intensity, in FLOP/s."""
        return min(self.peak, self.intensity * self.bandwidth)

    @property
    def of_product(self) -> float:
        """Model FLOP utilisation: the share of what the engine's matrix product reaches."""
        return self.flops_per_second / self.product

    @property
    def of_convolution(self) -> float | None:
        """The share of what the engine's convolution reaches; None without convolutions."""
        return self.flops_per_second / self.convolution if self.convolution else None

    @property
    def of_ceiling(self) -> float:
        """The share of the ceiling; also the share of its time that a step would take there."""
        return self.flops_per_second / self.ceiling

    @property
    def bound(self) -> Bound:
        """What limits the speed, by the thresholds of this module."""
        if self.of_ceiling < NEITHER_BELOW:
            rest = self.step_seconds * (1 - self.of_ceiling)
            calls = rest <= MOST_CALLS * self.call_seconds
            return "per-step overhead" if calls else "slow kernels or waiting"
        if self.intensity * self.bandwidth < self.peak:
            return "memory" if self.of_ceiling >= BOUND_FROM else "partly memory"
        return "arithmetic" if self.of_ceiling >= BOUND_FROM else "partly arithmetic"


def stand(
    workload: Workload,
    *,
    examples: int,
    batch_size: int,
    epoch_seconds: float,
    limits: EngineLimits,
) -> Standing | None:
    """A training compared with its engine's limits; None where those were not measured.

    Args:
        workload: what is trained.
        examples: of an epoch.
        batch_size: of a step.
        epoch_seconds: of a median epoch.
        limits: the engine's.
    """
    product, convolution = limits.best("matmul"), limits.best("convolution")
    call = limits.call_seconds
    shapes = infer_shapes(workload)
    flops = sum(shape.training_flops for shape in shapes)
    convolved = sum(shape.training_flops for shape in shapes if isinstance(shape.layer, Conv2d))
    steps, traffic = ceil(examples / batch_size), training_traffic(workload)
    values = examples * traffic.per_example + steps * traffic.per_step
    moved = values * (limits.value_bytes or 0)  # in an epoch
    memory = limits.best("memory", least=moved // steps)
    if product is None or memory is None or call is None or (convolved and convolution is None):
        return None
    seconds = (flops - convolved) / product.per_second
    if convolved and convolution:
        seconds += convolved / convolution.per_second
    return Standing(
        step_seconds=epoch_seconds / steps,
        flops_per_second=flops * examples / epoch_seconds,
        bytes_per_second=moved / epoch_seconds,
        intensity=flops * examples / moved,
        product=product.per_second,
        convolution=convolution.per_second if convolved and convolution else None,
        peak=flops / seconds,
        bandwidth=memory.per_second,
        call_seconds=call,
    )
