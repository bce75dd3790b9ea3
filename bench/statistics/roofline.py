"""The speed of a training as a share of the peak rates of its engine, by the roofline model.

The roofline (Williams, Waterman, Patterson 2009): a computation that does I floating point
operations (FLOP) per byte moved reaches at most min(peak, I x bandwidth) FLOP/s. Peak and bandwidth
are measured by `bench.runner.limits`. `Bound` names the limit of a training.
"""

from __future__ import annotations

from math import ceil
from typing import Literal

from msgspec import Struct

from bench.records.limits import EngineLimits
from bench.worker.operations import SINGLE_BYTES
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
# Shares of the attainable rate. Below a quarter, at least three quarters of the time are neither
# arithmetic nor memory traffic at the rates of this engine. From a half on, at least half of the
# time is arithmetic or memory traffic.
NEITHER_BELOW = 0.25
BOUND_FROM = 0.5
# The rest of the time is per-step overhead if it is at most this many calls of the engine's
# smallest operation. A step of the models here makes some hundreds of calls at most, and the loop
# around it costs as much as some hundreds more. If the rest is longer, operations are slow or wait.
MOST_CALLS = 1000


class Utilization(Struct, frozen=True, kw_only=True):
    """The rates of one training and the peak rates of its engine.

    Attributes:
        step_seconds: the mean time of a training step in a median epoch.
        flops_per_second: the model's FLOP (see `specs.shapes`) per second of training.
        bytes_per_second: the least bytes that the model moves (see `specs.traffic`) per second.
        intensity: FLOP per byte.
        matmul_peak: the peak rate of matrix products, in FLOP/s.
        convolution_peak: the peak rate of convolutions, in FLOP/s; None for a model without them.
        peak: the rate in FLOP/s if matrix products and convolutions both run at their peak rates.
        bandwidth: the best memory rate, in bytes/s, of arrays at least as large as the bytes of a
            step.
        call_seconds: the launch overhead: the time of an operation on very few values.
    """

    step_seconds: float
    flops_per_second: float
    bytes_per_second: float
    intensity: float
    matmul_peak: float
    convolution_peak: float | None
    peak: float
    bandwidth: float
    call_seconds: float

    @property
    def attainable(self) -> float:
        """The attainable rate in FLOP/s: the roofline at this intensity."""
        return min(self.peak, self.intensity * self.bandwidth)

    @property
    def of_matmul_peak(self) -> float:
        """The share of the peak rate of matrix products (model FLOP utilisation)."""
        return self.flops_per_second / self.matmul_peak

    @property
    def of_convolution_peak(self) -> float | None:
        """The share of the peak rate of convolutions; None without convolutions."""
        return self.flops_per_second / self.convolution_peak if self.convolution_peak else None

    @property
    def of_attainable(self) -> float:
        """The share of the attainable rate.

        It is also the share of its time that a step would take at the attainable rate.
        """
        return self.flops_per_second / self.attainable

    @property
    def bound(self) -> Bound:
        """The limit of the speed, by the thresholds of this module."""
        if self.of_attainable < NEITHER_BELOW:
            other_seconds = self.step_seconds * (1 - self.of_attainable)
            calls = other_seconds <= MOST_CALLS * self.call_seconds
            return "per-step overhead" if calls else "slow kernels or waiting"
        if self.intensity * self.bandwidth < self.peak:
            return "memory" if self.of_attainable >= BOUND_FROM else "partly memory"
        return "arithmetic" if self.of_attainable >= BOUND_FROM else "partly arithmetic"


def utilization_of(
    workload: Workload,
    *,
    examples: int,
    batch_size: int,
    epoch_seconds: float,
    limits: EngineLimits,
) -> Utilization | None:
    """The rates of a training; None if a limit that it needs was not measured.

    Args:
        workload: the workload that is trained.
        examples: the number of examples of an epoch.
        batch_size: the number of examples of a step.
        epoch_seconds: the time of a median epoch.
        limits: the engine's limits.
    """
    shapes = infer_shapes(workload)
    flops = sum(shape.training_flops for shape in shapes)
    convolution_flops = sum(
        shape.training_flops for shape in shapes if isinstance(shape.layer, Conv2d)
    )
    steps, traffic = ceil(examples / batch_size), training_traffic(workload)
    value_bytes = limits.value_bytes or 0
    in_products = examples * traffic.per_example + steps * (traffic.per_step - traffic.of_update)
    of_updates = steps * traffic.of_update
    epoch_bytes = in_products * value_bytes + of_updates * max(value_bytes, SINGLE_BYTES)
    matmul, call_seconds = limits.best("matmul"), limits.call_seconds
    memory = limits.best("memory", least=epoch_bytes // steps)
    convolution = limits.best("convolution") if convolution_flops else None
    if matmul is None or memory is None or call_seconds is None:
        return None
    if convolution_flops and convolution is None:
        return None
    peak_seconds = (flops - convolution_flops) / matmul.per_second
    if convolution:
        peak_seconds += convolution_flops / convolution.per_second
    return Utilization(
        step_seconds=epoch_seconds / steps,
        flops_per_second=flops * examples / epoch_seconds,
        bytes_per_second=epoch_bytes / epoch_seconds,
        intensity=flops * examples / epoch_bytes,
        matmul_peak=matmul.per_second,
        convolution_peak=convolution.per_second if convolution else None,
        peak=flops / peak_seconds,
        bandwidth=memory.per_second,
        call_seconds=call_seconds,
    )
