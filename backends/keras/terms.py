"""Keras's defaults, and what its adapters set, for the terms of `backends.terms`.

`STANDS` is the same on every engine; compiler and device differ between the engines.
"""

from __future__ import annotations

from backends.jax import terms as jax_terms
from backends.pytorch import terms as pytorch_terms
from backends.tensorflow import terms as tensorflow_terms
from backends.terms import FORMS, GIVEN, KEPT, NUMPY, OFF, ON, ORDER, SET, Stand

STANDS = (
    Stand("kernel initializer", "GlorotUniform", NUMPY),
    Stand("bias initializer", "Zeros", NUMPY),
    Stand("normal initializers", "truncated", NUMPY),
    Stand("range of the uniform initializer", "-0.05 to 0.05", NUMPY),
    Stand("dense kernel's axes", "(in, out)", KEPT),
    Stand("convolution kernel's axes", "(height, width, in, out)", KEPT),
    Stand("image layout", "channels last", SET),
    Stand("flatten's order", "height, width, channel", KEPT),
    Stand("odd zero of padding same, stride 2", "after the image", KEPT),
    Stand("rest that fills no pool", "dropped", KEPT),
    Stand("average pool over padding", "counts no zeros", "no padding asked for"),
    Stand("relu's derivative at 0", 0.0, KEPT),
    Stand("max pool's gradient in a tie", "to the first maximum", KEPT),
    Stand("leaky_relu's slope", 0.2, GIVEN),
    Stand("dropout's number", "share dropped", KEPT),
    Stand("dropout's scaling", "of what is kept, by 1 / (1 - rate)", KEPT),
    Stand("batch norm's epsilon", 0.001, GIVEN),
    Stand("batch norm's momentum", 0.99, GIVEN),
    Stand("batch norm's momentum is", "share kept", KEPT),
    Stand("batch norm's running variance", "biased (n)", KEPT),
    Stand("cross-entropy takes", "probabilities", "told that it gets logits"),
    Stand("loss of a batch", "mean over its examples", KEPT),
    Stand("loss of an epoch", "mean over its examples", KEPT),
    Stand("sgd's learning rate", 0.01, GIVEN),
    Stand("sgd's momentum", 0.0, GIVEN),
    Stand("sgd's nesterov", OFF, GIVEN),
    Stand("sgd's velocity", "holds the learning rate", KEPT),
    Stand("rmsprop's learning rate", 0.001, GIVEN),
    Stand("rmsprop's rho", 0.9, GIVEN),
    Stand("rmsprop's epsilon", 1e-07, GIVEN),
    Stand("rmsprop's epsilon stands", "inside the root", FORMS),
    Stand("adagrad's learning rate", 0.001, GIVEN),
    Stand("adagrad's first accumulator", 0.1, GIVEN),
    Stand("adagrad's epsilon", 1e-07, GIVEN),
    Stand("adagrad's epsilon stands", "inside the root", FORMS),
    Stand("adam's learning rate", 0.001, GIVEN),
    Stand("adam's epsilon", 1e-07, GIVEN),
    Stand("adam's epsilon comes", "before the correction", FORMS),
    Stand("adam's weight decay", "apart from the gradient", "adamw's by it; for adam given none"),
    Stand("adamw's weight decay", 0.004, GIVEN),
    Stand("adadelta's learning rate", 0.001, GIVEN),
    Stand("adadelta's rho", 0.95, GIVEN),
    Stand("adadelta's epsilon", 1e-07, GIVEN),
    Stand("batch size", 32, "batches handed to fit ready made"),
    Stand("shuffling", ON, f"off; {ORDER}"),
    Stand("last partial batch", "kept", ORDER),
    Stand("dtype", "float32", SET),
)

_COMPILERS = {
    "keras-tensorflow": Stand("compiler", "on only where a GPU is seen", "off"),
    "keras-jax": Stand("compiler", ON, "on, for a step"),
    "keras-torch": Stand("compiler", OFF, "off"),
}
_DEVICES = {
    "keras-tensorflow": tensorflow_terms.DEVICE,
    "keras-jax": jax_terms.DEVICE,
    "keras-torch": pytorch_terms.DEVICE,
}
BACKENDS = {name: (*STANDS, _COMPILERS[name], *device) for name, device in _DEVICES.items()}
