"""PyTorch's defaults, and what its adapter sets, for the terms of `backends.defaults`.

Keras on PyTorch has `DEVICE` in common with plain PyTorch.
"""

from __future__ import annotations

from backends.defaults import FORMS, GIVEN, KEPT, NUMPY, OFF, ON, ORDER, SET, Default

TURNED = "default kept; weights are transposed when read and written"

DEVICE = (
    Default("TF32 in matrix products", OFF, SET),
    Default("TF32 in convolutions", ON, SET),
    Default("determinism", OFF, SET),
    Default("autotuning of GPU kernels", OFF, SET),
    Default("GPU memory is taken", "as needed", KEPT),
    Default("CPU threads", "one per core", SET),
)

DEFAULTS = (
    Default("kernel initializer", "uniform, ±1/√inputs", NUMPY),
    Default("bias initializer", "uniform, ±1/√inputs", NUMPY),
    Default("normal initializers", "not truncated", NUMPY),
    Default("range of the uniform initializer", "0.0 to 1.0", NUMPY),
    Default("dense kernel's axes", "(out, in)", TURNED),
    Default("convolution kernel's axes", "(out, in, height, width)", TURNED),
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
        "refused",
        "a layer of zeros before the convolution",
    ),
    Default("partial pooling window", "dropped", KEPT),
    Default("average pooling over padding", "counts the zeros", "no padding asked for"),
    Default("relu's derivative at 0", 0.0, KEPT),
    Default("gradient of max pooling in a tie", "to the first maximum", KEPT),
    Default("leaky_relu's slope", 0.01, GIVEN),
    Default("meaning of dropout's rate", "fraction dropped", KEPT),
    Default("dropout's scaling", "of what is kept, by 1 / (1 - rate)", KEPT),
    Default("batch norm's epsilon", 1e-05, GIVEN),
    Default("batch norm's momentum", 0.1, GIVEN),
    Default("meaning of batch norm's momentum", "weight of the new value", "given the other share"),
    Default(
        "batch norm's running variance",
        "unbiased (n - 1)",
        "averages implemented here, from the biased variance",
    ),
    Default("cross-entropy takes", "logits", KEPT),
    Default("loss of a batch", "mean over its examples", KEPT),
    Default("loss of an epoch", None, "summed, each batch by its size"),
    Default("sgd's learning rate", 0.001, GIVEN),
    Default("sgd's momentum", 0, GIVEN),
    Default("sgd's nesterov", OFF, GIVEN),
    Default(
        "sgd's velocity",
        "holds no learning rate",
        "default kept: equal while the rate is constant",
    ),
    Default("rmsprop's learning rate", 0.01, GIVEN),
    Default("rmsprop's rho", 0.99, GIVEN),
    Default("rmsprop's epsilon", 1e-08, GIVEN),
    Default("rmsprop's epsilon defaults", "outside the root", FORMS),
    Default("adagrad's learning rate", 0.01, GIVEN),
    Default("adagrad's first accumulator", 0, GIVEN),
    Default("adagrad's epsilon", 1e-10, GIVEN),
    Default("adagrad's epsilon defaults", "outside the root", FORMS),
    Default("adam's learning rate", 0.001, GIVEN),
    Default("adam's epsilon", 1e-08, GIVEN),
    Default("position of adam's epsilon", "after the correction", FORMS),
    Default(
        "adam's weight decay",
        "added to the gradient",
        "AdamW's, which is apart; for adam given 0",
    ),
    Default("adamw's weight decay", 0.01, GIVEN),
    Default("adadelta's learning rate", 1.0, GIVEN),
    Default("adadelta's rho", 0.9, GIVEN),
    Default("adadelta's epsilon", 1e-06, GIVEN),
    Default("batch size", 1, "no DataLoader: rows gathered on the device"),
    Default("shuffling", OFF, ORDER),
    Default("last partial batch", "kept", ORDER),
    Default("dtype", "float32", KEPT),
    Default("compiler", OFF, KEPT),
    *DEVICE,
)

BACKENDS = {"pytorch": DEFAULTS}
