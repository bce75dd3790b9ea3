"""scikit-learn's defaults, and what its adapter sets, for the settings in `backends.defaults`."""

from __future__ import annotations

from backends import defaults as common
from backends.defaults import IMPLEMENTED, KEPT, NUMPY, OFF, ON, ORDER, OTHER_FORM, PASSED, Default

_REFUSED = "a model with it is unsupported"
_WITHOUT = (
    "convolution kernel's axes",
    "extra row of 'same' padding, stride 2",
    "partial pooling window",
    "average pooling over padding",
    "gradient of max pooling in a tie",
    "leaky_relu's slope",
    "meaning of dropout's rate",
    "dropout's scaling",
    "batch norm's epsilon",
    "batch norm's momentum",
    "meaning of batch norm's momentum",
    "batch norm's running variance",
)
_WITHOUT_OPTIMIZERS = (
    "rmsprop's learning rate",
    "rmsprop's rho",
    "rmsprop's epsilon",
    "position of rmsprop's epsilon",
    "adagrad's learning rate",
    "adagrad's first accumulator",
    "adagrad's epsilon",
    "position of adagrad's epsilon",
    "adamw's weight decay",
    "adadelta's learning rate",
    "adadelta's rho",
    "adadelta's epsilon",
)

DEFAULTS = (
    Default("kernel initializer", "uniform, ±√(6 / (in + out)); for sigmoid ±√(2 / ...)", NUMPY),
    Default("bias initializer", "uniform, as the kernel", NUMPY),
    Default("normal initializers", None, NUMPY),
    Default("range of the uniform initializer", None, NUMPY),
    Default("dense kernel's axes", "(in, out)", KEPT),
    Default("image layout", None, "images are rows, in the order of the array"),
    Default("flatten's order", None, "the order of the array"),
    *(Default(name, None, _REFUSED) for name in _WITHOUT),
    Default("relu's derivative at 0", 0.0, KEPT),
    Default(
        "cross-entropy takes",
        "probabilities",
        "default kept; the logits, where a probability would be clipped",
    ),
    Default("loss of a batch", "mean over its examples", KEPT),
    Default("loss of an epoch", "mean over its examples", KEPT),
    Default("sgd's learning rate", 0.001, PASSED),
    Default("sgd's momentum", 0.9, PASSED),
    Default("sgd's nesterov", ON, PASSED),
    Default("sgd's velocity", "includes the learning rate", KEPT),
    Default("adam's learning rate", 0.001, PASSED),
    Default("adam's epsilon", 1e-08, PASSED),
    Default("position of adam's epsilon", "before the correction", OTHER_FORM),
    Default(
        "adam's weight decay",
        "added to the gradient",
        "alpha=0 is passed; adamw's is implemented here",
    ),
    *(Default(name, None, IMPLEMENTED) for name in _WITHOUT_OPTIMIZERS),
    Default("batch size", "auto", PASSED),
    Default("shuffling", ON, ORDER),
    Default("last partial batch", "kept", ORDER),
    Default("dtype", "that of the images", "the images are float32"),
    *common.without_gpu("there is no GPU"),
    Default("compiler", OFF, KEPT),
    Default("determinism", ON, KEPT),
    Default("CPU threads", "one per allowed CPU", "set before training (threadpoolctl)"),
)

BACKENDS = {"scikit-learn": DEFAULTS}
