"""What gates that others use would notice: `python -m tests.support.other_gates FOLDER`.

All mutants are tried on images of MNIST: the timed ones on the models of `tests.support.timed`, the
others on the model on which `bench verify` finds them, with an input of 28 x 28. A gate notices a
mutant if it fails although the correct backend passes it. FOLDER holds MNIST's arrays, see
`bench.data.cache.materialise`. The table, in Markdown, is printed.

The gates: Keras's `integration_tests/numerical_test.py` (after four steps of Adam, weights and
logits within 1e-3); StructCast-Model (accuracies within one point); EESSI's test suite (accuracy
above 0.2); tinygrad's CI (97.3 % on MNIST).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from backends.reference.oracle import Reference
from bench.worker.examples import read_part
from bench.worker.grading import grade
from bench.worker.verification.models import LONG
from bench.worker.verification.models import MODELS as SMALL
from specs.initial import dropout_masks, epoch_order, initial_weights
from specs.model import Adam, Input, Workload
from specs.shapes import infer_shapes
from tests.support.jobs import make_job
from tests.support.mutants import MUTANTS
from tests.support.timed import MODELS
from tests.support.timed_mutants import TIMED_MUTANTS

_BATCH, _TRAIN, _TEST, _EPOCHS = 64, 12_000, 2_000, 4
_ADAM = Adam(
    learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7, epsilon_form="before_correction"
)


class Outcome(NamedTuple):
    """The accuracy after training, and the weights and logits after four steps of Adam.

    The weights are empty where a mutant cannot be trained by Adam.
    """

    accuracy: float
    weights: dict[str, np.ndarray]
    logits: np.ndarray


def on_mnist(workload: Workload) -> Workload:
    """The workload with images of MNIST as its input."""
    last = replace(workload.layers[-1], units=10)
    return replace(
        workload, input=Input(shape=(28, 28, 1), classes=10), layers=(*workload.layers[:-1], last)
    )


def trained(kind: type[Reference], workload: Workload, data: tuple[np.ndarray, ...]) -> Outcome:
    """Train a backend as a user does, and as Keras's test does."""
    images, labels, test_images, test_labels = data
    job = replace(make_job(workload, batch_size=_BATCH), threads=2, epochs=_EPOCHS)
    backend = kind(job)
    backend.set_weights(initial_weights(workload, 0))
    backend.load(images.copy(), labels.copy())
    for epoch in range(_EPOCHS):
        order = epoch_order(workload, 0, epoch, len(labels), _BATCH)
        masks = dropout_masks(workload, 0, epoch, len(order))
        backend.train_epoch(order, masks)
        logits = backend.predict(test_images)
    accuracy = grade(logits, test_labels, workload.loss)[1]
    return Outcome(accuracy, *_after_adam(kind, workload, images[:100], labels[:100]))


def _after_adam(
    kind: type[Reference], workload: Workload, images: np.ndarray, labels: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Weights and logits after four steps of Adam on 100 images."""
    try:
        backend = kind(
            replace(make_job(replace(workload, optimizer=_ADAM), batch_size=32), threads=2)
        )
        backend.set_weights(initial_weights(workload, 0))
        backend.load(images.copy(), labels.copy())
        backend.train_epoch(np.arange(100), dropout_masks(workload, 0, 0, 100))
    except AttributeError:  # the mutant changes a constant that Adam does not have
        return {}, np.zeros(0)
    return dict(backend.get_weights()), backend.predict(images)


def _close(a: Outcome, b: Outcome) -> bool:
    if not a.weights:
        return True
    pairs = [(a.weights[name], b.weights[name]) for name in b.weights if name in a.weights]
    shapes = a.weights.keys() == b.weights.keys() and all(x.shape == y.shape for x, y in pairs)
    return shapes and all(np.abs(x - y).max() <= 1e-3 for x, y in (*pairs, (a.logits, b.logits)))


# Gate -> whether a backend passes it, given a correct one.
GATES: dict[str, Callable[[Outcome, Outcome], bool]] = {
    "weights and logits within 1e-3 after 4 steps of Adam": _close,
    "accuracy within 1 point": lambda mine, right: abs(mine.accuracy - right.accuracy) <= 0.01,
    "accuracy above 0.2": lambda mine, _: mine.accuracy > 0.2,
    "97.3 % on MNIST": lambda mine, _: mine.accuracy >= 0.973,
}


def main(folder: str) -> None:
    """Try every mutant, and print what each gate notices."""
    data = tuple(
        values[:count]
        for part, count in (("train", _TRAIN), ("test", _TEST))
        for values in read_part(Path(folder), part)
    )
    small = {**SMALL, **LONG}
    tried = [
        *((mutant, name, on_mnist(small[name])) for mutant, name in MUTANTS.items()),
        *(
            (mutant, name, MODELS[name])
            for mutant, name in TIMED_MUTANTS.items()
            if mutant not in MUTANTS
        ),
    ]
    right: dict[str, Outcome] = {}
    noticed: dict[str, list[str]] = {gate: [] for gate in GATES}
    could: dict[str, int] = dict.fromkeys(GATES, 0)
    nobody = []
    for mutant, name, workload in tried:
        assert infer_shapes(workload)
        right[name] = right.get(name) or trained(Reference, workload, data)
        try:
            outcome = trained(mutant, workload, data)
        except (ValueError, KeyError, IndexError) as error:
            outcome = None
            print(f"{mutant.__name__}: {type(error).__name__}", file=sys.stderr)
        fails = []
        for gate, passes in GATES.items():
            if passes(right[name], right[name]):
                could[gate] += 1
                if outcome is None or not passes(outcome, right[name]):
                    fails.append(gate)
                    noticed[gate].append(mutant.__name__)
        if not fails:
            nobody.append(mutant.__name__)
        print(mutant.__name__, name, outcome and f"{outcome.accuracy:.4f}", fails, file=sys.stderr)
    print("| gate | mutants that it notices | of those that it could |\n| --- | ---: | ---: |")
    for gate, names in noticed.items():
        print(f"| {gate} | {len(names)} | {could[gate]} |")
    print(f"| none of these gates notices | {len(nobody)} | {len(tried)} |")
    print(f"| the bench's own checks | {len(tried)} | {len(tried)} |")
    print(f"\nNoticed by none of the four: {', '.join(nobody)}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
