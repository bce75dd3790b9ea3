"""Chainer's defaults, and what its adapter sets, for the settings in `backends.defaults`."""

from __future__ import annotations

from backends import defaults as common
from backends.defaults import KEPT, NUMPY, OFF, ON, ORDER, OTHER_FORM, PASSED, SET, Default

_NO_GPU = "there is no GPU"

DEFAULTS = (
    Default("kernel initializer", "normal, deviation 1/√inputs", NUMPY),
    Default("bias initializer", 0.0, NUMPY),
    Default("normal initializers", "not truncated", NUMPY),
    Default("range of the uniform initializer", "-0.05 to 0.05", NUMPY),
    Default("dense kernel's axes", "(out, in)", common.TRANSPOSED),
    *common.CHANNELS_FIRST,
    Default(
        "extra row of 'same' padding, stride 2", None, "padding before the convolution (F.pad)"
    ),
    Default("partial pooling window", "a pool of its own", "cover_all=False is passed"),
    Default("average pooling over padding", "counts padding zeros", "no padding is used"),
    *common.LAYERS_KEPT,
    Default("leaky_relu's slope", 0.2, PASSED),
    Default("batch norm's epsilon", 2e-05, PASSED),
    Default("batch norm's momentum", 0.9, PASSED),
    Default("meaning of batch norm's momentum", "weight of the old value", KEPT),
    Default(
        "batch norm's running variance",
        "unbiased (n - 1)",
        "averages implemented here, from the biased variance",
    ),
    Default("cross-entropy takes", "logits", KEPT),
    Default("loss of a batch", "mean over its examples", KEPT),
    Default("loss of an epoch", None, "mean of the batches, weighted by size"),
    Default("sgd's learning rate", 0.01, PASSED),
    Default("sgd's momentum", 0.9, "passed explicitly; SGD, which has none, for 0"),
    Default("sgd's nesterov", OFF, "NesterovAG has another formula; implemented here"),
    Default("sgd's velocity", "includes the learning rate", KEPT),
    Default("rmsprop's learning rate", 0.01, PASSED),
    Default("rmsprop's rho", 0.99, PASSED),
    Default("rmsprop's epsilon", 1e-08, PASSED),
    Default("position of rmsprop's epsilon", "outside the root", "eps_inside_sqrt is passed"),
    Default("adagrad's learning rate", 0.001, PASSED),
    Default("adagrad's first accumulator", None, "0 in Chainer; others are implemented here"),
    Default("adagrad's epsilon", 1e-08, PASSED),
    Default("position of adagrad's epsilon", "outside the root", OTHER_FORM),
    Default("adam's learning rate", 0.001, PASSED),
    Default("adam's epsilon", 1e-08, PASSED),
    Default("position of adam's epsilon", "before the correction", OTHER_FORM),
    Default(
        "adam's weight decay",
        "separate from the gradient",
        "adamw: times the learning rate, which Chainer leaves out; adam: 0 is passed",
    ),
    Default("adamw's weight decay", 0, "the product with the learning rate is passed"),
    Default("adadelta's learning rate", None, "1 in Chainer; others are implemented here"),
    Default("adadelta's rho", 0.95, PASSED),
    Default("adadelta's epsilon", 1e-06, PASSED),
    Default("batch size", "required argument", "no iterator; rows are gathered from the array"),
    Default("shuffling", ON, ORDER),
    Default("last partial batch", "filled from the next epoch", ORDER),
    Default("dtype", "float32", SET),
    Default("TF32 in matrix products", None, _NO_GPU),
    Default("TF32 in convolutions", None, _NO_GPU),
    Default("compiler", OFF, KEPT),
    Default("determinism", ON, KEPT),
    Default("autotuning of GPU kernels", OFF, _NO_GPU),
    Default("GPU memory allocation", None, _NO_GPU),
    Default("CPU threads", "one per allowed CPU", "set before training (threadpoolctl)"),
)

BACKENDS = {"chainer": DEFAULTS}
