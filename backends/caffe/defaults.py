"""Caffe's defaults, and what its adapter sets, for the settings in `backends.defaults`.

They are those of `caffe.proto`, where a number without a default is 0.
"""

from __future__ import annotations

from backends.defaults import IMPLEMENTED, KEPT, NUMPY, OFF, ON, ORDER, OTHER_FORM, PASSED, Default

_TRANSPOSED = "default kept; weights are transposed when read and written"
_REFUSED = "a model with batch norm is unsupported"
_NO_GPU = "this build has no GPU"

DEFAULTS = (
    Default("kernel initializer", "zeros", NUMPY),
    Default("bias initializer", "zeros", NUMPY),
    Default("normal initializers", "not truncated", NUMPY),
    Default("range of the uniform initializer", "0.0 to 1.0", NUMPY),
    Default("dense kernel's axes", "(out, in)", _TRANSPOSED),
    Default("convolution kernel's axes", "(out, in, height, width)", _TRANSPOSED),
    Default(
        "image layout", "channels first", "default kept; images are transposed once, when loaded"
    ),
    Default(
        "flatten's order",
        "channel, height, width",
        "default kept; the next weights are permuted to match",
    ),
    Default(
        "extra row of 'same' padding, stride 2",
        None,
        "a convolution with more zeros, of which a part is taken",
    ),
    Default("partial pooling window", "a pool of its own", "rounding down is passed"),
    Default("average pooling over padding", "counts padding zeros", "no padding is used"),
    Default("relu's derivative at 0", 0.0, KEPT),
    Default("gradient of max pooling in a tie", "to the first maximum", KEPT),
    Default("leaky_relu's slope", 0.0, PASSED),
    Default("meaning of dropout's rate", "fraction dropped", KEPT),
    Default("dropout's scaling", "kept values times 1 / (1 - rate)", KEPT),
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
    Default("TF32 in matrix products", None, _NO_GPU),
    Default("TF32 in convolutions", None, _NO_GPU),
    Default("compiler", None, "there is none"),
    Default("determinism", ON, KEPT),
    Default("autotuning of GPU kernels", None, _NO_GPU),
    Default("GPU memory allocation", None, _NO_GPU),
    Default("CPU threads", "one per allowed CPU", "set before training (OpenBLAS)"),
)

BACKENDS = {"caffe": DEFAULTS}
