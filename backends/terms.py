"""The terms on which frameworks disagree: what the language says of each, and where every backend stands.

The data stand beside the adapters, in `*_terms.py`, each default with the question that the installed framework answers
(`tests/test_terms.py` puts it). What is enforced is so in matched mode; native mode keeps most defaults. Imports no
framework.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from backends.registry import BACKENDS
from specs.model import LEAKY_SLOPE

Value = bool | int | float | str | None


class Term(Struct, frozen=True):
    """One thing that frameworks do differently.

    Attributes:
        subject: heading under which it stands.
        name: the word for it.
        spec: what a workload says, or what the language fixes (see `specs.model`).
    """

    subject: str
    name: str
    spec: str


class Stand(Struct, frozen=True):
    """Where one backend stands on one term; a row of a table, hence positional.

    Attributes:
        term: a `Term`'s name.
        default: what the framework does unless told; None where it has nothing of the kind.
        enforced: what the adapter does about it.
        ask: a Python expression that yields the default in the framework's environment, after `BackendTerms.asking`.
        unasked: why there is none.
    """

    term: str
    default: Value
    enforced: str
    ask: str | None = None
    unasked: str = ""

    @property
    def text(self) -> str:
        """The default as a reader sees it."""
        if self.default is None:
            return "none of its own"
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)


class BackendTerms(Struct, frozen=True, kw_only=True):
    """A backend's stands, in the order of `TERMS`, and the Python code that must run once before their questions."""

    asking: str
    stands: tuple[Stand, ...]


def terms_of(backend: str) -> BackendTerms:
    """Where a backend of the registry stands; Keras's are its own and those of the engine under it.

    A tuned variant stands where its plain backend does, but for the compiler, which the registry knows.

    Raises:
        KeyError: the backend has no framework (as the reference), or a stand is on no term of the list.
    """
    # They name their rows by this module's classes.
    from backends import jax_terms, keras_terms, pytorch_terms, tensorflow_terms

    families = (jax_terms, keras_terms, pytorch_terms, tensorflow_terms)
    known = {name: terms for family in families for name, terms in family.BACKENDS.items()}
    variant = BACKENDS[backend]
    found = known[variant.variant_of or backend]
    places = {term.name: place for place, term in enumerate(TERMS)}
    ordered = sorted(found.stands, key=lambda stand: places[stand.term])
    if variant.variant_of:
        tuned = f"{'on' if variant.compiled else 'off'}; {variant.changes}"
        ordered = [replace(stand, enforced=tuned) if stand.term == "compiler" else stand for stand in ordered]
    return BackendTerms(asking=ASKING + found.asking, stands=tuple(ordered))


# What adapters do, in words that return; the first, where the framework's way is the spec's or leads to the same.
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

# What every family's questions use: an argument's default, and a word for what a small experiment found.
ASKING = """
import inspect
import numpy as np

def given(function, name):
    argument = inspect.signature(function).parameters.get(name)  # None: there is no such argument
    return argument and ("must be given" if argument.default is argument.empty else argument.default)

def named(module, word):
    found = [name for name in dir(module) if word in name.lower() and not name.startswith("_")]
    return found or None  # None: it has nothing of that name

def word(words, found):
    key = tuple(np.round(np.ravel(np.asarray(found, float)), 3).tolist())
    return words.get(key if len(key) > 1 else key[0], f"found {key}")

def axes(shape):
    return "(" + ", ".join({2: "height", 3: "width", 4: "in", 5: "out"}[size] for size in shape) + ")"

def cut(draws):
    beyond = np.mean(np.abs(draws) > 2.5 * np.std(draws))  # 1.2 % of a normal; Keras on PyTorch lets 4e-6 pass
    return "truncated" if beyond < 1e-4 else "not truncated"

def share(outcome):
    return word({0.2: "share dropped", 0.8: "share kept"}, round(float(np.mean(np.asarray(outcome) == 0)), 1))

def reduced(two, one):  # the loss of an example given twice, and once
    words = {1.0: "mean over its examples", 2.0: "sum over its examples"}
    return "one loss per example" if np.size(two) == 2 else word(words, two / one)

ODD = {1.0: "after the image", 0.0: "before the image"}  # the first of 1 .. 6 under a window of 3 that takes its first
REST = {2.0: "dropped", 3.0: "a pool of its own"}  # how many pools of 2 lie in 5
PADDED = {1.0: "counts no zeros", 0.25: "counts the zeros"}  # a pool of 2 x 2 over one pixel of 1
TIES = {(1.0, 0.0, 0.0, 0.0): "to the first maximum", (1.0, 1.0, 1.0, 1.0): "to every maximum"}
SCALED = {1.25: "of what is kept, by 1 / (1 - rate)", 1.0: "none"}  # at a rate of 0.2
AVERAGED = {0.25: "share kept", 0.75: "share taken anew"}  # the running mean of 0, then 1, with momentum 0.75
VARIANCE = {1.0: "biased (n)", 2.0: "unbiased (n - 1)"}  # of 0 and 2
TAKES = {0.288: "probabilities", 0.474: "logits"}  # the loss of (0.25, 0.75) where the second is right
# One step with learning rate 1, gradient and epsilon 1e-3 and no memory; for adam, both betas 0.5.
PLACES = {0.5: "outside the root", 0.032: "inside the root"}
FORMS = {0.5: "after the correction", 0.414: "before the correction"}
DECAYED = {0.05: "apart from the gradient", 0.5: "added to the gradient"}  # rate 0.5, decay 0.1, weight 1, gradient 0
# The second step with momentum 0.5: gradient 1 at rate 1, then gradient 0 at rate 0.1.
COASTED = {0.5: "holds the learning rate", 0.05: "holds no learning rate"}
"""
