"""What Chainer does unless told."""

from functools import partial

import chainer
import numpy as np
from chainer import functions, initializers, links, optimizers
from chainer.iterators import SerialIterator

from tests.defaults.asking import (
    AVERAGED,
    COASTED,
    CORRECTED,
    DECAYED,
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
    named,
    reduced,
    share,
    word,
)


def ones(*shape):
    return np.ones(shape, np.float32)


def kernel():
    inputs = 100
    draws = links.Linear(inputs, 10_000).W.array
    # A normal distribution's mean size is 0.798 deviations; a uniform one's is 0.866.
    found = draws.std() * inputs**0.5, abs(draws).mean() / draws.std()
    return word({(1.0, 0.8): "normal, deviation 1/√inputs"}, np.round(found, 1))


def drawn(initializer, shape=(1000, 1000)):
    array = np.empty(shape, np.float32)
    initializer(array)
    return array


def uniform():
    scale = given(initializers.Uniform.__init__, "scale")
    return f"{-scale} to {scale}"


def layout():
    return {5: "channels first"}[links.Convolution2D(4, 5, (2, 3))(ones(1, 4, 7, 8)).shape[1]]


def slope(function, x):
    x = chainer.Variable(x)
    functions.sum(function(x)).backward()
    return x.grad


def rest():
    return functions.max_pooling_2d(ones(1, 1, 5, 5), 2).shape[2]


def edge():
    return functions.average_pooling_2d(ones(1, 1, 2, 2), 2, pad=1).array[0, 0, 0, 0]


def dropped():
    return functions.dropout(ones(100_000), 0.2).array


def normed(decay):
    norm = links.BatchNormalization(1, decay=decay)
    norm(np.array([[0.0], [2.0]], np.float32))
    return norm


def loss(times):
    example, label = np.array([[0.25, 0.75]], np.float32), np.array([1], np.int32)
    return functions.softmax_cross_entropy(example.repeat(times, 0), label.repeat(times)).item()


def step(optimizer, gradients=(1e-3,), rates=()):
    """How far the last step moves a weight."""
    link = chainer.Link()
    with link.init_scope():
        link.weight = chainer.Parameter(np.ones(1))
    optimizer.setup(link)
    for position, gradient in enumerate(gradients):
        before = link.weight.array.item()
        if rates:
            optimizer.lr = rates[position]
        link.weight.grad = np.full(1, gradient)
        optimizer.update()
    return before - link.weight.array.item()


def nesterov():
    """Whether the optimizer with momentum is Nesterov's: its first step is (1 + momentum) lr g."""
    return round(step(optimizers.MomentumSGD(1.0, 0.5), (1.0,)), 3) == 1.5


def last_batch():
    iterator = SerialIterator(range(5), 2, shuffle=False)
    batches = [iterator.next() for _ in range(3)]
    return {(4, 0): "filled from the next epoch", (4,): "kept"}[tuple(batches[-1])]


def shuffled():
    return SerialIterator(range(99), 99).next() != [*range(99)]


def init(kind, name):
    return given(kind.__init__, name)


def adam_step():
    return step(optimizers.Adam(alpha=1.0, beta1=0.5, beta2=0.5, eps=1e-3))


def decay():
    optimizer = optimizers.Adam(alpha=0.5, weight_decay_rate=0.05)
    return word(DECAYED, step(optimizer, (0.0,)))


