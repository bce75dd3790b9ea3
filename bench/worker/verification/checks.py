"""The checks of the verification.

They compare a backend with the float64 reference, by the same calls that are timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import msgspec
import numpy as np

from backends.contract import Backend, Weights, kind_of
from bench.worker import clock as measure
from bench.worker.lines import INFINITE, Finding
from bench.worker.verification import tolerances
from bench.worker.verification.cases import (
    Case,
    MakeBackend,
    has_relu_or_max_pool,
    make_reference,
    ready,
)
from specs.initial import epoch_order, initial_weights

_TRIES = 5
_LESS_THAN_A_BATCH = 256  # images to predict; `Case.shown` has more than a batch of prediction
_LEAST_PAUSE = 0.1  # seconds; a step of any model here takes less
# Kind of device -> the words that frameworks use for it.
_DEVICE_WORDS = {"cuda": ("cuda", "gpu"), "mps": ("mps", "gpu", "metal")}
_ENLARGED = np.float32(100.0)  # logits of size 1 become a hundred times as large


def check_prediction(make: MakeBackend, case: Case) -> Finding:
    """Compare the logits of given weights before any training.

    The examples fill more than one batch of prediction.
    """
    logits = ready(make, case).predict(case.shown)
    return finding(
        "prediction",
        {"logits": difference(logits, case.oracle.before) / tolerances.logits(case.depth)},
    )


def check_steps(make: MakeBackend, case: Case) -> Finding:
    """Compare the loss and every weight after each of the first steps, one call per batch."""
    backend, deviations = ready(make, case), {}
    for step, batch in enumerate(case.batches()):
        loss = abs(backend.train_epoch(*batch) - case.oracle.losses[step])
        deviations[f"step {step}, loss"] = loss / tolerances.loss(case.depth)
        for name, value in weight_differences(backend.get_weights(), case.oracle.weights[step]):
            deviations[f"step {step}, {name}"] = value / tolerances.weights(step + 1)
    return finding("steps", deviations)


def check_epoch(make: MakeBackend, case: Case) -> Finding:
    """Compare one call over all batches, as timed runs make it, and predictions after it.

    The last batch is partial. The backend also predicts before, as it does before a later epoch.
    """
    backend, steps = ready(make, case), len(case.oracle.losses)
    sizes = (_LESS_THAN_A_BATCH, len(case.shown))
    for size in sizes:  # a prediction must not keep using the weights of its first call
        backend.predict(case.shown[:size])
    loss = abs(backend.train_epoch(case.order, case.masks) - case.mean_loss)
    deviations = {"loss": loss / tolerances.loss(case.depth)}
    for name, value in weight_differences(backend.get_weights(), case.oracle.weights[-1]):
        deviations[name] = value / tolerances.weights(steps)
    # The inputs of the last layer are of size 1, so the errors of its weights add to the error of
    # the logits.
    tolerance = tolerances.logits(case.depth) + 10 * tolerances.weights(steps)
    for size in sizes:
        logits = difference(backend.predict(case.shown[:size]), case.oracle.after[:size])
        deviations[f"logits after, {size} images"] = logits / tolerance
    return finding("epoch", deviations)


def check_calls(make: MakeBackend, case: Case) -> Finding:
    """Check that one call over all batches gives the same result as one call per batch.

    The last batch is partial. Both ways train two epochs, and only one of them predicts in between,
    as runs do. So the check also fails if a new call or a prediction loses the state of the
    training.
    """
    whole = ready(make, case)
    for _ in range(2):
        loss = whole.train_epoch(case.order, case.masks)
        whole.predict(case.shown)
    of_whole, parts = whole.get_weights(), ready(make, case)
    for _ in range(2):
        losses = [parts.train_epoch(*batch) for batch in case.batches()]
    mean = float(np.average(losses, weights=[len(order) for order, _ in case.batches()]))
    deviations = {"loss": abs(loss - mean) / tolerances.loss(case.depth)}
    for name, value in weight_differences(of_whole, parts.get_weights()):
        deviations[name] = value / tolerances.weights(2 * len(losses))
    return finding("calls", deviations)


def check_order(make: MakeBackend, case: Case) -> Finding:
    """Check that training uses exactly the examples in the order.

    An example that the order names twice must count twice. An example that it does not name must
    have no effect.
    """
    named = case.order[: case.job.batch_size]
    again = np.resize([0, 1, 0], max(3, case.job.ranks))  # each rank has one of them
    # All other images are NaN: one of them in a batch makes the loss and all weights NaN.
    images = np.full_like(case.images, np.nan)
    images[named] = case.images[named]
    changed = msgspec.structs.replace(
        case, images=images, order=np.concatenate([named, named[again]])
    )
    masks = [np.concatenate([mask[: len(named)], mask[again]]) for mask in case.masks]
    backend, reference = ready(make, changed), make_reference(changed)
    loss = abs(
        backend.train_epoch(changed.order, masks) - reference.train_epoch(changed.order, masks)
    )
    deviations = {"loss": loss / tolerances.loss(case.depth)}
    for name, value in weight_differences(backend.get_weights(), reference.get_weights()):
        deviations[name] = value / tolerances.weights(2)
    return finding("order", deviations)


def check_extremes(make: MakeBackend, case: Case) -> Finding:
    """Check that the loss is computed from logits, without clipped probabilities.

    The logits are so large that the probabilities of most labels are almost 0. If probabilities are
    clipped at 1e-7, as in Keras's loss from probabilities, the loss is at most 16.1, and the
    gradient of a clipped probability is 0.
    """
    last = f"{len(case.job.workload.layers) - 1}.kernel"
    large_weights = initial_weights(case.job.workload, case.job.seed)
    large_weights[last] *= _ENLARGED
    backend, reference = ready(make, case), make_reference(case)
    backend.set_weights(large_weights)
    reference.set_weights(large_weights)
    order, masks = next(case.batches())
    loss, expected = backend.train_epoch(order, masks), reference.train_epoch(order, masks)
    # The logits, and the gradients before the last layer, are larger by this factor. So are their
    # rounding errors.
    deviations = {"loss": abs(loss - expected) / float(_ENLARGED * tolerances.logits(case.depth))}
    for name, value in weight_differences(backend.get_weights(), reference.get_weights()):
        deviations[name] = value / float(_ENLARGED * tolerances.weights(1))
    return finding("extremes", deviations)


def check_repeat(make: MakeBackend, case: Case) -> Finding:
    """Check that the same seed repeats the training, and that another seed changes only dropout.

    A new backend and one that was reset must repeat it. On a CPU with at most two ranks, and for a
    deterministic job, the same seed must give the same bits. In native mode the seed also changes
    the shuffle, unless the framework has nothing random.
    """
    (loss, weights), again, (other, changed) = (
        _trained(ready(make, case, seed=seed), case)
        for seed in (case.job.seed, case.job.seed, case.job.seed + 1)
    )
    # A GPU adds in another order each time. So do more than two ranks after a reset, as PyTorch
    # groups their gradients anew after the first step. The last bit of a factor may then differ.
    exact = kind_of(case.job.device) == "cpu" and case.job.ranks in (1, 2)
    exact = exact or case.job.deterministic
    coarser = tolerances.coarseness(case.job.precision)
    tolerance = 1e-30 if exact else coarser * tolerances.weights(len(case.oracle.losses))
    loss_tolerance = 1e-30 if exact else coarser * tolerances.loss(case.depth)
    repeats = {"same seed": ((loss, weights), again)}
    if case.job.mode == "matched":
        backend = ready(make, case)
        _trained(backend, case)
        first, second = (_trained(backend, case, reset=True) for _ in range(2))
        # With dropout two resets are compared: Keras's first `fit` draws random numbers of its own
        # on PyTorch.
        repeats["reset"] = (first if case.masks else (loss, weights), second)
    deviations = {}
    for way, ((first_loss, first_weights), (loss_again, weights_again)) in repeats.items():
        deviations[f"{way}, loss"] = abs(first_loss - loss_again) / loss_tolerance
        for name, value in weight_differences(first_weights, weights_again):
            deviations[f"{way}, {name}"] = value / tolerance
    if case.masks or (case.job.mode == "native" and _is_random(ready(make, case))):
        # Other masks, weights or another shuffle change the loss by about a percent; rounding
        # changes it by a millionth.
        unchanged = abs(loss - other) <= tolerances.loss(case.depth)
        deviations["the seed changes nothing"] = INFINITE if unchanged else 0.0
    else:
        deviations["other seed, loss"] = abs(loss - other) / loss_tolerance
        deviations |= {
            f"other seed, {name}": value / tolerance
            for name, value in weight_differences(weights, changed)
        }
    return finding("repeat", deviations)


def _is_random(backend: Backend) -> bool:
    return backend.settings().get("random") is not False


def _trained(backend: Backend, case: Case, *, reset: bool = False) -> tuple[float, Weights]:
    """The loss of training on the case's order, without given masks, and the weights after it."""
    if reset:
        backend.reset(initial_weights(case.job.workload, case.job.seed))
    return backend.train_epoch(case.order), backend.get_weights()


