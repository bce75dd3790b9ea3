"""The proof: plain checks that compare a backend with the float64 reference through the very calls that are timed.

`python -m bench.conformance assignments.json findings.json` runs them in the backend's own environment.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from backends.contract import Backend, Images, Job, Labels, Masks, Order, Weights
from backends.reference import Reference
from bench import data
from bench.worker import Assignment
from specs.initial import dropout_masks, epoch_order, initial_weights
from specs.model import MaxPool2d

MakeBackend = Callable[[Job], Backend]

# float32 keeps 24 bits: a rounding is at most 6e-8 of the value.
_ROUNDING = 2.0**-24
STEPS = 10
# In float32 a value near the kink of a ReLU, or two near-equal ones in a max-pool, may fall on the other side than in
# float64; from there on correct runs part (seen in the CNN, in a third of the seeds, engine by engine). Such a flip is
# an accident of the seed, a wrong formula is not: it shows on every one.
_KINKS = frozenset({"relu", "leaky_relu"})
_SEEDS = 8
# The losses here are about 2.3; each is a chain of some ten roundings, and its average over the batch of a few more.
LOSS_TOLERANCE = 2.3 * 20 * _ROUNDING  # 2.7e-6; seen: 3e-7
# Logits of an untrained model are of size 1, from sums of up to 4,608 products whose errors mostly cancel.
LOGIT_TOLERANCE = 64 * _ROUNDING  # 3.8e-6; seen: 4e-7
# A weight (at most 1) is rounded once per step, and moves by at most 4e-3 a step on a gradient right to about 1e-5.
WEIGHT_TOLERANCE = STEPS * (_ROUNDING + 4e-3 * 1e-5)  # 1.0e-6; seen: 6e-8


class Finding(Struct, frozen=True, kw_only=True):
    """What a check found: the largest deviation in units of its tolerance (over 1 is a failure), and where."""

    check: str
    deviation: float
    where: str


class Case(Struct, frozen=True, kw_only=True):
    """What a check needs: a job with a small batch, training examples, and their order."""

    job: Job
    images: Images
    labels: Labels
    order: Order
    masks: Masks


def make_case(job: Job, images: Images, labels: Labels) -> Case:
    """The first `STEPS` full batches of the job's first epoch and a partial one of a third, and dropout masks."""
    count = STEPS * job.batch_size + job.batch_size // 3
    order = epoch_order(job.workload, job.seed, 0, len(labels), job.batch_size)[:count]
    masks = dropout_masks(job.workload, job.seed, 0, count)
    return Case(job=job, images=images, labels=labels, order=order, masks=masks)


def check_prediction(make: MakeBackend, case: Case) -> Finding:
    """Logits from injected weights, before any training, in more examples than one batch of prediction."""
    backend, reference = _ready(make, case), _oracle(case)
    difference = np.abs(backend.predict(case.images) - reference.predict(case.images))
    return _finding("prediction", {"logits": _largest(difference) / LOGIT_TOLERANCE})


def check_steps(make: MakeBackend, case: Case) -> Finding:
    """The loss and every weight after each of the first steps, one `train_epoch` call per batch."""
    backend, reference = _ready(make, case), _oracle(case)
    deviations = {}
    for step, (order, masks) in enumerate(_batches(case)):
        loss = backend.train_epoch(order, masks) - reference.train_epoch(order, masks)
        deviations[f"step {step}, loss"] = abs(loss) / LOSS_TOLERANCE
        for name, difference in _weight_differences(backend.get_weights(), reference.get_weights()):
            deviations[f"step {step}, {name}"] = difference / WEIGHT_TOLERANCE
    return _finding("steps", deviations)


def check_epoch(make: MakeBackend, case: Case) -> Finding:
    """The timed path is the proven one: one call over all batches, the partial one too, against the reference."""
    backend, reference = _ready(make, case), _oracle(case)
    loss = backend.train_epoch(case.order, case.masks) - reference.train_epoch(case.order, case.masks)
    deviations = {"loss": abs(loss) / LOSS_TOLERANCE}
    for name, difference in _weight_differences(backend.get_weights(), reference.get_weights()):
        deviations[name] = difference / WEIGHT_TOLERANCE
    return _finding("epoch", deviations)