QUESTIONS = {
    "kernel initializer": kernel,
    "bias initializer": lambda: float(abs(links.Linear(4, 5).b.array).max()),
    "normal initializers": lambda: cut(drawn(initializers.GlorotNormal())),
    "range of the uniform initializer": uniform,
    "dense kernel's axes": lambda: axes(links.Linear(4, 5).W.shape),
    "convolution kernel's axes": lambda: axes(links.Convolution2D(4, 5, (2, 3)).W.shape),
    "image layout": layout,
    "flatten's order": lambda: flattened(
        "channel, height, width", functions.flatten(np.arange(24.0).reshape(2, 3, 4)).array.tolist()
    ),
    # Its padding is a number for both sides of an axis.
    "extra row of 'same' padding, stride 2": partial(named, functions, "same"),
    "partial pooling window": lambda: word(REST, rest()),
    "average pooling over padding": lambda: word(PADDED, edge()),
    "relu's derivative at 0": lambda: slope(functions.relu, np.zeros(1, np.float32)).item(),
    "gradient of max pooling in a tie": lambda: word(
        TIES, slope(lambda x: functions.max_pooling_2d(x, 2), ones(1, 1, 2, 2))
    ),
    "leaky_relu's slope": partial(given, functions.leaky_relu, "slope"),
    "meaning of dropout's rate": lambda: share(dropped()),
    "dropout's scaling": lambda: word(SCALED, dropped().max()),
    "batch norm's epsilon": partial(init, links.BatchNormalization, "eps"),
    "batch norm's momentum": partial(init, links.BatchNormalization, "decay"),
    "meaning of batch norm's momentum": lambda: word(AVERAGED, normed(0.75).avg_mean),
    "batch norm's running variance": lambda: word(VARIANCE, normed(0.0).avg_var),
    "cross-entropy takes": lambda: word(TAKES, loss(1)),
    "loss of a batch": lambda: reduced(loss(2), loss(1)),
    "sgd's learning rate": partial(init, optimizers.SGD, "lr"),
    "sgd's momentum": partial(init, optimizers.MomentumSGD, "momentum"),
    "sgd's nesterov": nesterov,
    "sgd's velocity": lambda: word(
        COASTED, step(optimizers.MomentumSGD(momentum=0.5), (1.0, 0.0), (1.0, 0.1))
    ),
    "rmsprop's learning rate": partial(init, optimizers.RMSprop, "lr"),
    "rmsprop's rho": partial(init, optimizers.RMSprop, "alpha"),
    "rmsprop's epsilon": partial(init, optimizers.RMSprop, "eps"),
    "position of rmsprop's epsilon": lambda: word(
        PLACES, step(optimizers.RMSprop(lr=1.0, alpha=0.0, eps=1e-3))
    ),
    "adagrad's learning rate": partial(init, optimizers.AdaGrad, "lr"),
    "adagrad's first accumulator": partial(init, optimizers.AdaGrad, "initial_accumulator"),
    "adagrad's epsilon": partial(init, optimizers.AdaGrad, "eps"),
    "position of adagrad's epsilon": lambda: word(
        PLACES, step(optimizers.AdaGrad(lr=1.0, eps=1e-3))
    ),
    "adam's learning rate": partial(init, optimizers.Adam, "alpha"),
    "adam's epsilon": partial(init, optimizers.Adam, "eps"),
    "position of adam's epsilon": lambda: word(CORRECTED, adam_step()),
    "adam's weight decay": decay,
    "adamw's weight decay": partial(init, optimizers.Adam, "weight_decay_rate"),
    "adadelta's learning rate": partial(init, optimizers.AdaDelta, "lr"),
    "adadelta's rho": partial(init, optimizers.AdaDelta, "rho"),
    "adadelta's epsilon": partial(init, optimizers.AdaDelta, "eps"),
    "batch size": partial(init, SerialIterator, "batch_size"),
    "shuffling": shuffled,
    "last partial batch": last_batch,
    "dtype": lambda: str(chainer.get_dtype()),
    "TF32 in matrix products": partial(named, functions, "tf32"),
    "TF32 in convolutions": partial(named, functions, "tf32"),
    "compiler": lambda: bool(named(chainer, "compile")),
    "autotuning of GPU kernels": lambda: chainer.config.autotune,
}
UNASKED = {
    "loss of an epoch": "the loop is the user's",
    "determinism": "on the CPU Chainer has no setting for it; the verification repeats trainings",
    "GPU memory allocation": "takes a GPU",
    "CPU threads": "depends on the machine and its variables",
}

if __name__ == "__main__":
    answer(QUESTIONS, UNASKED)
