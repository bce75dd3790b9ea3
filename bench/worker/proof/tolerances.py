"""How far a float32 backend may be from the float64 reference: one table, each tolerance with its reason.

All follow from the type, the model's depth and the number of steps; none was widened to let a
backend pass. The backends of this project reach three quarters of one at most (on a CPU), the
mutants of the tests mostly hundreds.
"""

from __future__ import annotations

from math import sqrt

# float32 keeps 24 bits: a rounding is at most 6e-8 of the value.
ROUNDING = 2.0**-24


def logits(depth: int) -> float:
    """Of an untrained model: values of size 1, each the sum of up to 4,608 products whose errors mostly cancel.

    32 roundings per layer with weights (`depth` of them), whose errors are independent and add up
    as their root.
    """
    return 32 * sqrt(depth) * ROUNDING


def loss(depth: int) -> float:
    """Of a batch, or the mean over an epoch: about 2.3, by a logarithm, an exponential and a few sums of the logits."""
    return 2.3 * 8 * sqrt(depth) * ROUNDING


def weights(steps: int) -> float:
    """After some steps, of weights of size 1 that move by up to 4e-3 a step on gradients right to about 1e-5.

    1e-5, as an Adam whose 1 - beta^t was taken in float32 is off by that in its first step (Keras's
    is). Every step adds a rounding and such an error; they are independent, and random walks grow
    with the root of their steps.
    """
    return 3 * sqrt(steps) * (ROUNDING + 4e-3 * 1e-5)


# Of the mean loss over an epoch of a model with kinks, of which correct runs part: seen up to 2e-2
# of it in one batch, a tenth of that in the mean over hundreds of them.
KINKED_LOSS_SHARE = 2e-3

# The share of a training step that may still be under way when `sync` has returned: none, but a
# clock is read.
UNSYNCED_SHARE = 0.1

# Of the dropout counts, in standard deviations: by chance in one of 1e6 proofs, nearly all by the
# two chi-squares. See `conformance_dropout` for how wrong a dropout is seen.
DROPOUT_DEVIATIONS = 6.0

# The share of pixels for which all 16 examples of a batch were kept or all dropped: 0.625^16 is
# 0.0005, and of 100 pixels ten are beyond any chance.
DROPOUT_ALIKE_SHARE = 0.1