def check_purity(make: MakeBackend, case: Case) -> Finding:
    """The examples are not changed, predicting trains nothing, and logits are float32 (n, classes)."""
    backend, images, labels = _ready(make, case), case.images.copy(), case.labels.copy()
    backend.train_epoch(case.order)
    before = {name: value.copy() for name, value in backend.get_weights().items()}
    logits, again = backend.predict(case.images[:100]), backend.predict(case.images[:100])
    wrong = {
        "the images were changed": not np.array_equal(images, case.images),
        "the labels were changed": not np.array_equal(labels, case.labels),
        "predicting trained": any(d > 0 for _, d in _weight_differences(backend.get_weights(), before)),
        "predicting twice differs": not np.array_equal(logits, again),
        "shape of the logits": logits.shape != (100, case.job.workload.input.classes),
        "type of the logits": str(logits.dtype) != "float32",
    }
    return _finding("purity", {what: float("inf") if is_so else 0.0 for what, is_so in wrong.items()})


def check_own_dropout(make: MakeBackend, case: Case) -> Finding:
    """Without injected masks the framework's own dropout is on while training, and repeats with its seed."""
    if not case.masks:
        return _finding("own dropout", {"there is none": 0.0})
    losses = []
    for seed in (case.job.seed, case.job.seed, case.job.seed + 1):
        backend = make(msgspec.structs.replace(case.job, seed=seed))
        backend.set_weights(initial_weights(case.job.workload, case.job.seed))
        backend.load(case.images, case.labels)
        losses.append(backend.train_epoch(case.order))
    repeated, other = abs(losses[0] - losses[1]), abs(losses[0] - losses[2])
    # Masks of another seed move the loss by a percent or so; rounding by a millionth.
    unmoved = other <= LOSS_TOLERANCE
    return _finding(
        "own dropout", {"same seed, other loss": repeated / LOSS_TOLERANCE, "off": float("inf") if unmoved else 0.0}
    )


CHECKS = (check_prediction, check_steps, check_epoch, check_purity, check_own_dropout)


def prove(make: MakeBackend, job: Job, images: Images, labels: Labels) -> list[Finding]:
    """Every check's finding, on the job's seed or, for a model with kinks, the first seed after it without a flip."""
    findings: list[Finding] = []
    for seed in range(job.seed, job.seed + (_SEEDS if _has_kinks(job) else 1)):
        case = make_case(msgspec.structs.replace(job, seed=seed), images, labels)
        findings = [check(make, case) for check in CHECKS]
        failed = {finding.check for finding in findings if finding.deviation > 1}
        if not failed or failed - {"steps", "epoch"}:  # a flip shows in training alone
            break
    return findings


def _has_kinks(job: Job) -> bool:
    kinds = {getattr(layer, "activation", None) for layer in job.workload.layers}
    return bool(kinds & _KINKS) or any(isinstance(layer, MaxPool2d) for layer in job.workload.layers)


def main(assignments_path: str, findings_path: str) -> None:
    """Run every check on every assignment, in the adapters' own environment; a list of findings per assignment."""
    assignments = msgspec.json.decode(Path(assignments_path).read_bytes(), type=list[Assignment])
    Path(findings_path).write_bytes(msgspec.json.encode([_prove(assignment) for assignment in assignments]))


def _prove(assignment: Assignment) -> list[Finding]:
    module, _, name = assignment.adapter.partition(":")
    make = getattr(importlib.import_module(module), name)
    return prove(make, assignment.job, *data.read_part(Path(assignment.data), "train"))


def _ready(make: MakeBackend, case: Case) -> Backend:
    backend = make(case.job)
    backend.set_weights(initial_weights(case.job.workload, case.job.seed))
    backend.load(case.images, case.labels)
    return backend


def _oracle(case: Case) -> Backend:
    """The reference at the same work; it has one device and no compiler."""
    return _ready(lambda job: Reference(msgspec.structs.replace(job, device="cpu", compiled=False)), case)


def _batches(case: Case) -> Iterator[tuple[Order, Masks]]:
    for start in range(0, len(case.order), case.job.batch_size):
        part = slice(start, start + case.job.batch_size)
        yield case.order[part], [mask[part] for mask in case.masks]


def _weight_differences(found: Weights, expected: Weights) -> Iterator[tuple[str, float]]:
    if list(found) != list(expected):
        yield "names of the weights", float("inf")
        return
    for name, value in expected.items():
        same = found[name].shape == value.shape
        yield name, _largest(np.abs(found[name] - value)) if same else float("inf")


def _largest(differences: np.ndarray) -> float:
    """The largest; infinite where something is not a number, which no comparison would notice."""
    return float(differences.max()) if np.isfinite(differences).all() else float("inf")


def _finding(check: str, deviations: dict[str, float]) -> Finding:
    where = max(deviations, key=lambda name: deviations[name])
    deviation = min(deviations[where], 1e9)  # JSON has no infinity
    return Finding(check=check, deviation=deviation, where=where if deviation > 0 else "nowhere")


if __name__ == "__main__":
    main(*sys.argv[1:])
