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

ON, OFF = True, False
IN_WORKLOAD = "set by each workload"

SETTINGS = (
    Setting("weights", "kernel initializer", IN_WORKLOAD),
    Setting("weights", "bias initializer", "0"),
    Setting("weights", "normal initializers", "not truncated"),
    Setting("weights", "range of the uniform initializer", "-0.05 to 0.05"),
    Setting("weights", "dense kernel's axes", "(in, out)"),
    Setting("weights", "convolution kernel's axes", "(height, width, in, out)"),
    Setting("layers", "image layout", "channels last"),
    Setting("layers", "flatten's order", "height, width, channel"),
    Setting("layers", "extra row of 'same' padding, stride 2", "after the image"),
    Setting("layers", "partial pooling window", "dropped"),
    Setting("layers", "average pooling over padding", "pools have no padding"),
    Setting("layers", "relu's derivative at 0", "0"),
    Setting("layers", "gradient of max pooling in a tie", "to the first maximum"),
    Setting("layers", "leaky_relu's slope", str(LEAKY_SLOPE)),
    Setting("layers", "meaning of dropout's rate", "fraction dropped"),
    Setting("layers", "dropout's scaling", "kept values times 1 / (1 - rate)"),
    Setting("layers", "batch norm's epsilon", IN_WORKLOAD),
    Setting("layers", "batch norm's momentum", IN_WORKLOAD),
    Setting("layers", "meaning of batch norm's momentum", "weight of the old value"),
    Setting("layers", "batch norm's running variance", "biased (n)"),
    Setting("loss", "cross-entropy takes", "logits"),
    Setting("loss", "loss of a batch", "mean over its examples"),
    Setting("loss", "loss of an epoch", "mean over its examples"),
    Setting("optimizers", "sgd's learning rate", IN_WORKLOAD),
    Setting("optimizers", "sgd's momentum", IN_WORKLOAD),
    Setting("optimizers", "sgd's nesterov", IN_WORKLOAD),
    Setting("optimizers", "sgd's velocity", "includes the learning rate"),
    Setting("optimizers", "rmsprop's learning rate", IN_WORKLOAD),
    Setting("optimizers", "rmsprop's rho", IN_WORKLOAD),
    Setting("optimizers", "rmsprop's epsilon", IN_WORKLOAD),
    Setting(
        "optimizers",
        "position of rmsprop's epsilon",
        "set by each workload: inside or outside the root",
    ),
    Setting("optimizers", "adagrad's learning rate", IN_WORKLOAD),
    Setting("optimizers", "adagrad's first accumulator", IN_WORKLOAD),
    Setting("optimizers", "adagrad's epsilon", IN_WORKLOAD),
    Setting(
        "optimizers",
        "position of adagrad's epsilon",
        "set by each workload: inside or outside the root",
    ),
    Setting("optimizers", "adam's learning rate", IN_WORKLOAD),
    Setting("optimizers", "adam's epsilon", IN_WORKLOAD),
    Setting(
        "optimizers",
        "position of adam's epsilon",
        "set by each workload: before or after the correction",
    ),
    Setting("optimizers", "adam's weight decay", "none; adamw's is separate from the gradient"),
    Setting("optimizers", "adamw's weight decay", IN_WORKLOAD),
    Setting("optimizers", "adadelta's learning rate", IN_WORKLOAD),
    Setting("optimizers", "adadelta's rho", IN_WORKLOAD),
    Setting("optimizers", "adadelta's epsilon", IN_WORKLOAD),
    Setting("data", "batch size", IN_WORKLOAD),
    Setting("data", "shuffling", "a fresh permutation per epoch, from the seed"),
    Setting("data", "last partial batch", IN_WORKLOAD),
    Setting("device", "dtype", "float32"),
    Setting("device", "TF32 in matrix products", "off"),
    Setting("device", "TF32 in convolutions", "off"),
    Setting("device", "compiler", "see the backend's name"),
    Setting("device", "determinism", "off"),
    Setting("device", "autotuning of GPU kernels", "on"),
    Setting("device", "GPU memory allocation", "as needed"),
    Setting("device", "CPU threads", "the number in --threads"),
)

OPTIMIZERS = tuple(setting.name for setting in SETTINGS if setting.subject == "optimizers")
