"""What gates of other projects would notice: `python -m tests.support.other_gates FOLDER`.

Every deliberately wrong backend is trained on MNIST, and each gate compares it with the correct
one. A gate notices a mutant if it fails although the correct backend passes it. FOLDER holds
MNIST's arrays, see `bench.data.cache.materialise`. The tables, in Markdown, are printed; a line per
mutant goes to stderr. It takes an hour on one CPU core.

Each mutant has the model on which the bench's checks find it, changed so that the gates have a fair
chance: `fair` makes it a model that learns MNIST. The models are trained as a user does, on all
images and with the backend's own dropout.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from backends.contract import Weights
from backends.reference.oracle import Reference
from bench.worker.examples import read_part
from bench.worker.grading import grade
from bench.worker.verification.models import LONG
from bench.worker.verification.models import MODELS as SMALL
from specs.initial import dropout_masks, epoch_order, initial_weights
from specs.model import Adam, Conv2d, Dense, Dropout, Input, Workload
from tests.support.jobs import make_job
from tests.support.mutants import MUTANTS
from tests.support.timed import MODELS
from tests.support.timed_mutants import TIMED_MUTANTS

_BATCH = 64
# An epoch of a model with convolutions takes as long as five of one without.
_EPOCHS, _EPOCHS_OF_DENSE = 3, 10
# Of Keras's test: 100 images in batches of 32, and Keras's Adam.
_FEW, _FEW_BATCH = 100, 32
_ADAM = Adam(
    learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7, epsilon_form="before_correction"
)
# With these the small models learn MNIST, those without convolutions to more than 97.3 %. With
# their own some hardly begin to.
_HIDDEN_UNITS = 128
_LEARNING_RATES = {
    "strides, same, adam after": 0.005,
    "batch norm, nesterov": 0.05,
    "quadratic, adagrad inside": 0.1,
    "adamw after": 0.005,
}
# Softmax regression cannot reach 97.3 %. The mutants that are found on it are wrong on any model.
_INSTEAD = {"softmax": "flips"}

Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Outcome(NamedTuple):
    """What a backend's training gives.

    Attributes:
        accuracy: on the test images after the last epoch (0..1).
        loss: the training loss of an epoch of four steps of Adam; nan if the mutant changes a
            constant that Adam does not have.
        weights: after these steps; empty if there are none.
        logits: of the same images after these steps.
    """

    accuracy: float
    loss: float
    weights: Weights
    logits: np.ndarray


class Gate(NamedTuple):
    """A gate: its name, and whether a backend passes it, given the outcome of a correct one."""

    name: str
    passes: Callable[[Outcome, Outcome], bool]


class Trial(NamedTuple):
    """What was tried of a mutant.

    Attributes:
        outcome: None if its training ended with an error.
        noticed: for each gate whether it notices the mutant; None if it cannot: the correct
            backend does not pass it either, or Adam cannot train the mutant.
        same: whether the outcome is that of the correct backend, to the last bit.
    """

    mutant: str
    model: str
    outcome: Outcome | None
    noticed: tuple[bool | None, ...]
    same: bool


def _close(mine: Outcome, right: Outcome) -> bool:
    """Whether loss, weights and logits are within 1e-3, as `assert_allclose(atol=1e-3)` has it."""
    if mine.weights.keys() != right.weights.keys():
        return False
    pairs = [(mine.weights[name], right.weights[name]) for name in right.weights]
    pairs += [(mine.logits, right.logits), (np.array(mine.loss), np.array(right.loss))]
    return all(a.shape == b.shape and np.allclose(a, b, rtol=1e-7, atol=1e-3) for a, b in pairs)


GATES = (
    Gate("Keras: loss, weights and predictions within 1e-3 after 4 steps of Adam", _close),
    Gate(
        "StructCast-Model: accuracies within 1 point",
        lambda mine, right: abs(mine.accuracy - right.accuracy) <= 0.01,
    ),
    Gate("EESSI: accuracy above 0.2", lambda mine, right: mine.accuracy > 0.2),
    Gate("tinygrad: 97.3 % on MNIST", lambda mine, right: mine.accuracy >= 0.973),
)


def fair(name: str) -> Workload:
    """A model of the tests as one that learns MNIST; `name` as in `mutants_and_models`."""
    workload = MODELS.get(name) or {**SMALL, **LONG}[name]
    *hidden, last = workload.layers
    wider = (
        replace(layer, units=max(layer.units, _HIDDEN_UNITS)) if isinstance(layer, Dense) else layer
        for layer in hidden
    )
    rate = _LEARNING_RATES.get(name, workload.optimizer.learning_rate)
    return replace(
        workload,
        input=Input(shape=(28, 28, 1), classes=10),
        layers=(*wider, replace(last, units=10)),
        optimizer=replace(workload.optimizer, learning_rate=rate),
    )


def mutants_and_models() -> Iterator[tuple[type[Reference], str]]:
    """Every mutant once, with the name of its model."""
    models = {**MUTANTS, **TIMED_MUTANTS}
    yield from ((mutant, _INSTEAD.get(model, model)) for mutant, model in models.items())


def trained(kind: type[Reference], workload: Workload, data: Data) -> Outcome:
    """Train a backend as a user does, and as Keras's test does."""
    images, labels, test_images, test_labels = data
    backend = _made(kind, workload, _BATCH)
    backend.load(images.copy(), labels.copy())
    for epoch in range(_epochs(workload)):
        backend.train_epoch(epoch_order(workload, 0, epoch, len(labels), _BATCH))
        logits = backend.predict(test_images)
    accuracy = grade(logits, test_labels, workload.loss)[1]
    return Outcome(accuracy, *_after_adam(kind, workload, images[:_FEW], labels[:_FEW]))


