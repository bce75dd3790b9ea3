"""PyTorch's defaults, and what its adapter sets, for the settings in `backends.defaults`.

`DEVICE` also holds for Keras on PyTorch.
"""

from __future__ import annotations

from backends import defaults as common
from backends.defaults import KEPT, NUMPY, OFF, ON, ORDER, OTHER_FORM, PASSED, SET, Default

DEVICE = (
    Default("TF32 in matrix products", OFF, SET),
    Default("TF32 in convolutions", ON, SET),
    Default("determinism", OFF, SET),
    Default("autotuning of GPU kernels", OFF, SET),
    Default("GPU memory allocation", "as needed", KEPT),
    Default("CPU threads", "one per core", SET),
)

DEFAULTS = (
    Default("kernel initializer", "uniform, ±1/√inputs", NUMPY),
    Default("bias initializer", "uniform, ±1/√inputs", NUMPY),
    Default("normal initializers", "not truncated", NUMPY),
    Default("range of the uniform initializer", "0.0 to 1.0", NUMPY),
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
    Default("leaky_relu's slope", 0.01, PASSED),
    Default("batch norm's epsilon", 1e-05, PASSED),
    Default("batch norm's momentum", 0.1, PASSED),
    Default(
        "meaning of batch norm's momentum", "weight of the new value", "1 - momentum is passed"
    ),
    Default(
        "batch norm's running variance",
        "unbiased (n - 1)",
        "averages implemented here, from the biased variance",
    ),
    Default("cross-entropy takes", "logits", KEPT),
    Default("loss of a batch", "mean over its examples", KEPT),
    Default("loss of an epoch", None, "mean of the batches, weighted by size"),
    Default("sgd's learning rate", 0.001, PASSED),
    Default("sgd's momentum", 0, PASSED),
    Default("sgd's nesterov", OFF, PASSED),
    Default(
        "sgd's velocity",
        "without the learning rate",
        "default kept; equal with a constant learning rate",
    ),
    Default("rmsprop's learning rate", 0.01, PASSED),
    Default("rmsprop's rho", 0.99, PASSED),
    Default("rmsprop's epsilon", 1e-08, PASSED),
    Default("position of rmsprop's epsilon", "outside the root", OTHER_FORM),
    Default("adagrad's learning rate", 0.01, PASSED),
    Default("adagrad's first accumulator", 0, PASSED),
    Default("adagrad's epsilon", 1e-10, PASSED),
    Default("position of adagrad's epsilon", "outside the root", OTHER_FORM),
    Default("adam's learning rate", 0.001, PASSED),
    Default("adam's epsilon", 1e-08, PASSED),
    Default("position of adam's epsilon", "after the correction", OTHER_FORM),
    Default(
        "adam's weight decay",
        "added to the gradient",
        "adamw: AdamW's, separate; adam: 0 is passed",
    ),
    Default("adamw's weight decay", 0.01, PASSED),
    Default("adadelta's learning rate", 1.0, PASSED),
    Default("adadelta's rho", 0.9, PASSED),
    Default("adadelta's epsilon", 1e-06, PASSED),
    Default("batch size", 1, "no DataLoader; rows are gathered on the device"),
    Default("shuffling", OFF, ORDER),
    Default("last partial batch", "kept", ORDER),
    Default("dtype", "float32", KEPT),
    Default("compiler", OFF, KEPT),
    *DEVICE,
)

BACKENDS = {"pytorch": DEFAULTS}
