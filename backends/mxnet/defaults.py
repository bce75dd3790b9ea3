"""MXNet's defaults, and what its adapter sets, for the settings in `backends.defaults`."""

from __future__ import annotations

from backends import defaults as common
from backends.defaults import IMPLEMENTED, KEPT, NUMPY, OFF, ORDER, OTHER_FORM, PASSED, Default

DEFAULTS = (
    Default("kernel initializer", "uniform, ±0.07", NUMPY),
    Default("bias initializer", "0", KEPT),
    Default("normal initializers", "not truncated", NUMPY),
    Default("range of the uniform initializer", "-0.07 to 0.07", NUMPY),
    Default("dense kernel's axes", "(out, in)", common.TRANSPOSED),
    *common.CHANNELS_FIRST,
    Default(
        "extra row of 'same' padding, stride 2",
        "refused",
        "a padding layer before the convolution",
    ),
    Default("partial pooling window", "dropped", KEPT),
    Default("average pooling over padding", "counts padding zeros", "no padding is used"),
    *common.LAYERS_KEPT,
    Default("leaky_relu's slope", "required argument", PASSED),
    Default("batch norm's epsilon", 1e-05, PASSED),
    Default("batch norm's momentum", 0.9, PASSED),
    Default("meaning of batch norm's momentum", "weight of the old value", KEPT),
    Default("batch norm's running variance", "biased (n)", KEPT),
    Default("cross-entropy takes", "logits", "default kept; MXNet's own log_softmax, not oneDNN's"),
    Default(
        "loss of a batch",
        "one loss per example",
        "default kept; the trainer divides the sum of the gradients by the batch size",
    ),
    Default("loss of an epoch", None, "mean over the examples"),
    Default("sgd's learning rate", 0.01, PASSED),
    Default("sgd's momentum", 0.0, PASSED),
    Default("sgd's nesterov", OFF, "another optimizer, NAG"),
    Default("sgd's velocity", "includes the learning rate", KEPT),
    Default("rmsprop's learning rate", 0.001, PASSED),
    Default("rmsprop's rho", 0.9, PASSED),
    Default("rmsprop's epsilon", 1e-08, PASSED),
    Default("position of rmsprop's epsilon", "inside the root", OTHER_FORM),
    Default("adagrad's learning rate", 0.01, PASSED),
    Default("adagrad's first accumulator", None, f"default, 0, kept; others {IMPLEMENTED}"),
    Default("adagrad's epsilon", 1e-07, PASSED),
    Default("position of adagrad's epsilon", "inside the root", OTHER_FORM),
    Default("adam's learning rate", 0.001, PASSED),
    Default("adam's epsilon", 1e-08, PASSED),
    Default("position of adam's epsilon", "before the correction", OTHER_FORM),
    Default(
        "adam's weight decay",
        "added to the gradient",
        "default, 0, kept; adamw's is implemented here",
    ),
    Default("adamw's weight decay", None, IMPLEMENTED),
    Default("adadelta's learning rate", None, "steps are those of 1; others are implemented here"),
    Default("adadelta's rho", 0.9, PASSED),
    Default("adadelta's epsilon", 1e-05, PASSED),
    Default("batch size", "required argument", "no DataLoader; rows are taken from MXNet's array"),
    Default("shuffling", OFF, ORDER),
    Default("last partial batch", "kept", ORDER),
    Default("dtype", "float32", KEPT),
    *common.without_gpu("the builds on PyPI are for CPUs"),
    Default("compiler", None, "graphs are planned once (hybridize), not compiled"),
    Default("determinism", None, "always deterministic on a CPU"),
    Default("CPU threads", "half of the CPUs", "set before MXNet is loaded"),
)

BACKENDS = {"mxnet": DEFAULTS}
