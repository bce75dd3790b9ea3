"""The terms: what frameworks do differently, and what a workload says about each.

The file `terms.py` of each family has its framework's defaults and what its adapters set.
`tests/test_terms.py` compares each default with what the installed framework does. The adapters set
them in matched mode; native mode keeps most defaults. This module imports no framework.
"""

from __future__ import annotations

from msgspec import Struct

from specs.model import LEAKY_SLOPE

Value = bool | int | float | str | None


class Term(Struct, frozen=True):
    """One thing that frameworks do differently.

    Attributes:
        subject: the heading of its group.
        name: its name in tables.
        spec: the workload's value, or the value that is the same for all workloads (see
            `specs.model`).
    """

    subject: str
    name: str
    spec: str


class Stand(Struct, frozen=True):
    """The default of one backend for one term, and what its adapter sets; a row of a table.

    Attributes:
        term: a `Term`'s name.
        default: what the framework does by default; None where it has no such feature.
        enforced: what the adapter does, so that the backend does what the workload says.
    """

    term: str
    default: Value
    enforced: str

    @property
    def text(self) -> str:
        """The default as text for tables."""
        if self.default is None:
            return "none of its own"
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)


# What adapters do, in words that many rows use. KEPT: the framework's default is what the workload
# says, or has the same result.
KEPT = "left as it is"
GIVEN = "given in the call"
SET = "set at the start"
WRITTEN = "written out"
FORMS = "left as it is; the other form is written out"
NUMPY = "drawn once in NumPy, for all backends"
ORDER = "the bench's order, for all backends"

ON, OFF = True, False
CHOSEN, ASKED = "the workload says", "the job says"

TERMS = (
    Term("weights", "kernel initializer", CHOSEN),
    Term("weights", "bias initializer", "0"),
    Term("weights", "normal initializers", "not truncated"),
    Term("weights", "range of the uniform initializer", "-0.05 to 0.05"),
    Term("weights", "dense kernel's axes", "(in, out)"),
    Term("weights", "convolution kernel's axes", "(height, width, in, out)"),
    Term("layers", "image layout", "channels last"),
    Term("layers", "flatten's order", "height, width, channel"),
    Term("layers", "odd zero of padding same, stride 2", "after the image"),
    Term("layers", "rest that fills no pool", "dropped"),
    Term("layers", "average pool over padding", "no pool is padded"),
    Term("layers", "relu's derivative at 0", "0"),
    Term("layers", "max pool's gradient in a tie", "to the first maximum"),
    Term("layers", "leaky_relu's slope", str(LEAKY_SLOPE)),
    Term("layers", "dropout's number", "share dropped"),
    Term("layers", "dropout's scaling", "of what is kept, by 1 / (1 - rate)"),
    Term("layers", "batch norm's epsilon", CHOSEN),
    Term("layers", "batch norm's momentum", CHOSEN),
    Term("layers", "batch norm's momentum is", "share kept"),
    Term("layers", "batch norm's running variance", "biased (n)"),
    Term("loss", "cross-entropy takes", "logits"),
    Term("loss", "loss of a batch", "mean over its examples"),
    Term("loss", "loss of an epoch", "mean over its examples"),
    Term("optimizers", "sgd's learning rate", CHOSEN),
    Term("optimizers", "sgd's momentum", CHOSEN),
    Term("optimizers", "sgd's nesterov", CHOSEN),
    Term("optimizers", "sgd's velocity", "holds the learning rate"),
    Term("optimizers", "rmsprop's learning rate", CHOSEN),
    Term("optimizers", "rmsprop's rho", CHOSEN),
    Term("optimizers", "rmsprop's epsilon", CHOSEN),
    Term("optimizers", "rmsprop's epsilon stands", "inside or outside the root: the workload says"),
    Term("optimizers", "adagrad's learning rate", CHOSEN),
    Term("optimizers", "adagrad's first accumulator", CHOSEN),
    Term("optimizers", "adagrad's epsilon", CHOSEN),
    Term("optimizers", "adagrad's epsilon stands", "inside or outside the root: the workload says"),
    Term("optimizers", "adam's learning rate", CHOSEN),
    Term("optimizers", "adam's epsilon", CHOSEN),
    Term("optimizers", "adam's epsilon comes", "before or after the correction: the workload says"),
    Term("optimizers", "adam's weight decay", "none; adamw's is apart from the gradient"),
    Term("optimizers", "adamw's weight decay", CHOSEN),
    Term("optimizers", "adadelta's learning rate", CHOSEN),
    Term("optimizers", "adadelta's rho", CHOSEN),
    Term("optimizers", "adadelta's epsilon", CHOSEN),
    Term("data", "batch size", CHOSEN),
    Term("data", "shuffling", "a fresh permutation per epoch, from the seed"),
    Term("data", "last partial batch", CHOSEN),
    Term("device", "dtype", "float32"),
    Term("device", "TF32 in matrix products", ASKED),
    Term("device", "TF32 in convolutions", ASKED),
    Term("device", "compiler", "the backend's name says"),
    Term("device", "determinism", ASKED),
    Term("device", "autotuning of GPU kernels", "on, unless deterministic"),
    Term("device", "GPU memory is taken", "as needed"),
    Term("device", "CPU threads", ASKED),
)

OPTIMIZERS = tuple(term.name for term in TERMS if term.subject == "optimizers")
