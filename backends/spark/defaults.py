"""Spark MLlib's defaults, and what its adapter sets, for the settings in `backends.defaults`."""

from __future__ import annotations

from backends import defaults as common
from backends.defaults import KEPT, NUMPY, OFF, ORDER, PASSED, SETTINGS, Default

_REFUSED = "a model with it is unsupported"
_NO_SUCH_METHOD = "a workload with it is unsupported"

_KNOWN = (
    Default("kernel initializer", "uniform, ±2.4 / √in", NUMPY),
    Default("bias initializer", "uniform, as the kernel", NUMPY),
    Default("normal initializers", None, NUMPY),
    Default("range of the uniform initializer", None, NUMPY),
    Default("dense kernel's axes", "(in, out)", KEPT),
    Default("convolution kernel's axes", None, _REFUSED),
    Default("image layout", None, "images are rows, in the order of the array"),
    Default("flatten's order", None, "the order of the array"),
    Default("cross-entropy takes", "probabilities", "default kept: in float64 none is clipped"),
    Default(
        "loss of a batch",
        "mean of its blocks' means",
        "all blocks are of one size, so it is the mean over the examples",
    ),
    Default("loss of an epoch", "that of its one step", "mean over the examples of its batches"),
    Default("sgd's learning rate", 0.03, PASSED),
    Default("batch size", None, "each batch is a data set of its own"),
    Default("shuffling", None, ORDER),
    Default("last partial batch", None, ORDER),
    Default("dtype", "float64", KEPT),
    *common.without_gpu("there is no GPU"),
    Default("compiler", OFF, KEPT),
    Default("determinism", OFF, KEPT),
    Default("CPU threads", "one per allowed CPU", "set before training (local[N])"),
)
_NAMES = {default.setting for default in _KNOWN}
DEFAULTS = (
    *_KNOWN,
    *(
        Default(each.name, None, _REFUSED if each.subject == "layers" else _NO_SUCH_METHOD)
        for each in SETTINGS
        if each.subject in {"layers", "optimizers"} and each.name not in _NAMES
    ),
)

BACKENDS = {"spark": DEFAULTS}
