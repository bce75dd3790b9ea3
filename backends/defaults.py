"""The settings in which frameworks differ, and the workload's value for each.

The file `defaults.py` of each family lists its framework's defaults and the values that its
adapters set. `tests/test_defaults.py` compares each default with the installed framework. In
matched mode the adapters set the workload's values; native mode keeps most defaults.
"""

from __future__ import annotations

from msgspec import Struct

from specs.model import LEAKY_SLOPE

Value = bool | int | float | str | None


class Setting(Struct, frozen=True):
    """A setting in which frameworks differ.

    Attributes:
        subject: the heading under which it appears in tables.
        name: its name in tables.
        workload_value: the workload's value, or the value that is the same for all workloads (see
            `specs.model`).
    """

    subject: str
    name: str
    workload_value: str


class Default(Struct, frozen=True):
    """A framework's default for one setting, and how the adapter gets the workload's value.

    Attributes:
        setting: the name of a `Setting`.
        value: the framework's default; None if the framework has no such feature.
        ours: how the adapter gets the workload's value.
    """

    setting: str
    value: Value
    ours: str

    @property
    def text(self) -> str:
        """The default as text for tables."""
        if self.value is None:
            return "no built-in"
        if isinstance(self.value, bool):
            return "on" if self.value else "off"
        return f"{self.value:g}" if isinstance(self.value, float) else str(self.value)


# Texts for `Default.ours` that many rows use. KEPT: the framework's default is the workload's
# value, or has the same result.
KEPT = "default kept"
PASSED = "passed explicitly"
SET = "set before training"
IMPLEMENTED = "implemented here"
OTHER_FORM = "default kept; the other form is implemented here"
NUMPY = "drawn once in NumPy, the same for all backends"
ORDER = "order of the bench, the same for all backends"
TRANSPOSED = "default kept; weights are transposed when read and written"

ON, OFF = True, False
IN_WORKLOAD = "set by each workload"

# Subject -> name -> the workload's value.
_VALUES = {
    "weights": {
        "kernel initializer": IN_WORKLOAD,
        "bias initializer": "0",
        "normal initializers": "not truncated",
        "range of the uniform initializer": "-0.05 to 0.05",
        "dense kernel's axes": "(in, out)",
        "convolution kernel's axes": "(height, width, in, out)",
    },
    "layers": {
        "image layout": "channels last",
        "flatten's order": "height, width, channel",
        "extra row of 'same' padding, stride 2": "after the image",
        "partial pooling window": "dropped",
        "average pooling over padding": "pools have no padding",
        "relu's derivative at 0": "0",
        "gradient of max pooling in a tie": "to the first maximum",
        "leaky_relu's slope": str(LEAKY_SLOPE),
        "meaning of dropout's rate": "fraction dropped",
        "dropout's scaling": "kept values times 1 / (1 - rate)",
        "batch norm's epsilon": IN_WORKLOAD,
        "batch norm's momentum": IN_WORKLOAD,
        "meaning of batch norm's momentum": "weight of the old value",
        "batch norm's running variance": "biased (n)",
    },
    "loss": {
        "cross-entropy takes": "logits",
        "loss of a batch": "mean over its examples",
        "loss of an epoch": "mean over its examples",
    },
    "optimizers": {
        "sgd's learning rate": IN_WORKLOAD,
        "sgd's momentum": IN_WORKLOAD,
        "sgd's nesterov": IN_WORKLOAD,
        "sgd's velocity": "includes the learning rate",
        "rmsprop's learning rate": IN_WORKLOAD,
        "rmsprop's rho": IN_WORKLOAD,
        "rmsprop's epsilon": IN_WORKLOAD,
        "position of rmsprop's epsilon": "set by each workload: inside or outside the root",
        "adagrad's learning rate": IN_WORKLOAD,
        "adagrad's first accumulator": IN_WORKLOAD,
        "adagrad's epsilon": IN_WORKLOAD,
        "position of adagrad's epsilon": "set by each workload: inside or outside the root",
        "adam's learning rate": IN_WORKLOAD,
        "adam's epsilon": IN_WORKLOAD,
        "position of adam's epsilon": "set by each workload: before or after the correction",
        "adam's weight decay": "none; adamw's is separate from the gradient",
        "adamw's weight decay": IN_WORKLOAD,
        "adadelta's learning rate": IN_WORKLOAD,
        "adadelta's rho": IN_WORKLOAD,
        "adadelta's epsilon": IN_WORKLOAD,
    },
    "data": {
        "batch size": IN_WORKLOAD,
        "shuffling": "a fresh permutation per epoch, from the seed",
        "last partial batch": IN_WORKLOAD,
    },
    "device": {
        "dtype": "float32",
        "TF32 in matrix products": "off",
        "TF32 in convolutions": "off",
        "compiler": "see the backend's name",
        "determinism": "off",
        "autotuning of GPU kernels": "on",
        "GPU memory allocation": "as needed",
        "CPU threads": "the number in --threads",
    },
}
SETTINGS = tuple(
    Setting(subject, name, value)
    for subject, values in _VALUES.items()
    for name, value in values.items()
)

OPTIMIZERS = tuple(setting.name for setting in SETTINGS if setting.subject == "optimizers")

# Rows that several families have in common: what is as in the workload, and the layout of images.
LAYERS_KEPT = (
    Default("relu's derivative at 0", 0.0, KEPT),
    Default("gradient of max pooling in a tie", "to the first maximum", KEPT),
    Default("meaning of dropout's rate", "fraction dropped", KEPT),
    Default("dropout's scaling", "kept values times 1 / (1 - rate)", KEPT),
)
CHANNELS_FIRST = (
    Default("convolution kernel's axes", "(out, in, height, width)", TRANSPOSED),
    Default(
        "image layout", "channels first", "default kept; images are transposed once, when loaded"
    ),
    Default(
        "flatten's order",
        "channel, height, width",
        "default kept; the next weights are permuted to match",
    ),
)


def without_gpu(reason: str) -> tuple[Default, ...]:
    """The rows on GPUs of a framework that has none here, for this reason."""
    names = ("TF32 in matrix products", "TF32 in convolutions", "autotuning of GPU kernels")
    return tuple(Default(name, None, reason) for name in (*names, "GPU memory allocation"))
