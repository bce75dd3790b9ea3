"""The settings in which frameworks differ, and the workload's value for each.

The file `defaults.py` of each family has its framework's defaults and what its adapters set.
`tests/test_defaults.py` compares each default with what the installed framework does. In matched
mode the adapters replace these defaults; native mode keeps most of them.
"""

from __future__ import annotations

from msgspec import Struct

from specs.model import LEAKY_SLOPE

Value = bool | int | float | str | None


class Setting(Struct, frozen=True):
    """One thing that frameworks do differently.

    Attributes:
        subject: the heading of its group.
        name: its name in tables.
        workload_value: the workload's value, or the value that is the same for all workloads (see
            `specs.model`).
    """

    subject: str
    name: str
    workload_value: str


class Default(Struct, frozen=True):
    """A framework's default for one setting, and what the backend's adapter sets instead.

    Attributes:
        term: a `Setting`'s name.
        value: what the framework does by default; None if it has no such feature.
        ours: what the adapter does, so that the backend does what the workload says.
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


# What adapters do, in words that many rows use. KEPT: the framework's default is what the workload
# says, or has the same result.
KEPT = "default kept"
GIVEN = "passed explicitly"
SET = "set at the start"
WRITTEN = "implemented here"
FORMS = "default kept; the other form is implemented here"
NUMPY = "drawn once in NumPy, the same for all backends"
ORDER = "the order of the bench, the same for all backends"

ON, OFF = True, False
CHOSEN, ASKED = "in the workload", "in the job"

SETTINGS = (
    Setting("weights", "kernel initializer", CHOSEN),
    Setting("weights", "bias initializer", "0"),
    Setting("weights", "normal initializers", "not truncated"),
    Setting("weights", "range of the uniform initializer", "-0.05 to 0.05"),
    Setting("weights", "dense kernel's axes", "(in, out)"),
    Setting("weights", "convolution kernel's axes", "(height, width, in, out)"),
    Setting("layers", "image layout", "channels last"),
    Setting("layers", "flatten's order", "height, width, channel"),
    Setting("layers", "extra row of 'same' padding, stride 2", "after the image"),
    Setting("layers", "partial pooling window", "dropped"),
    Setting("layers", "average pooling over padding", "no pool is padded"),
    Setting("layers", "relu's derivative at 0", "0"),
    Setting("layers", "gradient of max pooling in a tie", "to the first maximum"),
    Setting("layers", "leaky_relu's slope", str(LEAKY_SLOPE)),
    Setting("layers", "meaning of dropout's rate", "fraction dropped"),
    Setting("layers", "dropout's scaling", "of what is kept, by 1 / (1 - rate)"),
    Setting("layers", "batch norm's epsilon", CHOSEN),
    Setting("layers", "batch norm's momentum", CHOSEN),
    Setting("layers", "meaning of batch norm's momentum", "fraction kept"),
    Setting("layers", "batch norm's running variance", "biased (n)"),
    Setting("loss", "cross-entropy takes", "logits"),
    Setting("loss", "loss of a batch", "mean over its examples"),
    Setting("loss", "loss of an epoch", "mean over its examples"),
    Setting("optimizers", "sgd's learning rate", CHOSEN),
    Setting("optimizers", "sgd's momentum", CHOSEN),
    Setting("optimizers", "sgd's nesterov", CHOSEN),
    Setting("optimizers", "sgd's velocity", "holds the learning rate"),
    Setting("optimizers", "rmsprop's learning rate", CHOSEN),
    Setting("optimizers", "rmsprop's rho", CHOSEN),
    Setting("optimizers", "rmsprop's epsilon", CHOSEN),
    Setting("optimizers", "rmsprop's epsilon defaults", "inside or outside the root, see workload"),
    Setting("optimizers", "adagrad's learning rate", CHOSEN),
    Setting("optimizers", "adagrad's first accumulator", CHOSEN),
    Setting("optimizers", "adagrad's epsilon", CHOSEN),
    Setting("optimizers", "adagrad's epsilon defaults", "inside or outside the root, see workload"),
    Setting("optimizers", "adam's learning rate", CHOSEN),
    Setting("optimizers", "adam's epsilon", CHOSEN),
    Setting(
        "optimizers",
        "position of adam's epsilon",
        "before or after the correction, see workload",
    ),
    Setting("optimizers", "adam's weight decay", "none; adamw's is separate from the gradient"),
    Setting("optimizers", "adamw's weight decay", CHOSEN),
    Setting("optimizers", "adadelta's learning rate", CHOSEN),
    Setting("optimizers", "adadelta's rho", CHOSEN),
    Setting("optimizers", "adadelta's epsilon", CHOSEN),
    Setting("data", "batch size", CHOSEN),
    Setting("data", "shuffling", "a fresh permutation per epoch, from the seed"),
    Setting("data", "last partial batch", CHOSEN),
    Setting("device", "dtype", "float32"),
    Setting("device", "TF32 in matrix products", ASKED),
    Setting("device", "TF32 in convolutions", ASKED),
    Setting("device", "compiler", "the backend's name says"),
    Setting("device", "determinism", ASKED),
    Setting("device", "autotuning of GPU kernels", "on, unless deterministic"),
    Setting("device", "GPU memory is taken", "as needed"),
    Setting("device", "CPU threads", ASKED),
)

OPTIMIZERS = tuple(setting.name for setting in SETTINGS if setting.subject == "optimizers")
