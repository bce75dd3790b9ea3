"""CNTK's defaults, and what its adapter sets, for the settings in `backends.defaults`."""

from __future__ import annotations

from backends import defaults as common
from backends.defaults import IMPLEMENTED, KEPT, NUMPY, OFF, ORDER, OTHER_FORM, PASSED, SET, Default

REQUIRED = "required argument"
_STATISTICS = "averages implemented here, from the statistics of each batch"

DEFAULTS = (
    Default("kernel initializer", "Glorot, uniform", NUMPY),
    Default("bias initializer", 0.0, NUMPY),
    Default("normal initializers", "not truncated", NUMPY),
    Default("range of the uniform initializer", REQUIRED, NUMPY),
    Default("dense kernel's axes", "(in, out)", KEPT),
    *common.CHANNELS_FIRST,
    Default(
        "extra row of 'same' padding, stride 2", "before the image", "a pad before the convolution"
    ),
    Default("partial pooling window", "dropped", KEPT),
    Default("average pooling over padding", "ignores padding zeros", "no padding is used"),
    *common.LAYERS_KEPT,
    Default("leaky_relu's slope", 0.01, "implemented here, as CNTK's derivative at 0 is 1"),
    Default("batch norm's epsilon", 1e-05, PASSED),
    Default("batch norm's momentum", 5000, _STATISTICS),
    Default("meaning of batch norm's momentum", "time constant, in examples", _STATISTICS),
    Default("batch norm's running variance", "unbiased (n - 1)", _STATISTICS),
    Default("cross-entropy takes", "logits", KEPT),
    Default("loss of a batch", "one loss per example", "the mean, as the Trainer computes it"),
    Default("loss of an epoch", None, "mean of the batches, weighted by size"),
    Default("sgd's learning rate", REQUIRED, PASSED),
    Default("sgd's momentum", REQUIRED, "passed explicitly, without unit gain"),
    Default("sgd's nesterov", "a learner of its own", "the learner that the workload names"),
    Default("sgd's velocity", "includes the learning rate", KEPT),
    Default("rmsprop's learning rate", REQUIRED, IMPLEMENTED),
    Default("rmsprop's rho", REQUIRED, IMPLEMENTED),
    Default("rmsprop's epsilon", None, IMPLEMENTED),
    Default("position of rmsprop's epsilon", None, IMPLEMENTED),
    Default("adagrad's learning rate", REQUIRED, IMPLEMENTED),
    Default("adagrad's first accumulator", None, IMPLEMENTED),
    Default("adagrad's epsilon", None, IMPLEMENTED),
    Default("position of adagrad's epsilon", None, IMPLEMENTED),
    Default("adam's learning rate", REQUIRED, PASSED),
    Default("adam's epsilon", 1e-08, PASSED),
    Default("position of adam's epsilon", "before the correction", OTHER_FORM),
    Default(
        "adam's weight decay",
        "added to the gradient",
        "default kept: none; adamw's is implemented here",
    ),
    Default("adamw's weight decay", None, IMPLEMENTED),
    Default("adadelta's learning rate", 1.0, PASSED),
    Default("adadelta's rho", 0.95, PASSED),
    Default("adadelta's epsilon", 1e-08, PASSED),
    Default("batch size", 32, PASSED),
    Default("shuffling", OFF, ORDER),
    Default("last partial batch", "kept", ORDER),
    Default("dtype", "float32", KEPT),
    *common.without_gpu("there is no GPU"),
    Default("compiler", OFF, KEPT),
    Default("determinism", OFF, KEPT),
    Default("CPU threads", "one per allowed CPU", SET),
)

BACKENDS = {"cntk": DEFAULTS}
