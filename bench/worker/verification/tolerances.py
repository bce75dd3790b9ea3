"""The tolerances: the largest allowed deviations of a backend from the float64 reference.

For `bench verify`'s small models they follow from the type, the model's depth and the number of
steps; none was widened to let a backend pass. On a CPU, this project's backends deviate by at most
three quarters of a tolerance, the wrong backends in the tests mostly by hundreds of tolerances. For
a job's own first steps, at the end of this file, the tolerances follow from how much rounding
errors change the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from types import MappingProxyType

import numpy as np

# float32 keeps 24 bits: a rounding is at most 6e-8 of the value.
ROUNDING = 2.0**-24
# The number of bits of the factors of products: a rounding is at most 2^-bits of the value.
BITS: Mapping[str, int] = MappingProxyType({"float32": 24, "tf32": 11, "bfloat16": 8})


def coarseness(precision: str) -> float:
    """The rounding error of a precision divided by float32's."""
    return 2.0 ** (BITS["float32"] - BITS[precision])


def logits(depth: int) -> float:
    """The tolerance of an untrained model's logits, which have values of size 1.

    Each value is the sum of up to 4,608 products, whose errors mostly cancel. 32 roundings are
    allowed per layer with weights; there are `depth` such layers. The errors of the layers are
    independent, so their sum grows with the square root of their number.
    """
    return 32 * sqrt(depth) * ROUNDING


def probabilities(depth: int, largest_logit: float) -> float:
    """The tolerance of the probabilities of a trained model, predicted from the same weights.

    Rounding errors of logits grow with their size; those of a trained model are larger than 1. A
    softmax changes no probability by more than half of the largest change of a logit.
    """
    return 0.5 * max(1.0, largest_logit) * logits(depth)


def loss(depth: int) -> float:
    """The tolerance of the loss of a batch, or of its mean over an epoch.

    The loss is about 2.3; it takes a logarithm, an exponential and a few sums of the logits.
    """
    return 2.3 * 8 * sqrt(depth) * ROUNDING


def weights(steps: int) -> float:
    """The tolerance of weights after some steps.

    The weights are of size 1. A step changes them by up to 4e-3, with a relative error of about
    1e-5: an Adam that computes 1 - beta^t in float32, as Keras's does, has this error in its first
    step. Every step adds a rounding and an error of this size. The errors are independent, so their
    sum grows with the square root of the number of steps.
    """
    return 3 * sqrt(steps) * (ROUNDING + 4e-3 * 1e-5)


# The share by which the mean loss over an epoch may differ for a model with ReLU or max-pool.
# Correct runs of such a model diverge: by up to 2e-2 of the loss in one batch (measured), and by a
# tenth of that in the mean over hundreds of batches.
RELU_LOSS_SHARE = 2e-3

# The share of a training step that may still be running when `sync` has returned. It should be 0;
# the tolerance allows for the error of the clock.
UNSYNCED_SHARE = 0.1

# The tolerance of dropout's counts, in standard deviations. A correct dropout exceeds it by chance
# in one of 1e6 verifications, nearly always in one of the two chi-squares.
# `bench.worker.verification.dropout.check_dropout` says which errors of dropout are found.
DROPOUT_DEVIATIONS = 6.0

# The largest share of pixels that dropout may keep for all 16 examples of a batch, or drop for all.
# The probability of that is 0.625^16 = 0.0005 for a pixel, so chance never gives ten of 100 pixels.
DROPOUT_ALIKE_SHARE = 0.1

# The tolerances of a job's own first steps. Sizes are shares: of the loss, or of the Euclidean norm
# of a weight's change. `spread` is how much rounding errors of size `NUDGE` change the reference
# (see `bench.worker.verification.expected`). `NUDGE` is about four times the error of a product, as
# a sum of hundreds of products has a larger error.
_SPREADS = 4.0
_LEAST_SHARE, _LEAST_SHARE_OF_LOSS = 2e-5, 4e-6
# With a larger spread rounding decides: the weight is not compared.
_MOST_SPREAD = 0.06
# With a larger spread a unit has flipped in the reference, and a comparison would see little.
_FLIPPED = 1e-3

