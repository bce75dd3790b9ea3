"""The reference's results for a job's first steps: computed once, kept for all backends.

Rounding alone changes a correct result. To measure by how much, the reference is also trained with
rounding errors added to its weights before every step. With dropout a backend draws its own masks;
then the reference is trained several times, each time with other masks.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from contextlib import suppress
from functools import cache
from math import prod
from pathlib import Path
from statistics import median
from typing import NamedTuple, cast
from zipfile import BadZipFile

import msgspec
import numpy as np

from backends.contract import Images, Job, Labels, Masks, Order, Weights
from backends.reference.oracle import Reference
from backends.reference.updates import Update
from bench.worker.arrays import write_arrays
from bench.worker.verification import tolerances
from bench.worker.verification.rounded import Rounded, on_cpu
from specs.files import is_own, open_regular
from specs.initial import dropout_masks, initial_weights
from specs.shapes import infer_shapes

NOISY_RUNS = 3  # trainings of the reference with rounding errors
# Trainings of the reference with other dropout masks; fewer where a step takes long.
_MASKED_RUNS, _LONG_MASKED_RUNS, LONG_FLOPS = 12, 6, 1e9
_FIRST_EPOCH_OF_RUNS = 1000  # their masks are those of epochs that no job reaches
_SOURCES = ("backends/reference", "specs", "bench/worker/verification")
_MOST_BYTES = 10**10  # of a file
_PROJECT = Path(__file__).parents[3]

_UNREADABLE = (OSError, ValueError, EOFError, KeyError, TypeError, BadZipFile, zlib.error)

Arrays = dict[str, np.ndarray]


class Examples(NamedTuple):
    """The training examples, and the name of the folder of arrays that they come from."""

    images: Images
    labels: Labels
    name: str


class Trained(NamedTuple):
    """The result of a training.

    Attributes:
        loss: the mean over its examples.
        changes: name of a weight -> its value after the training minus the initial one, in float64.
        in_bfloat16: whether a kernel has only numbers of bfloat16.
    """

    loss: float
    changes: Arrays
    in_bfloat16: bool = False


def expected(
    job: Job, examples: Examples, order: Order, folder: Path, masks: Masks | None
) -> Arrays:
    """The reference's results on an order: read from a folder, else computed and kept there.

    Args:
        job: only its workload, seed, batch size and precision matter.
        examples: the training examples.
        order: (n,) indices of those to train on.
        folder: where results are kept.
        masks: the values that dropout keeps (none without dropout); None if the backend draws its
            own.

    Returns:
        See `_noisy` or, if masks are None, `_masked`.
    """
    file = folder / f"{_digest(job, examples, order, masks)}.npz"
    if (kept := _kept(file)) is not None:
        return kept
    arrays = _masked(job, examples, order) if masks is None else _noisy(job, examples, order, masks)
    with suppress(OSError):  # without the file, the next job computes the results again
        write_arrays(file, arrays)
    return arrays


def _kept(file: Path) -> Arrays | None:
    """The arrays in a file; None if there is none, it is damaged, or it is another user's.

    In a shared cache, another user's file could let a wrong job pass.
    """
    try:
        with open_regular(file, _MOST_BYTES) as content:
            if not is_own(os.fstat(content.fileno())):
                return None
            with np.load(content) as kept:
                return dict(kept)
    except _UNREADABLE:
        return None


def training_flops(job: Job) -> int:
    """The floating point operations of training one example."""
    return sum(shape.training_flops for shape in infer_shapes(job.workload))


def masked_runs(job: Job) -> int:
    """How often the reference is trained, each time with other dropout masks."""
    is_long = training_flops(job) * job.batch_size > LONG_FLOPS
    return _LONG_MASKED_RUNS if is_long else _MASKED_RUNS


def make_reference(job: Job, weights: Weights) -> Reference:
    """The reference for a job of any device, with these weights."""
    reference = Reference(on_cpu(job))
    reference.set_weights(weights)
    return reference


class _WithErrors(Reference):
    """The reference with random errors in every gradient.

    A gradient is a sum over all examples and positions. Where its terms cancel, the rounding error
    is large compared with the sum, so errors are a share of the layer's largest gradient. The
    gradient of a bias before batch norm is 0 except for rounding errors.
    """

    def __init__(self, job: Job, random: np.random.RandomState) -> None:
        self._errors = random
        self._largest: dict[str, float] = {}  # gradient of each layer in this step
        self._sizes = {
            name: tolerances.gradient_nudge(prod(shape.output[:-1]) * job.batch_size)
            for shape in infer_shapes(job.workload)
            for name in shape.parameters
        }
        super().__init__(on_cpu(job))

    def _begin(self) -> None:
        super()._begin()
        exact = self._update

        def update(name: str, weight: np.ndarray, gradient: np.ndarray) -> np.ndarray:
            errors = self._errors.uniform(-1.0, 1.0, gradient.shape)
            layer, _, kind = name.partition(".")
            largest = float(np.abs(gradient).max(initial=0.0))
            if kind == "bias":  # the last gradient was the kernel's
                largest = max(largest, self._largest[layer])
            self._largest[layer] = largest
            return exact(name, weight, gradient + self._sizes[name] * largest * errors)

        self._update = cast("Update", update)


def with_errors(job: Job, weights: Weights) -> Reference:
    """A reference that predicts with rounding errors of the job's precision."""
    random = np.random.RandomState(0)
    if job.precision == "float32":
        return make_reference(job, _nudged(weights, random))
    rounded = Rounded(job, random)
    rounded.set_weights(weights)
    return rounded


def _nudged(weights: Weights, random: np.random.RandomState) -> Arrays:
    """Weights that are changed by random rounding errors of float32, in float64."""
    return {
        name: value * (1.0 + tolerances.NUDGE * random.uniform(-1.0, 1.0, value.shape))
        for name, value in weights.items()
    }


