"""Small workloads that put into the proof what the packaged ones leave out."""

from __future__ import annotations

from msgspec.structs import replace

from specs.loading import find_workload
from specs.model import (
    Adagrad,
    Adam,
    AdamW,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPool2d,
    RmsProp,
    Sgd,
    Workload,
)


def convolution(filters: int, kernel_size: tuple[int, int], activation: str, **changes) -> Conv2d:
    usual = {"strides": (1, 1), "padding": "valid"}
    return Conv2d(filters=filters, kernel_size=kernel_size, activation=activation, **{**usual, **changes})


def small_workload(activation: str, *, initializer: str = "glorot_uniform", **changes) -> Workload:
    """A convolution, a pool, dropout and dense layers on 7x6 images of two channels, so that no two sizes are equal."""
    layers = (
        convolution(3, (2, 3), activation),
        MaxPool2d(pool_size=(2, 3)),
        Dropout(rate=0.25),
        Flatten(),
        Dense(units=5, activation=activation),
        Dense(units=4, activation="linear"),
    )
    cnn = find_workload("cnn")
    recipe = replace(cnn.recipe, initializer=initializer)
    return replace(cnn, **{"input": Input(shape=(7, 6, 2), classes=4), "layers": layers, "recipe": recipe, **changes})


# Batch norm on an image with a stride, on a vector, and a "same" whose odd zero stands at the end of one axis only.
_NORMAL = BatchNorm(momentum=0.9, epsilon=1e-3)
_NORMALISED = (
    convolution(3, (3, 2), "linear", strides=(2, 1), padding="same"),
    _NORMAL,
    AvgPool2d(pool_size=(2, 2)),
    Flatten(),
    Dense(units=5, activation="tanh"),
    _NORMAL,
    Dense(units=4, activation="linear"),
)
_STRIDED = (
    convolution(4, (3, 3), "elu", strides=(2, 2), padding="same"),
    convolution(3, (2, 2), "softplus", strides=(1, 2)),
    AvgPool2d(pool_size=(3, 1)),
    Flatten(),
    Dense(units=5, activation="leaky_relu"),
    Dense(units=4, activation="linear"),
)
_AFTER_FLATTEN = (
    convolution(3, (2, 3), "tanh"),
    Flatten(),
    Dropout(rate=0.5),
    Dense(units=4, activation="linear"),
)
# With 1e-7 outside the root a first step is the sign of its gradient, however small: rounding would decide it.
_OUTSIDE_ROOT = RmsProp(learning_rate=1e-3, rho=0.9, epsilon=1e-3, epsilon_form="outside_root")
_ADAM = Adam(learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-3, epsilon_form="after_correction")
_ADAMW = AdamW(
    learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-3, epsilon_form="before_correction", weight_decay=0.1
)
_ADAGRAD = Adagrad(learning_rate=1e-3, initial_accumulator=0.1, epsilon=1e-3, epsilon_form="inside_root")

# Together: every layer, activation, loss, initializer, optimizer and form of epsilon.
PROVEN = {
    "softmax": find_workload("softmax"),
    "mlp-relu": find_workload("mlp-relu"),
    "cnn": find_workload("cnn"),
    "tanh, sgd": small_workload(
        "tanh", optimizer=Sgd(learning_rate=0.01, momentum=0.0, nesterov=False), initializer="he_normal"
    ),
    "linear, sgd with momentum": small_workload(
        "linear", optimizer=Sgd(learning_rate=0.01, momentum=0.9, nesterov=False), initializer="lecun_normal"
    ),
    "sigmoid, rmsprop outside": small_workload("sigmoid", optimizer=_OUTSIDE_ROOT),
    "dropout after flatten": replace(small_workload("tanh"), layers=_AFTER_FLATTEN),
    "batch norm, nesterov": small_workload(
        "tanh", layers=_NORMALISED, optimizer=Sgd(learning_rate=0.01, momentum=0.9, nesterov=True)
    ),
    "strides, same, adam after": small_workload("relu", layers=_STRIDED, optimizer=_ADAM, initializer="he_uniform"),
    "adam before": small_workload("tanh", optimizer=replace(_ADAM, epsilon_form="before_correction")),
    "adamw before": small_workload("elu", optimizer=_ADAMW, initializer="glorot_normal"),
    # Not with batch norm: a bias before it has no gradient but rounding, which AdamW makes into steps.
    "adamw after": small_workload("leaky_relu", optimizer=replace(_ADAMW, epsilon_form="after_correction")),
    "quadratic, adagrad inside": small_workload("softplus", loss="mean_squared_error", optimizer=_ADAGRAD),
    "adagrad outside, zeros": small_workload(
        "linear",
        layers=(Flatten(), Dense(units=4, activation="linear")),
        optimizer=replace(_ADAGRAD, epsilon_form="outside_root"),
        initializer="zeros",
    ),
    "batch norm after flatten": small_workload(
        "tanh",
        layers=(
            convolution(3, (2, 3), "tanh"),
            Flatten(),
            _NORMAL,
            Dropout(rate=0.5),
            Dense(units=4, activation="linear"),
        ),
        optimizer=Sgd(learning_rate=0.01, momentum=0.0, nesterov=False),
        initializer="uniform",
    ),
}
