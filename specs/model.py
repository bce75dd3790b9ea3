"""The language: records for a workload and a suite. What frameworks disagree on is a required key or fixed here.

Fixed for every workload, because a choice would only be a way to differ:

- images are pixels / 255, float32, channels last, and `flatten` keeps that order (height, width,
  channel);
- every epoch visits the training examples in a fresh permutation drawn from the seed;
- convolutions are cross-correlations; with padding "same" an axis of n pixels gives ceil(n /
  stride), and of the zeros that this takes the odd one stands at the end (TensorFlow's rule;
  PyTorch has none for strides);
- pools do not overlap and drop what does not fill one; the first maximum of a window takes the
  gradient;
- the derivative of relu at 0 is 0; leaky_relu has the slope 0.01 below 0 (Maas 2013), elu the limit
  -1 (Clevert 2016);
- batch norm normalises by the biased variance and averages that one too; its scale starts at 1, its
  shift at 0, its running mean at 0 and its running variance at 1;
- biases start at 0; every loss is the mean over the batch; `dropout` scales what it keeps by 1 / (1
  - rate);
- normal initializers are not truncated, a convolution's fans count its window, `uniform` is
  U(-0.05, 0.05);
- `adadelta` has its epsilon inside both roots and accumulates the update before the learning rate
  (Zeiler 2012);
- `adamw` decays every weight, biases and batch norm's too.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

# No layer of a MNIST-like model is wider than this; a larger number is a typing error, and would
# only fail later.
Size = Annotated[int, Meta(ge=1, le=1_000_000)]
Pair = tuple[Size, Size]
Name = Annotated[
    str, Meta(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")
]  # also a file name, on every system
Positive = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]
Accuracy = Annotated[float, Meta(ge=0, le=1)]
Activation = Literal["linear", "relu", "leaky_relu", "elu", "softplus", "sigmoid", "tanh"]
Initializer = Literal[
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_normal", "uniform", "zeros"
]
Loss = Literal["softmax_cross_entropy", "mean_squared_error"]
LEAKY_SLOPE = 0.01


class _Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every record of the language is: immutable, keywords only, strict about its keys."""


class _Tagged(_Record, frozen=True, tag_field="type"):
    """A record that is told from its siblings by its "type" key."""


class Dense(_Tagged, frozen=True, tag="dense"):
    """`activation(x @ kernel + bias)` on vectors; kernel (inputs, units)."""

    units: Size
    activation: Activation


class Conv2d(_Tagged, frozen=True, tag="conv2d"):
    """A convolution over images; kernel (height, width, channels, filters).

    valid: only where the whole kernel lies on the image; same: zeros around it, see above.
    """

    filters: Size
    kernel_size: Pair
    strides: Pair
    padding: Literal["valid", "same"]
    activation: Activation


class MaxPool2d(_Tagged, frozen=True, tag="max_pool2d"):
    """The largest value of each window."""

    pool_size: Pair


class AvgPool2d(_Tagged, frozen=True, tag="avg_pool2d"):
    """The mean of each window."""

    pool_size: Pair


class BatchNorm(_Tagged, frozen=True, tag="batch_norm"):
    """`scale * (x - mean) / sqrt(variance + epsilon) + shift`, per channel of an image, per value of a vector.

    In training, mean and variance are the batch's, and `running = momentum * running + (1 -
    momentum) * batch's`; in prediction they are the running ones. `momentum` is the share kept
    (Keras's meaning; PyTorch's is the other share).
    """

    momentum: Fraction
    epsilon: Positive


class Flatten(_Tagged, frozen=True, tag="flatten"):
    """An image as a vector, in the order height, width, channel."""


class Dropout(_Tagged, frozen=True, tag="dropout"):
    """In training, sets a share `rate` of the values to 0; in prediction, does nothing."""

    rate: Fraction


Layer = Dense | Conv2d | MaxPool2d | AvgPool2d | BatchNorm | Flatten | Dropout


