"""PyTorch's defaults, and what its adapter sets, for the terms of `backends.terms`.

Keras on PyTorch has `DEVICE` in common with plain PyTorch.
"""

from __future__ import annotations

from backends.terms import FORMS, GIVEN, KEPT, NUMPY, OFF, ON, ORDER, SET, Stand

TURNED = "left as it is; weights are turned on their way in and out"

DEVICE = (
    Stand("TF32 in matrix products", OFF, SET),
    Stand("TF32 in convolutions", ON, SET),
    Stand("determinism", OFF, SET),
    Stand("autotuning of GPU kernels", OFF, SET),
    Stand("GPU memory is taken", "as needed", KEPT),
    Stand("CPU threads", "one per core", SET),
)

STANDS = (
    Stand("kernel initializer", "uniform, ±1/√inputs", NUMPY),
    Stand("bias initializer", "uniform, ±1/√inputs", NUMPY),
    Stand("normal initializers", "not truncated", NUMPY),
    Stand("range of the uniform initializer", "0.0 to 1.0", NUMPY),
    Stand("dense kernel's axes", "(out, in)", TURNED),
    Stand("convolution kernel's axes", "(out, in, height, width)", TURNED),
    Stand("image layout", "channels first", "left as it is; images are turned once, when loaded"),
    Stand(
        "flatten's order",
        "channel, height, width",
        "left as it is; the weights that follow are put in that order",
    ),
    Stand(
        "odd zero of padding same, stride 2",
        "refused",
        "a layer of zeros before the convolution",
    ),
    Stand("rest that fills no pool", "dropped", KEPT),
    Stand("average pool over padding", "counts the zeros", "no padding asked for"),
    Stand("relu's derivative at 0", 0.0, KEPT),
    Stand("max pool's gradient in a tie", "to the first maximum", KEPT),
    Stand("leaky_relu's slope", 0.01, GIVEN),
    Stand("dropout's number", "share dropped", KEPT),
    Stand("dropout's scaling", "of what is kept, by 1 / (1 - rate)", KEPT),
    Stand("batch norm's epsilon", 1e-05, GIVEN),
    Stand("batch norm's momentum", 0.1, GIVEN),
    Stand("batch norm's momentum is", "share taken anew", "given the other share"),
    Stand(
        "batch norm's running variance",
        "unbiased (n - 1)",
        "averages written out, of the biased one",
    ),
    Stand("cross-entropy takes", "logits", KEPT),
    Stand("loss of a batch", "mean over its examples", KEPT),
    Stand("loss of an epoch", None, "summed, each batch by its size"),
    Stand("sgd's learning rate", 0.001, GIVEN),
    Stand("sgd's momentum", 0, GIVEN),
    Stand("sgd's nesterov", OFF, GIVEN),
    Stand(
        "sgd's velocity",
        "holds no learning rate",
        "left as it is: equal while the rate is constant",
    ),
    Stand("rmsprop's learning rate", 0.01, GIVEN),
    Stand("rmsprop's rho", 0.99, GIVEN),
    Stand("rmsprop's epsilon", 1e-08, GIVEN),
    Stand("rmsprop's epsilon stands", "outside the root", FORMS),
    Stand("adagrad's learning rate", 0.01, GIVEN),
    Stand("adagrad's first accumulator", 0, GIVEN),
    Stand("adagrad's epsilon", 1e-10, GIVEN),
    Stand("adagrad's epsilon stands", "outside the root", FORMS),
    Stand("adam's learning rate", 0.001, GIVEN),
    Stand("adam's epsilon", 1e-08, GIVEN),
    Stand("adam's epsilon comes", "after the correction", FORMS),
    Stand(
        "adam's weight decay",
        "added to the gradient",
        "AdamW's, which is apart; for adam given 0",
    ),
    Stand("adamw's weight decay", 0.01, GIVEN),
    Stand("adadelta's learning rate", 1.0, GIVEN),
    Stand("adadelta's rho", 0.9, GIVEN),
    Stand("adadelta's epsilon", 1e-06, GIVEN),
    Stand("batch size", 1, "no DataLoader: rows gathered on the device"),
    Stand("shuffling", OFF, ORDER),
    Stand("last partial batch", "kept", ORDER),
    Stand("dtype", "float32", KEPT),
    Stand("compiler", OFF, KEPT),
    *DEVICE,
)

BACKENDS = {"pytorch": STANDS}
