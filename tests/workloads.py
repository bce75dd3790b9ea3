"""Small workloads that put into the proof what the packaged ones leave out."""

from __future__ import annotations

from msgspec.structs import replace

from specs.loading import find_workload
from specs.model import Conv2d, Dense, Dropout, Flatten, Input, MaxPool2d, RmsProp, Sgd, Workload


def small_workload(activation: str, **changes) -> Workload:
    """Every layer type once, on 7x6 images of two channels, so that no two sizes are equal."""
    layers = (
        Conv2d(filters=3, kernel_size=(2, 3), activation=activation),
        MaxPool2d(pool_size=(2, 3)),
        Dropout(rate=0.25),
        Flatten(),
        Dense(units=5, activation=activation),
        Dense(units=4, activation="linear"),
    )
    return replace(find_workload("cnn"), input=Input(shape=(7, 6, 2), classes=4), layers=layers, **changes)


_AFTER_FLATTEN = (
    Conv2d(filters=3, kernel_size=(2, 3), activation="tanh"),
    Flatten(),
    Dropout(rate=0.5),
    Dense(units=4, activation="linear"),
)
# With 1e-7 outside the root a first step is the sign of its gradient, however small: rounding would decide it.
_OUTSIDE_ROOT = RmsProp(learning_rate=1e-3, rho=0.9, epsilon=1e-3, epsilon_form="outside_root")

PROVEN = {
    "softmax": find_workload("softmax"),
    "mlp-relu": find_workload("mlp-relu"),
    "cnn": find_workload("cnn"),
    "tanh, sgd": small_workload("tanh", optimizer=Sgd(learning_rate=0.01, momentum=0.0)),
    "linear, sgd with momentum": small_workload("linear", optimizer=Sgd(learning_rate=0.01, momentum=0.9)),
    "sigmoid, rmsprop outside": small_workload("sigmoid", optimizer=_OUTSIDE_ROOT),
    "dropout after flatten": replace(small_workload("tanh"), layers=_AFTER_FLATTEN),
}
