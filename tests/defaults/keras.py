"""What Keras does unless told, on the engine that KERAS_BACKEND names."""

from functools import cache, partial
from importlib import import_module
from types import SimpleNamespace
from unittest import mock

import keras
import numpy as np
from keras import layers, optimizers

from tests.defaults.asking import (
    AVERAGED,
    COASTED,
    CORRECTED,
    DECAYED,
    ODD,
    PADDED,
    PLACES,
    REST,
    SCALED,
    TAKES,
    TIES,
    VARIANCE,
    answer,
    axes,
    cut,
    flattened,
    given,
    reduced,
    share,
    word,
)

NAME = keras.config.backend()
# Each environment has one engine, so the files of the others cannot be imported.
ENGINE = import_module("tests.defaults." + {"torch": "pytorch"}.get(NAME, NAME))


def ones(*shape):
    return np.ones(shape, np.float32)


def dense():
    layer = layers.Dense(5)
    layer.build((None, 4))
    return layer


def convolution():
    layer = layers.Conv2D(5, (2, 3))
    layer.build((None, 7, 8, 4))
    return layer


def kernel_initializers():
    made = [layer.kernel_initializer for layer in (dense(), convolution())]
    return " or ".join({type(initializer).__name__ for initializer in made})


def normal():
    return keras.ops.convert_to_numpy(keras.initializers.GlorotNormal(seed=0)((1000, 1000)))


def uniform():
    kind = keras.initializers.RandomUniform
    return f"{given(kind, 'minval')} to {given(kind, 'maxval')}"


def flat():
    images = np.arange(24.0).reshape(1, 2, 3, 4)
    return keras.ops.convert_to_numpy(layers.Flatten()(images))[0].tolist()


def odd_zero():
    first = layers.Conv2D(1, (1, 3), 2, "same")
    first.build((None, 1, 6, 1))
    first.kernel.assign(np.float32([1, 0, 0]).reshape(1, 3, 1, 1))
    return word(ODD, float(first(np.arange(1.0, 7.0).reshape(1, 1, 6, 1))[0, 0, 0, 0]))


def edge():
    return layers.AveragePooling2D(2, padding="same")(ones(1, 3, 3, 1))[0, 1, 1, 0]


def rest():
    return layers.MaxPooling2D(2)(ones(1, 5, 5, 1)).shape[1]


def tie():
    return ENGINE.slope(layers.MaxPooling2D(2), ones(1, 2, 2, 1))


def dropped():
    return keras.ops.convert_to_numpy(layers.Dropout(0.2)(ones(100_000), training=True))


def normed(momentum):
    norm = layers.BatchNormalization(momentum=momentum)
    norm(np.float32([[0], [2]]), training=True)
    return norm


def loss(times):
    example, label = np.float32([[0.25, 0.75]]), np.int32([1])
    entropy = keras.losses.SparseCategoricalCrossentropy()
    return float(entropy(label.repeat(times), example.repeat(times, 0)))


def step(kind, gradient=1e-3, **options):
    """How far one step moves a weight."""
    weight = keras.Variable(ones(1))
    kind(**{"learning_rate": 1.0, **options}).apply([keras.ops.full((1,), gradient)], [weight])
    return 1.0 - float(weight[0])


def rmsprop_step():
    return step(optimizers.RMSprop, rho=0.0, epsilon=1e-3)


def adagrad_step():
    return step(optimizers.Adagrad, initial_accumulator_value=0.0, epsilon=1e-3)


def adam_step():
    return step(optimizers.Adam, beta_1=0.5, beta_2=0.5, epsilon=1e-3)


def decayed_step():
    return step(optimizers.Adam, 0.0, learning_rate=0.5, weight_decay=0.1)


def coast():
    weight, optimizer = keras.Variable(ones(1)), optimizers.SGD(1.0, momentum=0.5)
    for rate, gradient in ((1.0, 1.0), (0.1, 0.0)):
        before, optimizer.learning_rate = float(weight[0]), rate
        optimizer.apply([keras.ops.full((1,), gradient)], [weight])
    return before - float(weight[0])


def compiled(**options):
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile(**options)
    return model


@cache
def fitted():
    """The loss that `fit` tells, and the batches that it made.

    The last eight of the forty examples lose 1, the others 0.
    """
    seen, built = [], False

    def loss(labels, outputs):
        if built:
            seen.append(keras.ops.convert_to_numpy(labels).ravel())
        return keras.ops.cast(labels >= 32, "float32") + 0 * outputs

    model = compiled(optimizer="sgd", loss=loss, run_eagerly=True)
    examples, labels = np.zeros((40, 1), np.float32), np.arange(40, dtype=np.float32)
    # The first `fit` builds the optimizer. On JAX it calls the loss with symbols, without values.
    model.fit(examples, labels, verbose=0)
    built = True
    history = model.fit(examples, labels, verbose=0)
    return history.history["loss"][0], seen


