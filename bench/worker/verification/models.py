"""The models of the verification.

Small models together use every layer and option of the workload language. The other checks have
models of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from specs.loading import find_workload
from specs.model import (
    Activation,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    Initializer,
    Input,
    MaxPool2d,
    Optimizer,
    RmsProp,
    Sgd,
    Workload,
)

# All constants differ from the defaults of every framework, so a check fails if an adapter does not
# pass one; a test ensures that they differ. The epsilons are large: with 1e-7 outside the root, a
# first step only depends on the sign of the gradient, and rounding decides the sign of a small
# gradient.
_INSIDE_ROOT = RmsProp(learning_rate=1.5e-3, rho=0.85, epsilon=1e-4, epsilon_form="inside_root")
_OUTSIDE_ROOT = replace(_INSIDE_ROOT, epsilon=2e-3, epsilon_form="outside_root")
_SGD = Sgd(learning_rate=0.015, momentum=0.0, nesterov=False)
_MOMENTUM = replace(_SGD, momentum=0.8)
_ADAM = Adam(
    learning_rate=1.5e-3, beta_1=0.8, beta_2=0.99, epsilon=2e-3, epsilon_form="after_correction"
)
_ADAMW = AdamW(
    learning_rate=1.5e-3,
    beta_1=0.8,
    beta_2=0.99,
    epsilon=2e-3,
    epsilon_form="before_correction",
    weight_decay=0.1,
)
_ADAGRAD = Adagrad(
    learning_rate=1.5e-3, initial_accumulator=0.2, epsilon=2e-3, epsilon_form="inside_root"
)
_ADADELTA = Adadelta(learning_rate=0.8, rho=0.85, epsilon=1e-4)


def _convolution(
    filters: int, kernel_size: tuple[int, int], activation: Activation, **changes: Any
) -> Conv2d:
    options: dict[str, Any] = {"strides": (1, 1), "padding": "valid", **changes}
    return Conv2d(filters=filters, kernel_size=kernel_size, activation=activation, **options)


def small(
    activation: Activation, *, initializer: Initializer = "glorot_uniform", **changes: Any
) -> Workload:
    """A convolution, a pool, dropout and dense layers, on 7x6 images of two channels.

    All sizes of a layer differ, so that swapped axes are found.
    """
    layers = (
        _convolution(3, (2, 3), activation),
        MaxPool2d(pool_size=(2, 3)),
        Dropout(rate=0.25),
        Flatten(),
        Dense(units=5, activation=activation),
        Dense(units=4, activation="linear"),
    )
    cnn = find_workload("cnn")
    recipe = replace(cnn.recipe, initializer=initializer)
    parts = {
        "input": Input(shape=(7, 6, 2), classes=4),
        "layers": layers,
        "recipe": recipe,
        "optimizer": _ADADELTA,
        **changes,
    }
    return replace(cnn, **parts)


# Batch norm on an image after strides and on a vector. Padding "same" adds an extra row at the end
# of one axis only.
_NORMAL = BatchNorm(momentum=0.8, epsilon=3e-3)
_NORMALISED = (
    _convolution(3, (3, 2), "linear", strides=(2, 1), padding="same"),
    _NORMAL,
    AvgPool2d(pool_size=(2, 2)),
    Flatten(),
    Dense(units=5, activation="tanh"),
    _NORMAL,
    Dense(units=4, activation="linear"),
)
_STRIDED = (
    _convolution(4, (3, 3), "elu", strides=(2, 2), padding="same"),
    _convolution(3, (2, 2), "softplus", strides=(1, 2)),
    AvgPool2d(pool_size=(3, 1)),
    Flatten(),
    Dense(units=5, activation="leaky_relu"),
    Dense(units=4, activation="linear"),
)
_AFTER_FLATTEN = (
    _convolution(3, (2, 3), "tanh"),
    Flatten(),
    Dropout(rate=0.5),
    Dense(units=4, activation="linear"),
)


def _digits(activation: Activation) -> Workload:
    """A convolution and a pool on images whose margins are exactly 0.

    In the margins the gradient depends on the derivative of relu at 0 and on equal values in a
    pool.
    """
    layers = (
        _convolution(2, (3, 3), activation),
        MaxPool2d(pool_size=(4, 4)),
        Flatten(),
        Dense(units=10, activation="linear"),
    )
    return small(
        activation,
        layers=layers,
        input=Input(shape=(28, 28, 1), classes=10),
        optimizer=_INSIDE_ROOT,
    )


# Sizes that tensor cores accept, and numbers that use all digits of float32. TF32 would exceed the
# tolerances hundreds of times.
_ALIGNED = (
    _convolution(16, (3, 3), "tanh", padding="same"),
    Flatten(),
    Dense(units=64, activation="tanh"),
    Dense(units=8, activation="linear"),
)

# Together these models use every layer, activation, loss, initializer, optimizer and form of
# epsilon.
MODELS: Mapping[str, Workload] = MappingProxyType(
    {
        "softmax": find_workload("softmax"),
        "mlp-relu": find_workload("mlp-relu"),
        "cnn": find_workload("cnn"),
        "digits, tanh": _digits("tanh"),
        "digits, relu": _digits("relu"),
        "tanh, sgd": small("tanh", optimizer=_SGD, initializer="he_normal"),
        "linear, sgd with momentum": small(
            "linear", optimizer=_MOMENTUM, initializer="lecun_normal"
        ),
        "sigmoid, rmsprop outside": small("sigmoid", optimizer=_OUTSIDE_ROOT),
        "dropout after flatten": replace(small("tanh"), layers=_AFTER_FLATTEN),
        "batch norm, nesterov": small(
            "tanh", layers=_NORMALISED, optimizer=replace(_MOMENTUM, nesterov=True)
        ),
        "strides, same, adam after": small(
            "relu", layers=_STRIDED, optimizer=_ADAM, initializer="he_uniform"
        ),
        "adam before": small("tanh", optimizer=replace(_ADAM, epsilon_form="before_correction")),
        "adamw before": small("elu", optimizer=_ADAMW, initializer="glorot_normal"),
        # Without batch norm: the gradient of a bias before batch norm is only a rounding error, and
        # AdamW would turn it into steps of full size.
        "adamw after": small(
            "leaky_relu", optimizer=replace(_ADAMW, epsilon_form="after_correction")
        ),
        "quadratic, adagrad inside": small(
            "softplus", loss="mean_squared_error", optimizer=_ADAGRAD
        ),
        "adagrad outside, zeros": small(
            "linear",
            layers=(Flatten(), Dense(units=4, activation="linear")),
            optimizer=replace(_ADAGRAD, epsilon_form="outside_root"),
            initializer="zeros",
        ),
        "batch norm after flatten": small(
            "tanh",
            layers=(
                _convolution(3, (2, 3), "tanh"),
                Flatten(),
                _NORMAL,
                Dropout(rate=0.5),
                Dense(units=4, activation="linear"),
            ),
            optimizer=_SGD,
            initializer="uniform",
        ),
        "sizes for tensor cores": small(
            "tanh", layers=_ALIGNED, input=Input(shape=(16, 16, 8), classes=8), optimizer=_SGD
        ),
    }
)


def _dense(activation: Activation, optimizer: Optimizer) -> Workload:
    """Two hidden dense layers, whose sizes differ."""
    hidden = (Dense(units=6, activation=activation), Dense(units=5, activation=activation))
    layers = (Flatten(), *hidden, Dense(units=4, activation="linear"))
    return small(activation, layers=layers, optimizer=optimizer)


# Models for a framework with only dense layers, instead of the models above: the same optimizers,
# with the activations of scikit-learn. Spark supports only the first two.
DENSE: Mapping[str, Workload] = MappingProxyType(
    {
        "softmax, sgd": replace(find_workload("softmax-sgd"), optimizer=_SGD),
        "dense sigmoid, sgd": _dense("sigmoid", _SGD),
        "dense tanh, sgd": _dense("tanh", _SGD),
        "dense sigmoid, momentum": _dense("sigmoid", _MOMENTUM),
        "dense tanh, nesterov": _dense("tanh", replace(_MOMENTUM, nesterov=True)),
        "dense linear, rmsprop outside": _dense("linear", _OUTSIDE_ROOT),
        "dense relu, adam after": _dense("relu", _ADAM),
        "dense tanh, adam before": _dense("tanh", replace(_ADAM, epsilon_form="before_correction")),
        "dense sigmoid, adamw before": _dense("sigmoid", _ADAMW),
        "dense tanh, adamw after": _dense("tanh", replace(_ADAMW, epsilon_form="after_correction")),
        "dense relu, adagrad inside": _dense("relu", _ADAGRAD),
        "dense tanh, adadelta": _dense("tanh", _ADADELTA),
    }
)
EVERY: Mapping[str, Workload] = MappingProxyType({**MODELS, **DENSE})
# Models for the checks of a backend's behaviour: with and without dropout, batch norm and momentum.
BEHAVIOUR = ("softmax", "dropout after flatten", "batch norm, nesterov")
DENSE_BEHAVIOUR = ("softmax", "dense tanh, nesterov")
PLAIN_BEHAVIOUR = ("softmax, sgd", "dense sigmoid, sgd")
# The model for the check of `sync`: the first one that a framework supports.
SYNC = ("mlp-relu", "softmax, sgd")
# Models for native mode, whose input pipelines need images of MNIST's shape.
NATIVE = ("softmax", "mlp-relu")


def _mlp(activation: Activation) -> Workload:
    """A multilayer perceptron so small that the reference trains an epoch in seconds."""
    mlp = replace(find_workload("mlp-relu"), optimizer=_INSIDE_ROOT)
    layers = (
        Flatten(),
        Dense(units=64, activation=activation),
        Dense(units=32, activation=activation),
        Dense(units=10, activation="linear"),
    )
    return replace(mlp, layers=layers)


# Models for an epoch over a whole data set. After so many steps, a model with ReLU can only be
# compared with the reference by its loss.
LONG: Mapping[str, Workload] = MappingProxyType(
    {
        "softmax": find_workload("softmax"),
        "softmax, sgd": DENSE["softmax, sgd"],
        "tanh mlp": _mlp("tanh"),
        "relu mlp": _mlp("relu"),
    }
)

# For the check of what a lower precision keeps in float32: statistics of batch norm, loss, weights.
KEPT = small(
    "linear",
    layers=(_NORMAL, Flatten(), Dense(units=4, activation="linear")),
    optimizer=_SGD,
)

# Two dropouts, on the images and on the vector. The weights of the next layer show the values that
# both kept, see `bench.worker.verification.dropout`.
DROPOUT_EXAMPLES = 100
_TWO_DROPOUTS = (Dropout(rate=0.25), Flatten(), Dropout(rate=0.5))
DROPOUT_PROBE = small(
    "linear",
    layers=(*_TWO_DROPOUTS, Dense(units=4, activation="linear")),
    input=Input(shape=(10, 10, DROPOUT_EXAMPLES), classes=4),
    optimizer=_SGD,
    initializer="zeros",
)
# The same model for a batch of equal images, one per class.
DROPOUT_ALIKE = replace(
    DROPOUT_PROBE,
    input=Input(shape=(10, 10, 1), classes=16),
    layers=(*_TWO_DROPOUTS, Dense(units=16, activation="linear")),
)
