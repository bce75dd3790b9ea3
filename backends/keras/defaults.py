"""Keras's defaults, and what its adapters set, for the settings in `backends.defaults`.

`DEFAULTS` is the same on every engine; the engines differ in compiler and device.
"""

from __future__ import annotations

from backends import defaults as common
from backends.defaults import KEPT, NUMPY, OFF, ON, ORDER, OTHER_FORM, PASSED, SET, Default
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
    Default("average pooling over padding", "ignores padding zeros", "no padding is used"),
    *common.LAYERS_KEPT,
    Default("leaky_relu's slope", 0.2, PASSED),
    Default("batch norm's epsilon", 0.001, PASSED),
    Default("batch norm's momentum", 0.99, PASSED),
    Default("meaning of batch norm's momentum", "weight of the old value", KEPT),
    Default("batch norm's running variance", "biased (n)", KEPT),
    Default("cross-entropy takes", "probabilities", "from_logits=True is passed"),
    Default("loss of a batch", "mean over its examples", KEPT),
    Default("loss of an epoch", "mean over its examples", KEPT),
    Default("sgd's learning rate", 0.01, PASSED),
    Default("sgd's momentum", 0.0, PASSED),
    Default("sgd's nesterov", OFF, PASSED),
    Default("sgd's velocity", "includes the learning rate", KEPT),
    Default("rmsprop's learning rate", 0.001, PASSED),
    Default("rmsprop's rho", 0.9, PASSED),
    Default("rmsprop's epsilon", 1e-07, PASSED),
    Default("position of rmsprop's epsilon", "inside the root", OTHER_FORM),
    Default("adagrad's learning rate", 0.001, PASSED),
    Default("adagrad's first accumulator", 0.1, PASSED),
    Default("adagrad's epsilon", 1e-07, PASSED),
    Default("position of adagrad's epsilon", "inside the root", OTHER_FORM),
    Default("adam's learning rate", 0.001, PASSED),
    Default("adam's epsilon", 1e-07, PASSED),
    Default("position of adam's epsilon", "before the correction", OTHER_FORM),
    Default("adam's weight decay", "separate from the gradient", "adamw: default kept; adam: none"),
    Default("adamw's weight decay", 0.004, PASSED),
    Default("adadelta's learning rate", 0.001, PASSED),
    Default("adadelta's rho", 0.95, PASSED),
    Default("adadelta's epsilon", 1e-07, PASSED),
    Default("batch size", 32, "batches of this size are passed to fit"),
    Default("shuffling", ON, f"off; {ORDER}"),
    Default("last partial batch", "kept", ORDER),
    Default("dtype", "float32", SET),
)

_COMPILERS = {
    "keras-tensorflow": Default("compiler", "on only if a GPU is visible", "off"),
    "keras-jax": Default("compiler", ON, "on, for a step"),
    "keras-torch": Default("compiler", OFF, "off"),
}
_DEVICES = {
    "keras-tensorflow": tensorflow_defaults.DEVICE,
    "keras-jax": jax_defaults.DEVICE,
    "keras-torch": pytorch_defaults.DEVICE,
}
BACKENDS = {name: (*DEFAULTS, _COMPILERS[name], *device) for name, device in _DEVICES.items()}
