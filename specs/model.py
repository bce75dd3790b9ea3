"""The language of workloads and suites, as records that decode their JSON files.

Where frameworks differ, the workload has a required key, or the behaviour is fixed here. These are
fixed for all workloads:

- images are pixels / 255, float32, channels last, and `flatten` keeps that order (height, width,
  channel);
- every epoch visits the training examples in a fresh permutation drawn from the seed;
- convolutions are cross-correlations; with padding "same" an axis of n pixels gives ceil(n /
  stride) values; if this needs an odd number of zeros, the extra one is at the end (as in
  TensorFlow; PyTorch refuses "same" with strides);
- pooling windows do not overlap, and a partial window at the edge is dropped; the first maximum of
  a window gets the gradient;
- the derivative of relu at 0 is 0; leaky_relu has the slope 0.01 below 0 (Maas 2013), elu the limit
  -1 (Clevert 2016);
- batch norm normalises by the biased variance, and its running variance averages the biased one;
  its scale starts at 1, its shift at 0, its running mean at 0 and its running variance at 1;
- biases start at 0; every loss is the mean over the batch; `dropout` scales the values that it
  keeps by 1 / (1 - rate);
- normal initializers are not truncated; the fan of a convolution is the number of channels times
  the size of the window; `uniform` is U(-0.05, 0.05);
- `adadelta` has its epsilon inside both roots and accumulates the update before the learning rate
  is applied (Zeiler 2012);
- `adamw` decays every weight, also biases and the weights of batch norm.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

# No layer of an MNIST-like model is wider than this. A larger number is a typing error, and would
# fail only later.
Size = Annotated[int, Meta(ge=1, le=1_000_000)]
Pair = tuple[Size, Size]
# Also a valid file name on every system.
Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")]
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
    """The base of all records: immutable, keywords only, unknown keys are refused."""


class _Tagged(_Record, frozen=True, tag_field="type"):
    """A record with a "type" key that says which kind of layer or optimizer it is."""


class Dense(_Tagged, frozen=True, tag="dense"):
    """`activation(x @ kernel + bias)` on vectors; kernel (inputs, units)."""

    units: Size
    activation: Activation


class Conv2d(_Tagged, frozen=True, tag="conv2d"):
    """A convolution over images; kernel (height, width, channels, filters).

    Padding "valid": the kernel stays inside the image. Padding "same": zeros are added around the
    image, so that an axis of n pixels gives ceil(n / stride) values.
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
    """`scale * (x - mean) / sqrt(variance + epsilon) + shift`.

    Computed per channel of an image, or per value of a vector. In training, mean and variance are
    the batch's, and `running = momentum * running + (1 - momentum) * batch's`; in prediction they
    are the running ones. `momentum` is the weight of the old value (as in Keras; in PyTorch it is
    the weight of the new value).
    """

    momentum: Fraction
    epsilon: Positive


class Flatten(_Tagged, frozen=True, tag="flatten"):
    """An image as a vector, in the order height, width, channel."""


class Dropout(_Tagged, frozen=True, tag="dropout"):
    """In training, sets a fraction `rate` of the values to 0; in prediction, does nothing."""

    rate: Fraction


Layer = Dense | Conv2d | MaxPool2d | AvgPool2d | BatchNorm | Flatten | Dropout


class Sgd(_Tagged, frozen=True, tag="sgd"):
    """`v = momentum * v - learning_rate * g; w = w + v`.

    With nesterov: `w = w + momentum * v - learning_rate * g`.
    """

    learning_rate: Positive
    momentum: Fraction
    nesterov: bool


class RmsProp(_Tagged, frozen=True, tag="rmsprop"):
    """`v = rho * v + (1 - rho) * g**2`, then one of two steps, which `epsilon_form` selects.

    inside_root: `w = w - learning_rate * g / sqrt(v + epsilon)` (Keras); outside_root: `w = w -
    learning_rate * g / (sqrt(v) + epsilon)` (PyTorch). With small gradients the two steps differ by
    a factor of a hundred for the same epsilon.
    """

    learning_rate: Positive
    rho: Fraction
    epsilon: Positive
    epsilon_form: Literal["inside_root", "outside_root"]


