"""Theano's defaults, and what its adapter sets, for the settings in `backends.defaults`."""

from __future__ import annotations

from backends.defaults import IMPLEMENTED, NUMPY, OFF, ON, OPTIMIZERS, ORDER, PASSED, SET, Default

_NO_GPU = "the bench trains with it on the CPU"

DEFAULTS = (
    Default("kernel initializer", None, NUMPY),
    Default("bias initializer", None, NUMPY),
    Default("normal initializers", None, NUMPY),
    Default("range of the uniform initializer", None, NUMPY),
    Default("dense kernel's axes", None, "(in, out), in dot(x, kernel)"),
    Default("convolution kernel's axes", "(out, in, height, width)", "weights transposed"),
    Default("image layout", "channels first", "images transposed when they are loaded"),
    Default("flatten's order", "channel, height, width", "rows of the next kernel reordered"),
    Default("extra row of 'same' padding, stride 2", "before the image", "sizes are passed"),
    Default("partial pooling window", "a pool of its own", PASSED),
    Default("average pooling over padding", "required argument", "no padding is used"),
    Default("relu's derivative at 0", 0.5, IMPLEMENTED),
    Default("gradient of max pooling in a tie", "to every maximum", IMPLEMENTED),
    Default("leaky_relu's slope", 0, IMPLEMENTED),
    Default("meaning of dropout's rate", None, IMPLEMENTED),
    Default("dropout's scaling", None, IMPLEMENTED),
    Default("batch norm's epsilon", 1e-4, IMPLEMENTED),
    Default("batch norm's momentum", 0.1, IMPLEMENTED),
    Default("meaning of batch norm's momentum", "weight of the new value", IMPLEMENTED),
    Default("batch norm's running variance", "unbiased (n - 1)", IMPLEMENTED),
    Default("cross-entropy takes", "probabilities", "crossentropy_softmax_1hot takes logits"),
    Default("loss of a batch", "one loss per example", "mean implemented here"),
    Default("loss of an epoch", None, "mean of the batches, weighted by size"),
    *(Default(name, None, IMPLEMENTED) for name in OPTIMIZERS),
    Default("batch size", None, "a loop over batches of that size"),
    Default("shuffling", None, ORDER),
    Default("last partial batch", None, ORDER),
    Default("dtype", "float64", SET),
    Default("TF32 in matrix products", None, _NO_GPU),
    Default("TF32 in convolutions", None, _NO_GPU),
    Default("compiler", ON, "kept; without one optimization, local_dot22_to_dot22scalar"),
    Default("determinism", OFF, SET),
    Default("autotuning of GPU kernels", OFF, _NO_GPU),
    Default("GPU memory allocation", "as needed", _NO_GPU),
    Default("CPU threads", "convolutions: one", SET),
)

BACKENDS = {"theano": DEFAULTS}
