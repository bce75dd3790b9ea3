"""The checks of the verification for TF32 and bfloat16, in place of those for float32.

Results are compared as shares: of the logits, of the loss, and of the change of a weight. The
tolerances follow from references that round as the backend does (see `rounded`). For bfloat16 two
more things are checked. Products must not be computed in float32, so a result that is too near to
the exact one fails. Loss, statistics of batch norm and weights must stay in float32.

The calls of an adapter (order, masks, partial batches) are the same in every precision; `bench
verify` checks them in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
from msgspec.structs import replace

from backends.contract import Job, Weights
from bench.worker.lines import INFINITE, Finding
from bench.worker.verification import tolerances
from bench.worker.verification.cases import Case, MakeBackend, make_reference, ready
from bench.worker.verification.checks import (
    Check,
    check_purity,
    check_repeat,
    finding,
)
from bench.worker.verification.expected import share
from bench.worker.verification.models import KEPT
from bench.worker.verification.training import in_float32, kept_in_bfloat16
from specs.initial import initial_weights
from specs.model import Loss

_LOSSES: tuple[Loss, ...] = ("softmax_cross_entropy", "mean_squared_error")
_EXAMPLES = 64
_PER_UNIT = 128  # numbers 1 + k / 128 are exact in bfloat16, and so is the bias
_BIAS = (0.5, -1.25, 0.75, -0.25)


def check_prediction(make: MakeBackend, case: Case) -> Finding:
    """Compare the logits of given weights before any training."""
    logits = ready(make, case).predict(case.shown)
    return finding("prediction", _logits_off(case, logits, "before"))


def check_steps(make: MakeBackend, case: Case) -> Finding:
    """Compare the loss and the change of every weight after each step, one call per batch."""
    backend, deviations = ready(make, case), {}
    start = initial_weights(case.job.workload, case.job.seed)
    for step, batch in enumerate(case.batches()):
        loss, after = backend.train_epoch(*batch), backend.get_weights()
        spread = max(abs(run.losses[step] / case.oracle.losses[step] - 1) for run in case.rounded)
        off = abs(loss / case.oracle.losses[step] - 1)
        tolerance = tolerances.share_of_loss(spread, case.job.precision)
        deviations[f"step {step}, loss"] = off / tolerance
        for name, value in _weights_off(case, start, after, step):
            deviations[f"step {step}, {name}"] = value
    return finding("steps", deviations)


def check_epoch(make: MakeBackend, case: Case) -> Finding:
    """Compare one call over all batches, as timed runs make it, and predictions after it."""
    backend = ready(make, case)
    start = initial_weights(case.job.workload, case.job.seed)
    loss, after = backend.train_epoch(case.order, case.masks), backend.get_weights()
    sizes = [len(order) for order, _ in case.batches()]
    means = [float(np.average(run.losses, weights=sizes)) for run in case.rounded]
    spread = max(abs(mean / case.mean_loss - 1) for mean in means)
    tolerance = tolerances.share_of_loss(spread, case.job.precision)
    deviations = {"loss": abs(loss / case.mean_loss - 1) / tolerance}
    deviations |= dict(_weights_off(case, start, after, -1))
    deviations |= _logits_off(case, backend.predict(case.shown), "after")
    return finding("epoch", deviations)


def check_float32(make: MakeBackend, job: Job) -> Finding:
    """Check that the loss, the statistics of batch norm and the weights are in float32.

    All inputs are exact in bfloat16, so nothing needs to be rounded before the loss and the
    statistics: the images of batch norm, the first layer, are from 1 to 2 in steps of 1/128; the
    last kernel is 0, so the logits are its bias. Then the weights are trained from numbers that are
    not exact in bfloat16.
    """
    random = np.random.RandomState(0)
    shape = (_EXAMPLES, *KEPT.input.shape)
    images = (1 + random.randint(_PER_UNIT, size=shape) / _PER_UNIT).astype(np.float32)
    labels = random.randint(KEPT.input.classes, size=_EXAMPLES)
    deviations: dict[str, float] = {}
    for loss in _LOSSES:
        own = replace(job, workload=replace(KEPT, loss=loss))
        case = Case(job=own, images=images, labels=labels, order=np.arange(_EXAMPLES))
        found = {**_inexact(make, case), "weights": _weights_short(make, case)}
        deviations |= {f"{loss}, {name}": value for name, value in found.items()}
    return finding("float32", deviations)


def _inexact(make: MakeBackend, case: Case) -> dict[str, float]:
    """The errors of a step's loss and statistics, in units of 2^-14."""
    weights: dict[str, np.ndarray] = dict(initial_weights(case.job.workload, case.job.seed))
    kernel, bias = (f"{len(case.job.workload.layers) - 1}.{name}" for name in ("kernel", "bias"))
    weights |= {kernel: np.zeros_like(weights[kernel]), bias: np.array(_BIAS, np.float32)}
    backend, reference = ready(make, case), make_reference(case)
    losses = []
    for each in (backend, reference):
        each.set_weights(weights)
        losses.append(each.train_epoch(case.order[: case.job.batch_size]))
    off = {"loss": abs(losses[0] / losses[1] - 1)}
    actual, right = backend.get_weights(), reference.get_weights()
    for name in (name for name in right if name.endswith((".mean", ".variance"))):
        off[name] = share(actual[name] - right[name], right[name])
    return {name: value / tolerances.IN_FLOAT32 for name, value in off.items()}