class Adagrad(_Tagged, frozen=True, tag="adagrad"):
    """`v = v + g**2`, then the step of `rmsprop` that `epsilon_form` selects (Duchi 2011).

    v starts at `initial_accumulator`.
    """

    learning_rate: Positive
    initial_accumulator: Annotated[float, Meta(ge=0)]
    epsilon: Positive
    epsilon_form: Literal["inside_root", "outside_root"]


class Adam(_Tagged, frozen=True, tag="adam"):
    """`m` and `v` average g and g**2 by beta_1 and beta_2 (Kingma and Ba 2015).

    `epsilon_form` selects the step t = 1, 2, ..., with `first = 1 - beta_1**t` and `second = 1 -
    beta_2**t`. after_correction: `w = w - learning_rate * (m / first) / (sqrt(v / second) +
    epsilon)` (PyTorch); before_correction: `w = w - learning_rate * sqrt(second) / first * m /
    (sqrt(v) + epsilon)` (Keras; the paper's epsilon hat). No constant epsilon makes the two equal.
    """

    learning_rate: Positive
    beta_1: Fraction
    beta_2: Fraction
    epsilon: Positive
    epsilon_form: Literal["after_correction", "before_correction"]


class AdamW(_Tagged, frozen=True, tag="adamw"):
    """`w = w - learning_rate * weight_decay * w`, then `adam` (Loshchilov and Hutter 2019)."""

    learning_rate: Positive
    beta_1: Fraction
    beta_2: Fraction
    epsilon: Positive
    epsilon_form: Literal["after_correction", "before_correction"]
    weight_decay: Annotated[float, Meta(ge=0)]


class Adadelta(_Tagged, frozen=True, tag="adadelta"):
    """`d = sqrt(u + epsilon) / sqrt(v + epsilon) * g; w = w - learning_rate * d`.

    v averages g**2 by rho, before d is computed; u averages d**2 by rho, after that.
    """

    learning_rate: Positive
    rho: Fraction
    epsilon: Positive


Optimizer = Sgd | RmsProp | Adagrad | Adam | AdamW | Adadelta


class Input(_Record, frozen=True):
    """The form of the data: images (height, width, channels) and labels 0 .. classes - 1."""

    shape: tuple[Size, Size, Size]
    classes: Annotated[int, Meta(ge=2, le=100_000)]


class Recipe(_Record, frozen=True):
    """The settings of a training except the model, its loss and its optimizer."""

    dataset: Name
    batch_size: Size
    epochs: Size
    initializer: Initializer
    last_partial_batch: Literal["keep", "drop"]
    target_accuracy: Accuracy | None = None


class Reference(_Record, frozen=True):
    """A published test accuracy of this workload after all its epochs, and its source."""

    accuracy: Accuracy
    source: str


class Workload(_Record, frozen=True):
    """One model and its training; every framework trains it in the same way.

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
    """A workload in a suite; its epochs, data set and batch size (default: the recipe's).

    A batch size above the number of training images stands for all of them.

    Attributes:
        native_epochs: the epochs of jobs in native mode, where they need more; default: the same.
            An iteration of L-BFGS counts as one.
    """

    workload: Name
    epochs: Size | None = None
    native_epochs: Size | None = None
    dataset: Name | None = None
    batch_size: Size | None = None


class Suite(_Record, frozen=True):
    """The workloads that a run covers.

    Attributes:
        rounds: how many times each job is run.
        dataset: if given, it replaces the recipes' data sets.
        turns: how many turns each backend takes after its epochs, see `bench.runner.turns`.
        backends: those that run unless the user names others; None for the default ones.
        native: those of them that also train as their framework's own guide does.
    """

    name: Name
    title: str
    workloads: Annotated[tuple[SuiteEntry, ...], Meta(min_length=1)]
    seeds: Annotated[tuple[Annotated[int, Meta(ge=0, le=2**32 - 1)], ...], Meta(min_length=1)]
    rounds: Size
    dataset: Name | None = None
    turns: Annotated[int, Meta(ge=0, le=1000)] = 9
    backends: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    native: tuple[str, ...] = ()
