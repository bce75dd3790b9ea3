"""Verifies a timed job itself: after its last epoch it trains its first steps again.

The backend is reset and called as in the timed epochs, so it runs the same compiled programs on the
same device, with the same batch size, threads and precision. The loss and the change of every
weight are then compared with the reference in float64, see `expected`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path

import msgspec
import numpy as np

from backends.contract import Backend, Images, Job, Logits, Masks, Order, Weights, steps_per_call
from bench.worker import clock
from bench.worker.lines import INFINITE, JobVerification
from bench.worker.verification import tolerances
from bench.worker.verification.cases import has_relu_or_max_pool
from bench.worker.verification.expected import (
    LONG_FLOPS,
    NOISY_RUNS,
    Arrays,
    Examples,
    Trained,
    direction,
    expected,
    make_reference,
    masked_runs,
    share,
    training_flops,
    with_errors,
)
from specs.initial import dropout_masks, epoch_order, initial_weights
from specs.model import Conv2d, Dropout
from specs.shapes import infer_shapes

# The number of full batches that are trained again if each step is a separate call. If steps are
# long, one is enough: the partial batch of an epoch, or another full one, follows it.
_STEPS, _LONG_STEPS = 3, 1
# If the reference would need more operations, or more memory for a step's windows of images, the
# job is not verified. The operations take about a minute, once for all backends of a group: two
# threads do 1.5e10 per second in convolutions, and 7e10 in matrix products.
_MOST_FLOPS_PER_THREAD, _MOST_BYTES = 5e11, 2e9
# A ReLU or a max-pool may flip by rounding, see `cases`; then correct runs diverge. A flip depends
# on the images, so the first images of the next epochs are tried. A wrong program is wrong on all.
_TRIES, _TRIES_FLOPS = 4, 2e11
# The most test images whose logits are compared, and the operations that the reference may need.
_ROWS, _ROWS_FLOPS = 100, 2e10
# The names of the deviations that show that a job computed in another precision.
PRODUCTS, PREDICTION, WEIGHTS = (
    f"precision of the {part}" for part in ("products", "prediction", "weights")
)
# A weight counts as unchanged if it changes by less than this share of the expected change.
_STILL = 1e-3


def verify_training(
    backend: Backend, job: Job, examples: Examples, references: Path, *, give_masks: bool = False
) -> JobVerification:
    """Train the first steps of a job again, and compare them with the reference.

    Args:
        backend: the trained backend. It is reset and trained again.
        job: the job, in matched mode.
        examples: those that the backend has loaded.
        references: the folder of the reference's results.
        give_masks: whether to give the masks of dropout to the backend. Then the results are
            compared exactly, but the backend may run another program than in timed epochs.
    """
    begin = clock.monotonic_seconds()
    masked = has_dropout(job) and not give_masks
    order = _short_epoch(job, 0, len(examples.labels))
    result = JobVerification(
        method="dropout" if masked else "exact",
        steps=len(order) // job.batch_size,
        partial_batch=len(order) % job.batch_size,
    )
    runs = masked_runs(job) if masked else 1 + NOISY_RUNS
    flops = runs * len(order) * training_flops(job)
    if (
        flops > job.threads * _MOST_FLOPS_PER_THREAD
        or _window_bytes(job) * job.batch_size > _MOST_BYTES
    ):
        reason = "its first steps take the reference too much time or memory"
        return msgspec.structs.replace(result, not_verified=reason)
    tries = 1
    if has_relu_or_max_pool(job) and not masked:
        tries = max(1, min(_TRIES, int(_TRIES_FLOPS / max(flops, 1))))
    used, deviations = _best_of(tries, backend, job, examples, references, give_masks=give_masks)
    if _says_nothing(deviations):
        return msgspec.structs.replace(result, not_verified="rounding decides its first steps")
    seconds = clock.monotonic_seconds() - begin
    return msgspec.structs.replace(result, deviations=deviations, tries=used, seconds=seconds)


def _best_of(
    tries: int,
    backend: Backend,
    job: Job,
    examples: Examples,
    references: Path,
    *,
    give_masks: bool,
) -> tuple[int, dict[str, float]]:
    """The smallest deviations over several orders, and how many were tried.

    An order on which a unit flips in the reference itself is used only if there is no other.
    """
    masked, deviations = has_dropout(job) and not give_masks, dict[str, float]()
    growth = tolerances.parts_of_update(job.batch_size, getattr(backend, "examples_per_sum", None))
    for attempt in range(tries):
        order = _short_epoch(job, attempt, len(examples.labels))
        masks = None if masked else dropout_masks(job.workload, job.seed, attempt, len(order))
        right = expected(job, examples, order, references, masks)
        is_last = attempt == tries - 1
        if _flipped(right, job) and (deviations or not is_last):
            continue
        # Without given masks the call is the same as in timed epochs.
        trained = _train(backend, job, order, masks if give_masks else None)
        if masked:
            new = masked_deviations(trained, right)
        else:
            new = _deviations(trained, right, job, growth)
        if not deviations or max(new.values()) < max(deviations.values()):
            deviations = new
        if max(deviations.values()) <= tolerances.CLEAR:
            break
    return attempt + 1, deviations


def prediction_deviations(
    job: Job, weights: Weights, images: Images, logits: Logits
) -> dict[str, float]:
    """How much logits differ from the reference's with the same weights, in tolerances.

    For bfloat16 also whether the products were computed in bfloat16.

    Args:
        job: the job that predicted them.
        weights: the weights with which the job predicted.
        images: (n, height, width, channels).
        logits: (n, classes).
    """
    flops = sum(shape.forward_flops for shape in infer_shapes(job.workload))
    count = min(_ROWS, max(1, int(_ROWS_FLOPS / max(flops, 1))))
    rows = np.unique(np.linspace(0, len(images) - 1, count).astype(int))
    reference = make_reference(job, weights)
    # One by one, as the windows of many large images need much memory.
    right = np.concatenate([reference.predict(images[row : row + 1]) for row in rows])
    noisy = with_errors(job, weights)
    noisy_logits = np.concatenate([noisy.predict(images[row : row + 1]) for row in rows])
    spread, off = share(noisy_logits - right, right), share(logits[rows] - right, right)
    deviations = {"prediction": _number(off / tolerances.share(spread, job.precision))}
    if job.precision == "bfloat16":
        deviations[PREDICTION] = in_float32(off)
    return deviations


def in_float32(share_off: float) -> float:
    """Above 1 if a result of bfloat16 is so near to the exact one that it was made in float32."""
    return _number(tolerances.IN_FLOAT32 / share_off) if share_off else INFINITE


def kept_in_bfloat16(start: Weights, after: Weights) -> bool:
    """Whether training left a kernel in bfloat16; weights must stay in float32."""

    def is_short(values: np.ndarray) -> bool:
        low = np.ascontiguousarray(values, np.float32).view(np.uint32) & 0xFFFF
        return float((low == 0).mean()) > tolerances.MOST_IN_BFLOAT16

    kernels = [name for name in start if name.endswith(".kernel")]
    return any(is_short(after[name]) and not is_short(start[name]) for name in kernels)


def _short_epoch(job: Job, epoch: int, examples: int) -> Order:
    """The first full batches of an epoch, and its partial one.

    If an adapter trains several steps in a call, all its programs are called: for a whole call, for
    the last full batches of an epoch, and for the partial batch.
    """
    size = job.batch_size
    order = epoch_order(job.workload, job.seed, epoch, examples, size)
    batches, in_a_call = len(order) // size, steps_per_call(job, examples)
    full = in_a_call + batches % in_a_call
    if in_a_call == 1:
        is_long = training_flops(job) * size > LONG_FLOPS
        full = _LONG_STEPS + (len(order) == batches * size) if is_long else _STEPS
    return np.concatenate([order[: min(full, batches) * size], order[batches * size :]])


def _says_nothing(deviations: dict[str, float]) -> bool:
    """Whether no weight was compared, and nothing shows that the job is wrong."""
    others = deviations.keys() - {"loss", PRODUCTS}
    return not others and deviations["loss"] < INFINITE and deviations.get(PRODUCTS, 0.0) <= 1


def _window_bytes(job: Job) -> int:
    """The bytes of the largest convolution's windows of one image, in float64."""
    kernels = (
        8 * prod(shape.output[:2]) * prod(shape.parameters[f"{shape.position}.kernel"][:3])
        for shape in infer_shapes(job.workload)
        if isinstance(shape.layer, Conv2d)
    )
    return max(kernels, default=0)