def check_purity(make: MakeBackend, case: Case) -> Finding:
    """Check that calls have no side effects, and the names, shapes and types of their results.

    A backend must not change the arrays that it is given, must return copies of its own arrays, and
    must not train when it predicts.
    """
    backend, images, labels = ready(make, case), case.images.copy(), case.labels.copy()
    initial, given = backend.get_weights(), initial_weights(case.job.workload, case.job.seed)
    copies = {name: value.copy() for name, value in initial.items()}
    backend.train_epoch(case.order)
    before = {name: value.copy() for name, value in backend.get_weights().items()}
    logits, again = backend.predict(case.shown), backend.predict(case.shown)
    part = backend.predict(case.shown[:7])
    largest = max(1.0, float(np.abs(logits).max()))  # after training, logits may be large
    tolerance = tolerances.logits(case.depth) * largest
    tolerance *= tolerances.coarseness(case.job.precision)
    settings, kind = backend.settings(), kind_of(case.job.device)
    wrong = {
        "the images were changed": not np.array_equal(images, case.images),
        "the labels were changed": not np.array_equal(labels, case.labels),
        "weights differ after set and get": worst(weight_differences(initial, given)) > 0,
        "returned weights are no copies": worst(weight_differences(initial, copies)) > 0,
        "predicting trained": worst(weight_differences(backend.get_weights(), before)) > 0,
        "predicting twice differs": not np.array_equal(logits, again),
        "predicting depends on the batch": difference(part, logits[:7]) > tolerance,
        "shape of the logits": logits.shape != (len(case.shown), case.job.workload.input.classes),
        "type of the logits": str(logits.dtype) != "float32",
        "type of the weights": {str(value.dtype) for value in initial.values()} != {"float32"},
        f"the device is {settings['device']}": not any(
            word in str(settings["device"]).lower() for word in _DEVICE_WORDS.get(kind, (kind,))
        ),
        "compiled differs from the job": case.job.mode == "matched"
        and settings["compiled"] != case.job.compiled,
    }
    return finding(
        "purity", {text: INFINITE if is_wrong else 0.0 for text, is_wrong in wrong.items()}
    )


