"""Batch norm in CNTK, with the running statistics of workloads."""

from typing import Any

import cntk
import numpy as np


class Norm:
    """A batch norm's statistics.

    CNTK's running variance averages the unbiased variance of a batch, and its averages begin with
    the first batch. So CNTK stores the statistics of each batch alone, and they are averaged here.

    Attributes:
        state: canonical name -> the variable of the running mean and of the running variance.
    """

    def __init__(self, layer: "dict[str, Any]") -> None:
        self._momentum, self._epsilon = layer["momentum"], layer["epsilon"]
        shape = layer["output"]
        self._is_image, self._values_per_channel = len(shape) > 1, int(np.prod(shape[:-1]))
        self._batch = [cntk.constant(start, (shape[-1],)) for start in (0.0, 1.0)]
        self.state = {
            name: cntk.constant(start, (shape[-1],))
            for name, start in zip(layer["state"], (0.0, 1.0))
        }
        self._count = cntk.constant(0.0, ())
        self.begin()

    def begin(self) -> None:
        """Take the running statistics from `state`."""
        self._running = [np.array(variable.value) for variable in self.state.values()]

    def store(self) -> None:
        """Write the running statistics into `state`."""
        for variable, value in zip(self.state.values(), self._running):
            variable.value = value

    def average(self, examples: int) -> None:
        """Add the statistics of a batch that was trained, of so many examples."""
        count = examples * self._values_per_channel
        mean, unbiased = (variable.value for variable in self._batch)
        for running, new in zip(self._running, (mean, unbiased * ((count - 1) / count))):
            running[...] = self._momentum * running + (1.0 - self._momentum) * new

    def apply(self, x: Any, scale: Any, shift: Any, *, training: bool) -> Any:
        """The layer.

        In training, a time constant of 0 lets CNTK store a batch's statistics without an average.
        In prediction CNTK takes the stored ones.
        """
        mean, variance = self._batch if training else self.state.values()
        return cntk.batch_normalization(
            x,
            scale,
            shift,
            mean,
            variance,
            spatial=self._is_image,
            normalization_time_constant=0,
            blend_time_constant=0,
            epsilon=self._epsilon,
            use_cudnn_engine=False,
            running_count=self._count,
        )