def _flipped(right: Arrays, job: Job) -> bool:
    """Whether rounding errors flip a unit in the reference itself.

    In a lower precision they always do, and the spread includes it.
    """
    return job.precision == "float32" and any(
        tolerances.is_flipped(float(value), job.precision)
        for name, value in right.items()
        if name.startswith("spread of")
    )


def has_dropout(job: Job) -> bool:
    """Whether the job's model has a dropout layer."""
    return any(isinstance(layer, Dropout) for layer in job.workload.layers)


def _train(backend: Backend, job: Job, order: Order, masks: Masks | None) -> Trained:
    start = initial_weights(job.workload, job.seed)
    backend.reset(start)
    loss, after = backend.train_epoch(order, masks), backend.get_weights()
    changes = {name: after[name] - start[name].astype(np.float64) for name in start}
    return Trained(loss, changes, kept_in_bfloat16(start, after))


def _deviations(trained: Trained, right: Arrays, job: Job, growth: float) -> dict[str, float]:
    """The deviations of the loss and of the change of every weight, in tolerances.

    `growth` is a factor for the rounding errors of changes, see `tolerances.parts_of_update`.

    A weight whose change is decided by rounding is left out. For example, the gradient of a bias
    before batch norm is only a rounding error.
    """
    loss = share(np.array(trained.loss) - right["loss"], right["loss"])
    spread = float(right["spread of loss"])
    deviations = {"loss": _number(loss / tolerances.share_of_loss(spread, job.precision))}
    if trained.in_bfloat16:
        deviations[WEIGHTS] = INFINITE
    # Correct runs diverge at once, e.g. with a huge learning rate.
    if tolerances.is_flipped(spread, job.precision):
        return deviations
    farthest = 0.0
    for name, change in trained.changes.items():
        expected_change = right[f"change {name}"]
        spread = growth * float(right[f"spread of {name}"])
        difference = share(change - expected_change, expected_change)
        farthest = max(farthest, difference if name.endswith(".kernel") else 0.0)
        if not tolerances.is_decided(spread, job.precision) and np.isfinite(change).all():
            continue
        is_still = np.linalg.norm(change) < _STILL * np.linalg.norm(expected_change)
        deviation = difference / tolerances.share(spread, job.precision)
        deviations[name] = INFINITE if is_still else _number(deviation)
    if job.precision == "bfloat16":
        deviations[PRODUCTS] = in_float32(farthest)
    return deviations