class Sgd(_Tagged, frozen=True, tag="sgd"):
    """`v = momentum * v - learning_rate * g; w = w + v`; nesterov: `w = w + momentum * v - learning_rate * g`."""

    learning_rate: Positive
    momentum: Fraction
    nesterov: bool


class RmsProp(_Tagged, frozen=True, tag="rmsprop"):
    """`v = rho * v + (1 - rho) * g**2`, then, by the form of epsilon, one of two steps.

    inside_root: `w = w - learning_rate * g / sqrt(v + epsilon)` (Keras); outside_root: `... /
    (sqrt(v) + epsilon)` (PyTorch). With small gradients the same epsilon gives steps a hundred
    times apart.
    """

    learning_rate: Positive
    rho: Fraction
    epsilon: Positive
    epsilon_form: Literal["inside_root", "outside_root"]


class Adagrad(_Tagged, frozen=True, tag="adagrad"):
    """`v = v + g**2`, v from `initial_accumulator`; then as `rmsprop`, by the form of epsilon (Duchi 2011)."""

    learning_rate: Positive
    initial_accumulator: Annotated[float, Meta(ge=0)]
    epsilon: Positive
    epsilon_form: Literal["inside_root", "outside_root"]


class Adam(_Tagged, frozen=True, tag="adam"):
    """`m` and `v` average g and g**2 by beta_1 and beta_2; step t = 1, 2, ... by the form of epsilon (Kingma, Ba 2015).

    With `first = 1 - beta_1**t` and `second = 1 - beta_2**t`:
    after_correction: `w = w - learning_rate * (m / first) / (sqrt(v / second) + epsilon)`
    (PyTorch); before_correction: `w = w - learning_rate * sqrt(second) / first * m / (sqrt(v) +
    epsilon)` (Keras; the paper's epsilon hat). No constant epsilon makes one the other.
    """

    learning_rate: Positive
    beta_1: Fraction
    beta_2: Fraction
    epsilon: Positive
    epsilon_form: Literal["after_correction", "before_correction"]


class AdamW(_Tagged, frozen=True, tag="adamw"):
    """`w = w - learning_rate * weight_decay * w`, then as `adam` (Loshchilov and Hutter 2019)."""

    learning_rate: Positive
    beta_1: Fraction
    beta_2: Fraction
    epsilon: Positive
    epsilon_form: Literal["after_correction", "before_correction"]
    weight_decay: Annotated[float, Meta(ge=0)]


class Adadelta(_Tagged, frozen=True, tag="adadelta"):
    """`d = sqrt(u + epsilon) / sqrt(v + epsilon) * g; w = w - learning_rate * d`; v and u average g**2 and d**2."""

    learning_rate: Positive
    rho: Fraction
    epsilon: Positive


Optimizer = Sgd | RmsProp | Adagrad | Adam | AdamW | Adadelta


class Input(_Record, frozen=True):
    """What the data must look like: images (height, width, channels), labels 0 .. classes - 1."""

    shape: tuple[Size, Size, Size]
    classes: Annotated[int, Meta(ge=2, le=100_000)]


class Recipe(_Record, frozen=True):
    """How to train: everything about a training that is neither the model nor its optimizer."""

    dataset: Name
    batch_size: Size
    epochs: Size
    initializer: Initializer
    last_partial_batch: Literal["keep", "drop"]
    target_accuracy: Accuracy | None = None


class Reference(_Record, frozen=True):
    """A test accuracy somebody published for this workload at full length, and where."""

    accuracy: Accuracy
    source: str


class Workload(_Record, frozen=True):
    """One model and how to train it: the unit that every framework trains alike.

    Losses: softmax_cross_entropy of the logits; mean_squared_error, over batch and classes, between
    the softmax of the logits and the one-hot label.
    """

    name: Name
    title: str
    input: Input
    layers: Annotated[tuple[Layer, ...], Meta(min_length=1, max_length=1000)]
    loss: Loss
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
