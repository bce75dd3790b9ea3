"""A case to verify: a job, the examples of its first steps, and the reference's results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import msgspec
import numpy as np
from msgspec import Struct

from backends.contract import (
    PREDICTION_BATCH,
    Backend,
    Images,
    Job,
    Labels,
    Logits,
    Masks,
    Order,
    Weights,
)
from backends.reference.oracle import Reference
from bench.worker.verification.rounded import Rounded, on_cpu
from specs.initial import dropout_masks, epoch_order, initial_weights
from specs.model import MaxPool2d
from specs.shapes import infer_shapes

MakeBackend = Callable[[Job], Backend]

_STEPS = 10
# A derivative jumps at 0 in a ReLU, and at equal values in a max-pool. A value near a jump may be
# on one side of it in float32 and on the other side in float64. After such a flip two correct runs
# diverge (seen in the CNN, in a third of the seeds on each engine). A flip depends on the seed, but
# a wrong formula shows on every seed. So a model with ReLU or max-pool is tried on other seeds. It
# is also trained for more steps, so that its values have time to reach 0.
_RELUS = frozenset({"relu", "leaky_relu"})
_RELU_STEPS = 20
# In a lower precision units flip in every step, and the deviations of correct runs grow with them.
_LOWER_STEPS, _LOWER_RUNS = 5, 3


class Oracle(Struct, frozen=True, kw_only=True):
    """The reference's results for a case.

    Attributes:
        before, after: the logits (n, classes) before and after the training.
        losses, weights: the loss of every step, and the weights after it.
    """

    before: Logits
    losses: tuple[float, ...]
    weights: tuple[Weights, ...]
    after: Logits


_EMPTY = Oracle(
    before=np.zeros((0, 0), np.float32), losses=(), weights=(), after=np.zeros((0, 0), np.float32)
)


class Case(Struct, frozen=True, kw_only=True):
    """The input of a check.

    Attributes:
        job: the job to verify.
        images, labels: the training examples.
        order: (n,) indices of the examples to train on.
        masks: the values that dropout keeps, see `backends.contract.Backend.train_epoch`.
        oracle: the reference's results.
        rounded: for a lower precision, the results of references with rounding errors of that
            precision.
    """

    job: Job
    images: Images
    labels: Labels
    order: Order
    masks: Masks = ()
    oracle: Oracle = _EMPTY
    rounded: tuple[Oracle, ...] = ()

    @property
    def depth(self) -> int:
        """The number of layers with weights."""
        return sum(bool(shape.parameters) for shape in infer_shapes(self.job.workload))

    @property
    def shown(self) -> Images:
        """The images to predict: a full batch and three images of a second one."""
        return self.images[: PREDICTION_BATCH + 3]

    @property
    def mean_loss(self) -> float:
        """The mean loss of the order's examples, each in its own training step."""
        return float(
            np.average(self.oracle.losses, weights=[len(order) for order, _ in self.batches()])
        )

    def batches(self) -> Iterator[tuple[Order, Masks]]:
        """Yield the order and the masks, batch by batch."""
        for start in range(0, len(self.order), self.job.batch_size):
            part = slice(start, start + self.job.batch_size)
            yield self.order[part], [mask[part] for mask in self.masks]


def make_case(job: Job, images: Images, labels: Labels) -> Case:
    """A case with its dropout masks and the reference's results.

    Its examples are the first full batches of the job's first epoch (20 for a model with ReLU or
    max-pool, else 10; 5 in a lower precision), and a partial batch, a third as large.
    """
    is_lower = job.precision != "float32"
    steps = _RELU_STEPS if has_relu_or_max_pool(job) else _STEPS
    steps = _LOWER_STEPS if is_lower else steps
    count = steps * job.batch_size + job.batch_size // 3
    order = epoch_order(job.workload, job.seed, 0, len(labels), job.batch_size)[:count]
    masks = dropout_masks(job.workload, job.seed, 0, count)
    case = Case(job=job, images=images, labels=labels, order=order, masks=masks)
    exact = _oracle(case, make_reference(case))
    randoms = [np.random.RandomState(run) for run in range(_LOWER_RUNS if is_lower else 0)]
    rounded = [ready(partial(Rounded, random=random), case) for random in randoms]
    return msgspec.structs.replace(
        case, oracle=exact, rounded=tuple(_oracle(case, each) for each in rounded)
    )


def _oracle(case: Case, reference: Backend) -> Oracle:
    """The results of a reference for a case."""
    before = reference.predict(case.shown)
    steps = [(reference.train_epoch(*batch), reference.get_weights()) for batch in case.batches()]
    losses, weights = zip(*steps, strict=True)
    return Oracle(
        before=before, losses=losses, weights=weights, after=reference.predict(case.shown)
    )


def has_relu_or_max_pool(job: Job) -> bool:
    """Whether rounding may flip a unit of the job's model, so that correct runs diverge."""
    activations = {getattr(layer, "activation", None) for layer in job.workload.layers}
    return bool(activations & _RELUS) or any(
        isinstance(layer, MaxPool2d) for layer in job.workload.layers
    )


def ready(make: MakeBackend, case: Case, seed: int | None = None) -> Backend:
    """A new backend with the case's weights and examples.

    `seed` replaces the job's seed for everything except the weights.
    """
    backend = make(case.job if seed is None else msgspec.structs.replace(case.job, seed=seed))
    backend.set_weights(initial_weights(case.job.workload, case.job.seed))
    backend.load(case.images, case.labels)
    return backend


def make_reference(case: Case) -> Backend:
    """The reference with the case's weights and examples."""
    return ready(lambda job: Reference(on_cpu(job)), case)