# In a lower precision the spread is measured with a reference that rounds as the backend does (see
# `rounded`). It includes the few units that flip in every step. The least share is a rounding; for
# the loss, a mean over the batch, a quarter of it. A tolerance is at most 0.8, so that a doubled or
# missing change is always found.
_MOST_SPREAD_OF_LOWER = 0.2
_FLIPPED_OF_LOWER = 0.05  # of the loss: correct runs diverge at once
# A result of bfloat16 that is nearer than this to the exact one was computed in float32. Rounded
# factors change a result by about half of 2^-8, float32 by about 2^-22.
IN_FLOAT32 = 2.0**-14
# About 2^-16 of the values in float32 happen to be numbers of bfloat16.
MOST_IN_BFLOAT16 = 0.5

# A deviation below this needs no second try.
CLEAR = 0.5

# With dropout: the allowed number of standard deviations over masks, and the least tolerance. The
# deviation is estimated from a few trainings, so it may be half of the true one.
_DEVIATIONS_OF_MASKS, _DEVIATIONS_OF_LOSS = 10.0, 8.0
_LEAST_WITH_MASKS, _LEAST_OF_LOSS_WITH_MASKS = 0.3, 0.01


# The largest random error of a weight in a noisy run of the reference, as a share.
NUDGE = 4 * ROUNDING


def gradient_nudge(terms: int) -> float:
    """The largest random error of a gradient, as a share of the largest gradient of its tensor.

    The rounding error of a sum grows with the square root of the number of its terms.
    """
    return 0.5 * sqrt(terms) * ROUNDING


def parts_of_update(batch_size: int, examples_per_sum: int | None) -> float:
    """The growth of the rounding error of a weight's update, if it is added in parts.

    The errors of the parts are independent. With a batch of 60,000 examples, Theano's softmax had
    12.6 times the error of a gradient that is one sum, and a product alone 13.6 times: OpenBLAS
    adds parts of 320 to 380 examples.

    Args:
        batch_size: the examples of a step.
        examples_per_sum: see `backends.contract.SumsIntoWeights`; None for other backends.
    """
    return sqrt(max(1.0, batch_size / examples_per_sum)) if examples_per_sum else 1.0


def share(spread: float, precision: str) -> float:
    """The tolerance of the change of a weight, or of logits after the training."""
    least = _LEAST_SHARE if precision == "float32" else 2.0 ** -BITS[precision]
    return _SPREADS * spread + least


def share_of_loss(spread: float, precision: str) -> float:
    """The tolerance of the mean loss."""
    least = _LEAST_SHARE_OF_LOSS if precision == "float32" else 2.0 ** -BITS[precision] / 4
    return _SPREADS * spread + least


def is_decided(spread: float, precision: str) -> bool:
    """Whether rounding leaves enough of the change of a weight to compare it."""
    most = _MOST_SPREAD if precision == "float32" else _MOST_SPREAD_OF_LOWER
    return spread <= most


def is_flipped(spread_of_loss: float, precision: str) -> bool:
    """Whether rounding changes the loss so much that a comparison would see little."""
    most = _FLIPPED if precision == "float32" else _FLIPPED_OF_LOWER
    return spread_of_loss > most


def of_lower(precision: str, values: np.ndarray) -> float:
    """What a lower precision adds to the tolerance of values computed from few products."""
    if precision == "float32":
        return 0.0
    return 4 * 2.0 ** -BITS[precision] * float(np.abs(values).max(initial=0.0))


def with_masks(deviation: float) -> float:
    """The tolerance of a size or direction that varies with dropout's masks, as a share.

    `deviation` is its standard deviation, as a share too.
    """
    return _DEVIATIONS_OF_MASKS * deviation + _LEAST_WITH_MASKS


def loss_with_masks(deviation: float) -> float:
    """The same for the loss."""
    return _DEVIATIONS_OF_LOSS * deviation + _LEAST_OF_LOSS_WITH_MASKS