def masked_deviations(trained: Trained, right: Arrays) -> dict[str, float]:
    """The deviations of a training with the framework's own dropout, in tolerances.

    Loss, size and direction of every change are compared with the reference's mean, in units of
    how much they vary with the masks.
    """

    def deviation(name: str, value: float, tolerance: Callable[[float], float]) -> float:
        mean, varies = float(right[name]), float(right[f"deviation of {name}"])
        if not mean:
            return 0.0 if not value else INFINITE
        return _number(abs(value / mean - 1.0) / tolerance(varies / abs(mean)))

    deviations = {"loss": deviation("loss", trained.loss, tolerances.loss_with_masks)}
    if trained.in_bfloat16:
        deviations[WEIGHTS] = INFINITE
    for name, change in trained.changes.items():
        size, expected_size = float(np.linalg.norm(change)), float(right[f"size {name}"])
        along = direction(change, right[f"change {name}"].astype(np.float64))
        deviations[name] = max(
            deviation(f"size {name}", size, tolerances.with_masks),
            deviation(f"direction {name}", along, tolerances.with_masks),
            INFINITE if size < _STILL * expected_size else 0.0,
        )
    return deviations


def _number(deviation: float) -> float:
    """The deviation, or `INFINITE` if it is not finite."""
    return min(float(deviation), INFINITE) if np.isfinite(deviation) else INFINITE