def _after_adam(
    kind: type[Reference], workload: Workload, images: np.ndarray, labels: np.ndarray
) -> tuple[float, Weights, np.ndarray]:
    """Loss, weights and logits after four steps of Adam.

    Frameworks draw different dropout masks, so such a comparison is possible with given ones only.
    """
    by_adam = replace(workload, optimizer=_ADAM)
    masks = None
    if any(isinstance(layer, Dropout) for layer in workload.layers):
        masks = dropout_masks(by_adam, 0, 0, len(labels))
    try:
        backend = _made(kind, by_adam, _FEW_BATCH)
        backend.load(images.copy(), labels.copy())
        loss = backend.train_epoch(np.arange(len(labels)), masks)
    except AttributeError:
        return np.nan, {}, np.zeros(0)
    return loss, dict(backend.get_weights()), backend.predict(images)


def _epochs(workload: Workload) -> int:
    dense = not any(isinstance(layer, Conv2d) for layer in workload.layers)
    return _EPOCHS_OF_DENSE if dense else _EPOCHS


def _made(kind: type[Reference], workload: Workload, batch_size: int) -> Reference:
    job = replace(make_job(workload, batch_size=batch_size), threads=2, epochs=_epochs(workload))
    backend = kind(job)
    backend.set_weights(initial_weights(workload, 0))
    return backend


def attempt(mutant: type[Reference], model: str, right: Outcome, data: Data) -> Trial:
    """Train a mutant, and ask every gate."""
    try:
        outcome = trained(mutant, fair(model), data)
    except (ValueError, KeyError, IndexError) as error:
        print(f"{mutant.__name__}: {type(error).__name__}: {error}", file=sys.stderr)
        outcome = None
    noticed = tuple(_notices(gate, outcome, right) for gate in GATES)
    return Trial(
        mutant.__name__, model, outcome, noticed, outcome is not None and _same(outcome, right)
    )


def _notices(gate: Gate, outcome: Outcome | None, right: Outcome) -> bool | None:
    by_adam = gate.passes is _close
    if not gate.passes(right, right) or (by_adam and outcome and np.isnan(outcome.loss)):
        return None
    return outcome is None or not gate.passes(outcome, right)


def _same(mine: Outcome, right: Outcome) -> bool:
    weights = mine.weights.keys() == right.weights.keys() and all(
        np.array_equal(mine.weights[name], right.weights[name]) for name in right.weights
    )
    figures = (mine.accuracy, mine.loss) == (right.accuracy, right.loss)
    return figures and weights and np.array_equal(mine.logits, right.logits)


def summary(trials: Sequence[Trial]) -> Iterator[str]:
    """The table of the gates, in Markdown."""
    yield from (
        "| gate | mutants noticed | of those that it could notice |",
        "| --- | ---: | ---: |",
    )
    for number, gate in enumerate(GATES):
        found = [trial.noticed[number] for trial in trials if trial.noticed[number] is not None]
        yield f"| {gate.name} | {sum(found)} | {len(found)} |"
    by_any = sum(any(trial.noticed) for trial in trials)
    yield f"| at least one of these | {by_any} | {len(trials)} |"
    yield f"| framework-bench | {len(trials)} | {len(trials)} |"
    same = sum(trial.same for trial in trials)
    yield f"\n{same} of the {len(trials)} mutants train and predict here as the correct backend."


def details(trials: Iterable[Trial]) -> Iterator[str]:
    """The table of the mutants, in Markdown."""
    short = (gate.name.partition(":")[0] for gate in GATES)
    yield f"| mutant | model | accuracy | {' | '.join(short)} |"
    yield "| --- | --- | ---: | --- | --- | --- | --- |"
    words = {True: "notices", False: "-", None: "cannot"}
    for trial in trials:
        accuracy = "error" if trial.outcome is None else f"{100 * trial.outcome.accuracy:.2f} %"
        cells = (trial.mutant, trial.model, accuracy, *(words[found] for found in trial.noticed))
        yield f"| {' | '.join(cells)} |"


def main(folder: str) -> None:
    """Try every mutant, and print what each gate notices."""
    parts = [read_part(Path(folder), part) for part in ("train", "test")]
    data: Data = (*parts[0], *parts[1])
    right: dict[str, Outcome] = {}
    trials = []
    for mutant, model in mutants_and_models():
        if model not in right:
            right[model] = trained(Reference, fair(model), data)
            print(f"{model}: {right[model].accuracy:.4f}", file=sys.stderr)
        trials.append(attempt(mutant, model, right[model], data))
        print(*trials[-1][:2], trials[-1].noticed, file=sys.stderr)
    print("\n".join((*summary(trials), "", *details(trials))))


if __name__ == "__main__":
    main(*sys.argv[1:])