def check_long(make: MakeBackend, case: Case) -> Finding:
    """Compare the loss of an epoch over a whole data set, and every weight after it.

    With ReLU or max-pool only the loss is compared, as correct runs diverge.
    """
    order = epoch_order(case.job.workload, case.job.seed, 0, len(case.labels), case.job.batch_size)
    backend, reference = ready(make, case), make_reference(case)
    expected = reference.train_epoch(order)
    loss = abs(backend.train_epoch(order) - expected)
    if has_relu_or_max_pool(case.job):
        return finding("long", {"loss": loss / (tolerances.RELU_LOSS_SHARE * expected)})
    deviations = {"loss": loss / tolerances.loss(case.depth)}
    for name, value in weight_differences(backend.get_weights(), reference.get_weights()):
        deviations[name] = value / tolerances.weights(-(-len(order) // case.job.batch_size))
    return finding("long", deviations)


def check_sync(make: MakeBackend, case: Case) -> Finding:
    """Check that `sync` returns only when the work is done.

    Reading the weights directly after `sync` must take no longer than reading them after a pause.
    The smallest difference of several tries counts, so that one slow reading is no failure.
    """
    size = len(case.labels) // 2
    # A large batch: its step takes long enough to be measured.
    job = msgspec.structs.replace(case.job, batch_size=size)
    backend = ready(make, msgspec.structs.replace(case, job=job))
    order, clock = np.arange(size), measure.Clock()
    backend.train_epoch(order)  # compiles
    shares = []
    for _ in range(_TRIES):
        readings = []
        for pauses in (0.0, 1.0):
            begin = clock.wall()
            backend.train_epoch(order)
            backend.sync()
            seconds = clock.wall() - begin
            measure.pause(pauses * (seconds + _LEAST_PAUSE))
            begin = clock.wall()
            backend.get_weights()
            readings.append(clock.wall() - begin)
        shares.append((readings[0] - readings[1]) / seconds)
    return finding("sync", {"work after it": max(min(shares), 0.0) / tolerances.UNSYNCED_SHARE})


Check = Callable[[MakeBackend, Case], Finding]
# The checks of the computed values run on every model; the checks of a backend's behaviour on a
# few.
COMPUTES: Mapping[str, Check] = MappingProxyType(
    {"prediction": check_prediction, "steps": check_steps, "epoch": check_epoch}
)
BEHAVES: Mapping[str, Check] = MappingProxyType(
    {
        "calls": check_calls,
        "order": check_order,
        "extremes": check_extremes,
        "repeat": check_repeat,
        "purity": check_purity,
    }
)
# The checks for native mode, in which a framework has its own order and constants.
NATIVE: Mapping[str, Check] = MappingProxyType(
    {"prediction": check_prediction, "repeat": check_repeat, "purity": check_purity}
)
# The names of all checks, in the order in which reports show them. "float32" is only for bfloat16,
# see `lower`.
CHECKS = (*COMPUTES, "float32", "long", *BEHAVES, "sync", "dropout")


def weight_differences(actual: Weights, expected: Weights) -> Iterator[tuple[str, float]]:
    """Yield the largest difference of each weight; `INFINITE` if names or shapes differ."""
    if list(actual) != list(expected):
        yield "names of the weights", INFINITE
        return
    for name, value in expected.items():
        yield name, difference(actual[name], value)


def difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of two arrays; `INFINITE` if shapes differ or a value is NaN.

    NaN is replaced because every comparison with NaN is false, so no check would fail.
    """
    if actual.shape != expected.shape:
        return INFINITE
    largest = float(np.abs(actual.astype(np.float64) - expected).max(initial=0.0))
    return largest if np.isfinite(largest) else INFINITE


def worst(differences: Iterator[tuple[str, float]]) -> float:
    """The largest of several weights' differences, as `weight_differences` yields them."""
    return max(value for _, value in differences)


def finding(check: str, deviations: Mapping[str, float]) -> Finding:
    """The largest of several deviations, each in units of its tolerance; NaN becomes `INFINITE`."""
    numbers = {
        name: value if np.isfinite(value) else INFINITE for name, value in deviations.items()
    }
    where = max(numbers, key=lambda name: numbers[name])
    return Finding(
        check=check,
        deviation=min(numbers[where], INFINITE),
        where=where if numbers[where] > 0 else "nowhere",
    )