def _weights_short(make: MakeBackend, case: Case) -> float:
    """`INFINITE` if the trained weights are numbers of bfloat16, else 0."""
    backend, start = ready(make, case), initial_weights(case.job.workload, case.job.seed)
    backend.train_epoch(case.order)
    return INFINITE if kept_in_bfloat16(start, backend.get_weights()) else 0.0


def _logits_off(case: Case, logits: np.ndarray, when: str) -> dict[str, float]:
    """The deviations of logits "before" or "after" the training."""
    exact = getattr(case.oracle, when).astype(np.float64)
    if logits.shape != exact.shape:
        return {f"shape of the logits {when}": INFINITE}
    spread = max(share(getattr(run, when) - exact, exact) for run in case.rounded)
    off = share(logits - exact, exact)
    deviations = {f"logits {when}": off / tolerances.share(spread, case.job.precision)}
    if case.job.precision == "bfloat16" and exact.any():
        deviations[f"products of the logits {when} are of float32"] = in_float32(off)
    return deviations


def _weights_off(
    case: Case, start: Weights, after: Weights, step: int
) -> Iterator[tuple[str, float]]:
    """Yield the deviation of each weight's change after a step, unless rounding decides it."""
    if list(after) != list(start):
        yield "names of the weights", INFINITE
        return
    farthest, precision = 0.0, case.job.precision
    for name, value in start.items():
        right = case.oracle.weights[step][name].astype(np.float64) - value
        runs = [run.weights[step][name] - value - right for run in case.rounded]
        spread = max(share(difference, right) for difference in runs)
        off = share(after[name] - value - right, right)
        farthest = max(farthest, off if name.endswith(".kernel") else 0.0)
        if tolerances.is_decided(spread, precision) or not np.isfinite(off):
            yield name, off / tolerances.share(spread, precision)
    if precision == "bfloat16":
        yield "products are of float32", in_float32(farthest)
        yield "weights are of bfloat16", INFINITE * kept_in_bfloat16(start, after)


# The checks of the computed values run on every model; those of a backend's behaviour on a few.
COMPUTES_LOWER: Mapping[str, Check] = MappingProxyType(
    {"prediction": check_prediction, "steps": check_steps, "epoch": check_epoch}
)
BEHAVES_LOWER: Mapping[str, Check] = MappingProxyType(
    {"repeat": check_repeat, "purity": check_purity}
)
