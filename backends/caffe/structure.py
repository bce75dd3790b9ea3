"""Says which models this build of Caffe cannot train."""

from __future__ import annotations

from backends.contract import Unsupported
from specs.model import BatchNorm, Workload

_WHY = (
    "the BatchNorm layer of kendryte-caffe 1.0.0.20210829, the only build of Caffe that pip can"
    " install, does not compute the mean and the variance of a batch, so it cannot be trained"
)


def check_layers(workload: Workload) -> None:
    """Check that Caffe can train the workload's model.

    Raises:
        Unsupported: the model has batch norm. In BVLC's source the layer computes these values; the
            source of this build leaves them out, and a test trains it to see that.
    """
    if any(isinstance(layer, BatchNorm) for layer in workload.layers):
        raise Unsupported(f"Caffe cannot train a model with batch norm here: {_WHY}")
