"""The language: records for a workload and a suite. What frameworks disagree on is a required key or fixed here.

Fixed for every workload, because a choice would only be a way to differ:

- images are pixels / 255, float32, channels last, and `flatten` keeps that order (height, width, channel);
- every epoch visits the training examples in a fresh permutation drawn from the seed;
- convolutions are cross-correlations without padding, stride 1; pools do not overlap and drop what does not fill one;
- the first maximum of a pool window takes the gradient; the derivative of relu at 0 is 0;
- biases start at 0; the loss is the mean over the batch; `dropout` scales what it keeps by 1 / (1 - rate);
- `adadelta` has its epsilon inside both roots and accumulates the update before the learning rate (Zeiler 2012).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

# No layer of a MNIST-like model is wider than this; a larger number is a typing error, and would only fail later.
Size = Annotated[int, Meta(ge=1, le=1_000_000)]
Pair = tuple[Size, Size]
Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")]  # also a file name, on every system
Positive = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]
Accuracy = Annotated[float, Meta(ge=0, le=1)]
# What `bench` can get; a recipe may name another, and is then told so before anything runs.
DATASETS = ("mnist", "mnist-5k", "synthetic")
Activation = Literal["linear", "relu", "sigmoid", "tanh"]


class _Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every record of the language is: immutable, keywords only, strict about its keys."""


class _Tagged(_Record, frozen=True, tag_field="type"):
    """A record that is told from its siblings by its "type" key."""


class Dense(_Tagged, frozen=True, tag="dense"):
    """`activation(x @ kernel + bias)` on vectors; kernel (inputs, units)."""

    units: Size
    activation: Activation


class Conv2d(_Tagged, frozen=True, tag="conv2d"):
    """A convolution over images; kernel (height, width, channels, filters)."""

    filters: Size
    kernel_size: Pair
    activation: Activation


class MaxPool2d(_Tagged, frozen=True, tag="max_pool2d"):
    """The largest value of each window."""

    pool_size: Pair


class Flatten(_Tagged, frozen=True, tag="flatten"):
    """An image as a vector, in the order height, width, channel."""


class Dropout(_Tagged, frozen=True, tag="dropout"):
    """In training, sets a share `rate` of the values to 0; in prediction, does nothing."""

    rate: Fraction


Layer = Dense | Conv2d | MaxPool2d | Flatten | Dropout


class Sgd(_Tagged, frozen=True, tag="sgd"):
    """`v = momentum * v - learning_rate * g; w = w + v`."""

    learning_rate: Positive
    momentum: Fraction


class RmsProp(_Tagged, frozen=True, tag="rmsprop"):
    """`v = rho * v + (1 - rho) * g**2`, then, by the form of epsilon, one of two steps.

    inside_root: `w = w - learning_rate * g / sqrt(v + epsilon)` (Keras); outside_root: `... / (sqrt(v) + epsilon)`
    (PyTorch). With small gradients the same epsilon gives steps a hundred times apart.
    """

    learning_rate: Positive
    rho: Fraction
    epsilon: Positive
    epsilon_form: Literal["inside_root", "outside_root"]


class Adadelta(_Tagged, frozen=True, tag="adadelta"):
    """`d = sqrt(u + epsilon) / sqrt(v + epsilon) * g; w = w - learning_rate * d`; v and u average g**2 and d**2."""

    learning_rate: Positive
    rho: Fraction
    epsilon: Positive


Optimizer = Sgd | RmsProp | Adadelta


class Input(_Record, frozen=True):
    """What the data must look like: images (height, width, channels), labels 0 .. classes - 1."""

    shape: tuple[Size, Size, Size]
    classes: Annotated[int, Meta(ge=2, le=100_000)]


class Recipe(_Record, frozen=True):
    """How to train: everything about a training that is neither the model nor its optimizer."""

    dataset: Name
    batch_size: Size
    epochs: Size
    initializer: Literal["glorot_uniform"]
    last_partial_batch: Literal["keep", "drop"]
    target_accuracy: Accuracy | None = None


class Reference(_Record, frozen=True):
    """A test accuracy somebody published for this workload at full length, and where."""

    accuracy: Accuracy
    source: str


class Workload(_Record, frozen=True):
    """One model and how to train it: the unit that every framework trains alike."""

    name: Name
    title: str
    input: Input
    layers: Annotated[tuple[Layer, ...], Meta(min_length=1, max_length=1000)]
    loss: Literal["softmax_cross_entropy"]
    optimizer: Optimizer
    recipe: Recipe
    references: tuple[Reference, ...] = ()


class SuiteEntry(_Record, frozen=True):
    """A workload in a suite, and for how many epochs (the recipe's, if not said)."""

    workload: Name
    epochs: Size | None = None


class Suite(_Record, frozen=True):
    """Which workloads a run covers. `dataset` replaces the recipes' own."""

    name: Name
    title: str
    workloads: Annotated[tuple[SuiteEntry, ...], Meta(min_length=1)]
    seeds: Annotated[tuple[Annotated[int, Meta(ge=0, le=2**32 - 1)], ...], Meta(min_length=1)]
    rounds: Size
    dataset: Name | None = None