def seen_compiler():
    """Whether a model is compiled where TensorFlow sees no GPU, and where it sees one."""
    found = []
    for kind in ("CPU", "GPU"):
        devices = [SimpleNamespace(device_type=kind)]
        with mock.patch("tensorflow.config.list_physical_devices", return_value=devices):
            found.append(compiled().jit_compile)
    return {(False, True): "on only if a GPU is visible"}[tuple(found)]


QUESTIONS = {
    "kernel initializer": kernel_initializers,
    "bias initializer": lambda: type(dense().bias_initializer).__name__,
    "normal initializers": lambda: cut(normal()),
    "range of the uniform initializer": uniform,
    "dense kernel's axes": lambda: axes(dense().kernel.shape),
    "convolution kernel's axes": lambda: axes(convolution().kernel.shape),
    "image layout": lambda: keras.config.image_data_format().replace("_", " "),
    "flatten's order": lambda: flattened("height, width, channel", flat()),
    "extra row of 'same' padding, stride 2": odd_zero,
    "partial pooling window": lambda: word(REST, rest()),
    "average pooling over padding": lambda: word(PADDED, edge()),
    "relu's derivative at 0": lambda: ENGINE.slope(keras.activations.relu, ones(1) * 0).item(),
    "gradient of max pooling in a tie": lambda: word(TIES, tie()),
    "leaky_relu's slope": partial(given, keras.activations.leaky_relu, "negative_slope"),
    "meaning of dropout's rate": lambda: share(dropped()),
    "dropout's scaling": lambda: word(SCALED, dropped().max()),
    "batch norm's epsilon": partial(given, layers.BatchNormalization, "epsilon"),
    "batch norm's momentum": partial(given, layers.BatchNormalization, "momentum"),
    "meaning of batch norm's momentum": lambda: word(AVERAGED, normed(0.75).moving_mean.numpy()),
    "batch norm's running variance": lambda: word(VARIANCE, normed(0.0).moving_variance.numpy()),
    "cross-entropy takes": lambda: word(TAKES, loss(1)),
    "loss of a batch": lambda: reduced(loss(2), loss(1)),
    "loss of an epoch": lambda: word({0.2: "mean over its examples"}, fitted()[0]),
    "sgd's learning rate": partial(given, optimizers.SGD, "learning_rate"),
    "sgd's momentum": partial(given, optimizers.SGD, "momentum"),
    "sgd's nesterov": partial(given, optimizers.SGD, "nesterov"),
    "sgd's velocity": lambda: word(COASTED, coast()),
    "rmsprop's learning rate": partial(given, optimizers.RMSprop, "learning_rate"),
    "rmsprop's rho": partial(given, optimizers.RMSprop, "rho"),
    "rmsprop's epsilon": partial(given, optimizers.RMSprop, "epsilon"),
    "position of rmsprop's epsilon": lambda: word(PLACES, rmsprop_step()),
    "adagrad's learning rate": partial(given, optimizers.Adagrad, "learning_rate"),
    "adagrad's first accumulator": partial(given, optimizers.Adagrad, "initial_accumulator_value"),
    "adagrad's epsilon": partial(given, optimizers.Adagrad, "epsilon"),
    "position of adagrad's epsilon": lambda: word(PLACES, adagrad_step()),
    "adam's learning rate": partial(given, optimizers.Adam, "learning_rate"),
    "adam's epsilon": partial(given, optimizers.Adam, "epsilon"),
    "position of adam's epsilon": lambda: word(CORRECTED, adam_step()),
    "adam's weight decay": lambda: word(DECAYED, decayed_step()),
    "adamw's weight decay": partial(given, optimizers.AdamW, "weight_decay"),
    "adadelta's learning rate": partial(given, optimizers.Adadelta, "learning_rate"),
    "adadelta's rho": partial(given, optimizers.Adadelta, "rho"),
    "adadelta's epsilon": partial(given, optimizers.Adadelta, "epsilon"),
    "batch size": lambda: len(fitted()[1][0]),
    "shuffling": lambda: np.concatenate(fitted()[1]).tolist() != [*range(40)],
    "last partial batch": lambda: {40: "kept", 32: "dropped"}[sum(map(len, fitted()[1]))],
    "dtype": keras.config.floatx,
    "compiler": seen_compiler if NAME == "tensorflow" else lambda: compiled().jit_compile,
    **ENGINE.DEVICE,
}
UNASKED = ENGINE.UNASKED_DEVICE

if __name__ == "__main__":
    answer(QUESTIONS, UNASKED)
