"""Caffe's defaults, and what its adapter sets, for the settings in `backends.defaults`.

They are those of `caffe.proto`, where a number without a default is 0.
"""

from __future__ import annotations

from backends import defaults as common
from backends.defaults import IMPLEMENTED, KEPT, NUMPY, OFF, ON, ORDER, OTHER_FORM, PASSED, Default

_REFUSED = "a model with batch norm is unsupported"

DEFAULTS = (
    Default("kernel initializer", "zeros", NUMPY),
    Default("bias initializer", "zeros", NUMPY),
    Default("normal initializers", "not truncated", NUMPY),
    Default("range of the uniform initializer", "0.0 to 1.0", NUMPY),
    Default("dense kernel's axes", "(out, in)", common.TRANSPOSED),
    *common.CHANNELS_FIRST,
    Default(
        "extra row of 'same' padding, stride 2",
        None,
        "a convolution with more zeros, of which a part is taken",
    ),
    Default("partial pooling window", "a pool of its own", "rounding down is passed"),
    Default("average pooling over padding", "counts padding zeros", "no padding is used"),
    *common.LAYERS_KEPT,
    Default("leaky_relu's slope", 0.0, PASSED),
    Default("batch norm's epsilon", 1e-05, _REFUSED),
    Default("batch norm's momentum", 0.999, _REFUSED),
    Default("meaning of batch norm's momentum", None, _REFUSED),
    Default("batch norm's running variance", None, _REFUSED),
    Default("cross-entropy takes", "logits", KEPT),
    Default("loss of a batch", "mean over its examples", KEPT),
    Default("loss of an epoch", None, "mean of the batches, weighted by size"),
    Default("sgd's learning rate", 0.0, PASSED),
    Default("sgd's momentum", 0.0, PASSED),
    Default("sgd's nesterov", OFF, "another solver"),
    Default("sgd's velocity", "includes the learning rate", KEPT),
    Default("rmsprop's learning rate", 0.0, PASSED),
    Default("rmsprop's rho", 0.99, PASSED),
    Default("rmsprop's epsilon", 1e-08, PASSED),
    Default("position of rmsprop's epsilon", "outside the root", OTHER_FORM),
    Default("adagrad's learning rate", 0.0, PASSED),
    Default("adagrad's first accumulator", None, "0; with another one implemented here"),
    Default("adagrad's epsilon", 1e-08, PASSED),
    Default("position of adagrad's epsilon", "outside the root", OTHER_FORM),
    Default("adam's learning rate", 0.0, PASSED),
    Default("adam's epsilon", 1e-08, PASSED),
    Default("position of adam's epsilon", "before the correction", OTHER_FORM),
    Default(
        "adam's weight decay", "added to the gradient", "0, the default; adamw's: implemented here"
    ),
    Default("adamw's weight decay", None, IMPLEMENTED),
    Default("adadelta's learning rate", 0.0, PASSED),
    Default("adadelta's rho", 0.0, PASSED),
    Default("adadelta's epsilon", 1e-08, PASSED),
    Default("batch size", 0, "the shape of the inputs"),
    Default("shuffling", OFF, ORDER),
    Default("last partial batch", "filled from the start", ORDER),
    Default("dtype", "float32", KEPT),
    *common.without_gpu("this build has no GPU"),
    Default("compiler", None, "there is none"),
    Default("determinism", ON, KEPT),
    Default("CPU threads", "one per allowed CPU", "set before training (OpenBLAS)"),
)

BACKENDS = {"caffe": DEFAULTS}