def share(difference: np.ndarray, whole: np.ndarray) -> float:
    """The Euclidean norm of `difference` divided by that of `whole`; infinite if it is NaN."""
    part, size = float(np.linalg.norm(difference)), float(np.linalg.norm(whole))
    if part == 0.0:
        return 0.0
    return part / size if np.isfinite(part) and size else np.inf


def _noisy(job: Job, examples: Examples, order: Order, masks: Masks) -> Arrays:
    """The results with given masks, and how much rounding errors change them.

    "loss", and for each weight "change NAME". For each of these also "spread of ...": how much
    rounding errors change it, as a share; the median of some runs (in a lower precision the
    largest).
    """
    start = initial_weights(job.workload, job.seed)
    exact = _train(job, examples, order, masks)
    train = _train_with_errors if job.precision == "float32" else _train_rounded
    runs = [train(job, examples, order, masks, run) for run in range(NOISY_RUNS)]
    # In a lower precision a unit that flips may change a result of one run, and not of another.
    typical = median if job.precision == "float32" else max
    loss_spread = typical([abs(run.loss / exact.loss - 1.0) for run in runs])
    arrays = {"loss": np.array(exact.loss), "spread of loss": np.array(loss_spread)}
    for name in start:
        change = exact.changes[name]
        spread = typical([share(run.changes[name] - change, change) for run in runs])
        arrays |= {
            f"change {name}": change.astype(np.float32),
            f"spread of {name}": np.array(spread),
        }
    return arrays


def _masked(job: Job, examples: Examples, order: Order) -> Arrays:
    """The results with dropout: means over trainings with different masks, and standard deviations.

    "loss". For each weight "change NAME", the mean change; "size NAME", the norm of a change;
    "direction NAME", the direction of a change compared with the mean change of the other trainings
    (about 1). For loss, size and direction also "deviation of ...".
    """
    runs = []
    for run in range(masked_runs(job)):
        masks = dropout_masks(job.workload, job.seed, _FIRST_EPOCH_OF_RUNS + run, len(order))
        runs.append(_train(job, examples, order, masks))
    arrays = _mean_and_deviation("loss", [run.loss for run in runs])
    for name in runs[0].changes:
        changes = [run.changes[name] for run in runs]
        mean = np.mean(changes, axis=0)
        others = [(mean * len(runs) - change) / (len(runs) - 1) for change in changes]
        pairs = zip(changes, others, strict=True)
        arrays |= {
            f"change {name}": mean.astype(np.float32),
            **_mean_and_deviation(f"size {name}", [float(np.linalg.norm(c)) for c in changes]),
            **_mean_and_deviation(f"direction {name}", [direction(c, o) for c, o in pairs]),
        }
    return arrays


def direction(change: np.ndarray, mean: np.ndarray) -> float:
    """The projection of a change on the mean change: 1 if they are equal, 0 if unrelated."""
    square = float((mean * mean).sum())
    return float((change * mean).sum()) / square if square else 0.0


def _mean_and_deviation(name: str, values: list[float]) -> Arrays:
    return {
        name: np.array(np.mean(values)),
        f"deviation of {name}": np.array(np.std(values, ddof=1)),
    }


def _train(job: Job, examples: Examples, order: Order, masks: Masks) -> Trained:
    """Train the reference on an order."""
    start = initial_weights(job.workload, job.seed)
    reference = make_reference(job, start)
    reference.load(examples.images, examples.labels)
    loss, after = reference.train_epoch(order, masks), reference.exact_weights()
    return Trained(loss, {name: after[name] - start[name] for name in start})


def _train_with_errors(
    job: Job, examples: Examples, order: Order, masks: Masks, run: int
) -> Trained:
    """Train the reference with rounding errors in every step.

    A step is computed from weights with random rounding errors, its gradients have some too, and
    its change is added to weights in float32.
    """
    start: Arrays = {**initial_weights(job.workload, job.seed)}
    random = np.random.RandomState(run)
    reference = _WithErrors(job, random)
    reference.set_weights(start)
    reference.load(examples.images, examples.labels)
    current, total = start, 0.0
    for first in range(0, len(order), job.batch_size):
        part, before = slice(first, first + job.batch_size), _nudged(current, random)
        reference.set_weights(before)
        batch, kept = order[part], [mask[part] for mask in masks]
        total += reference.train_epoch(batch, kept) * len(batch)
        after = reference.exact_weights()
        current = {
            name: (current[name] + after[name] - before[name]).astype(np.float32) for name in start
        }
    return Trained(
        total / len(order), {name: current[name] - start[name].astype(np.float64) for name in start}
    )


def _train_rounded(job: Job, examples: Examples, order: Order, masks: Masks, run: int) -> Trained:
    """Train the reference with the rounding of a lower precision."""
    start = initial_weights(job.workload, job.seed)
    reference = Rounded(job, np.random.RandomState(run))
    reference.set_weights(start)
    reference.load(examples.images, examples.labels)
    loss, after = reference.train_epoch(order, masks), reference.exact_weights()
    return Trained(loss, {name: after[name] - start[name] for name in start})


def _digest(job: Job, examples: Examples, order: Order, masks: Masks | None) -> str:
    """The name of a file: a hash of all inputs, and of the code that computes the results."""
    decisive = (job.workload, job.seed, job.batch_size, job.precision, examples.name, masks is None)
    digest = hashlib.sha256(msgspec.json.encode(decisive) + order.tobytes() + _code())
    return digest.hexdigest()[:32]


@cache
def _code() -> bytes:
    files = sorted(file for source in _SOURCES for file in (_PROJECT / source).glob("*.py"))
    return b"".join(file.read_bytes() for file in files)
