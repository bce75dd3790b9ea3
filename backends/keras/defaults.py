"""Keras's defaults, and what its adapters set, for the terms of `backends.defaults`.

`DEFAULTS` is the same on every engine; compiler and device differ between the engines.
"""

from __future__ import annotations

from backends.defaults import FORMS, GIVEN, KEPT, NUMPY, OFF, ON, ORDER, SET, Default
from backends.jax import defaults as jax_defaults
from backends.pytorch import defaults as pytorch_defaults
from backends.tensorflow import defaults as tensorflow_defaults

DEFAULTS = (
    Default("kernel initializer", "GlorotUniform", NUMPY),
    Default("bias initializer", "Zeros", NUMPY),
    Default("normal initializers", "truncated", NUMPY),
    Default("range of the uniform initializer", "-0.05 to 0.05", NUMPY),
    Default("dense kernel's axes", "(in, out)", KEPT),
    Default("convolution kernel's axes", "(height, width, in, out)", KEPT),
    Default("image layout", "channels last", SET),
    Default("flatten's order", "height, width, channel", KEPT),
    Default("extra row of 'same' padding, stride 2", "after the image", KEPT),
    Default("partial pooling window", "dropped", KEPT),
    Default("average pooling over padding", "counts no zeros", "no padding asked for"),
    Default("relu's derivative at 0", 0.0, KEPT),
    Default("gradient of max pooling in a tie", "to the first maximum", KEPT),
    Default("leaky_relu's slope", 0.2, GIVEN),
    Default("meaning of dropout's rate", "fraction dropped", KEPT),
    Default("dropout's scaling", "of what is kept, by 1 / (1 - rate)", KEPT),
    Default("batch norm's epsilon", 0.001, GIVEN),
    Default("batch norm's momentum", 0.99, GIVEN),
    Default("meaning of batch norm's momentum", "fraction kept", KEPT),
    Default("batch norm's running variance", "biased (n)", KEPT),
    Default("cross-entropy takes", "probabilities", "told that it gets logits"),
    Default("loss of a batch", "mean over its examples", KEPT),
    Default("loss of an epoch", "mean over its examples", KEPT),
    Default("sgd's learning rate", 0.01, GIVEN),
    Default("sgd's momentum", 0.0, GIVEN),
    Default("sgd's nesterov", OFF, GIVEN),
    Default("sgd's velocity", "holds the learning rate", KEPT),
    Default("rmsprop's learning rate", 0.001, GIVEN),
    Default("rmsprop's rho", 0.9, GIVEN),
    Default("rmsprop's epsilon", 1e-07, GIVEN),
    Default("rmsprop's epsilon defaults", "inside the root", FORMS),
    Default("adagrad's learning rate", 0.001, GIVEN),
    Default("adagrad's first accumulator", 0.1, GIVEN),
    Default("adagrad's epsilon", 1e-07, GIVEN),
    Default("adagrad's epsilon defaults", "inside the root", FORMS),
    Default("adam's learning rate", 0.001, GIVEN),
    Default("adam's epsilon", 1e-07, GIVEN),
    Default("position of adam's epsilon", "before the correction", FORMS),
    Default("adam's weight decay", "apart from the gradient", "adamw's by it; for adam given none"),
    Default("adamw's weight decay", 0.004, GIVEN),
    Default("adadelta's learning rate", 0.001, GIVEN),
    Default("adadelta's rho", 0.95, GIVEN),
    Default("adadelta's epsilon", 1e-07, GIVEN),
    Default("batch size", 32, "batches handed to fit ready made"),
    Default("shuffling", ON, f"off; {ORDER}"),
    Default("last partial batch", "kept", ORDER),
    Default("dtype", "float32", SET),
)

_COMPILERS = {
    "keras-tensorflow": Default("compiler", "on only where a GPU is seen", "off"),
    "keras-jax": Default("compiler", ON, "on, for a step"),
    "keras-torch": Default("compiler", OFF, "off"),
}
_DEVICES = {
    "keras-tensorflow": tensorflow_defaults.DEVICE,
    "keras-jax": jax_defaults.DEVICE,
    "keras-torch": pytorch_defaults.DEVICE,
}
BACKENDS = {name: (*DEFAULTS, _COMPILERS[name], *device) for name, device in _DEVICES.items()}
