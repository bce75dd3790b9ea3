"""What MXNet does unless told.

What MXNet lacks is looked for by a part of its name, and must not be found.
"""

from functools import partial

import mxnet as mx
import numpy as np
from mxnet import gluon
from mxnet.gluon import nn

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

optimizer = mx.optimizer
ones = mx.nd.ones


def initialized(layer, *shape):
    layer.initialize()
    layer(ones(shape))
    return layer


def kernels():
    draws = abs(initialized(nn.Dense(10_000), 1, 100).weight.data().asnumpy())
    found = tuple(np.round((draws.max(), 2 * draws.mean()), 3).tolist())
    return {(0.07, 0.07): "uniform, ±0.07"}.get(found, f"found {found}")


def biases():
    return str(abs(initialized(nn.Dense(1000), 1, 9).bias.data().asnumpy()).max().astype(int))


def normal():
    array = mx.nd.zeros((1000, 1000))
    mx.init.Xavier("gaussian")._init_weight("weight", array)
    return cut(array.asnumpy())


def uniform():
    scale = given(mx.init.Uniform.__init__, "scale")
    return f"-{scale} to {scale}"


def layout():
    outputs = initialized(nn.Conv2D(5, (2, 3)), 1, 4, 7, 8)(ones((1, 4, 7, 8)))
    return {5: "channels first"}[outputs.shape[1]]


def flat():
    found = nn.Flatten()(mx.nd.arange(24).reshape((1, 2, 3, 4)))[0].asnumpy().tolist()
    return flattened("channel, height, width", found)


def same():
    try:
        nn.Conv2D(1, 3, strides=2, padding="same", in_channels=1)
    except mx.MXNetError:
        return "refused"
    return "accepted"


def edge():
    return nn.AvgPool2D(2, padding=1)(ones((1, 1, 2, 2)))[0, 0, 0, 0].asscalar()


def slope(layer, x):
    array = mx.nd.array(x)
    array.attach_grad()
    with mx.autograd.record():
        outputs = layer(array)
    outputs.backward()
    return array.grad.asnumpy()


def dropped():
    with mx.autograd.train_mode():
        return nn.Dropout(0.2)(ones(100_000)).asnumpy()


def normed(momentum):
    norm = nn.BatchNorm(momentum=momentum, in_channels=1)
    norm.initialize()
    x = mx.nd.array([[0.0], [2.0]])
    x.attach_grad()
    with mx.autograd.record():
        outputs = norm(x)
    outputs.backward()  # the running values change here
    return norm


def losses(times):
    example, label = mx.nd.array([[0.25, 0.75]] * times), mx.nd.ones(times)
    return gluon.loss.SoftmaxCrossEntropyLoss()(example, label).asnumpy()


def step(kind, gradient=1e-3, **options):
    """How far one step moves a weight."""
    chosen, weight = kind(**{"learning_rate": 1.0, **options}), ones(1)
    chosen.update(0, weight, mx.nd.full(1, gradient), chosen.create_state(0, weight))
    return 1.0 - weight.asscalar()


def coast():
    chosen, weight = optimizer.SGD(momentum=0.5, learning_rate=1.0), ones(1)
    state = chosen.create_state(0, weight)
    for rate, gradient in ((1.0, 1.0), (0.1, 0.0)):
        before = weight.asscalar()
        chosen.set_learning_rate(rate)
        chosen.update([0], [weight], [mx.nd.full(1, gradient)], [state])
    return before - weight.asscalar()


def rate(kind):
    """The learning rate of an optimizer that was told nothing."""
    return kind().learning_rate


def accumulator():
    """Not an argument; the epsilon is not added to it."""
    assert not optimizer.AdaGrad().create_state(0, ones(1)).asscalar()
    return given(optimizer.AdaGrad.__init__, "initial_accumulator")


def adadelta_rate():
    """The steps of two learning rates, which are the same if none is used."""
    found = {step(optimizer.AdaDelta, learning_rate=rate) for rate in (0.5, 1.0)}
    return None if len(found) == 1 else f"found {found}"


def first_epoch():
    return [batch.asnumpy() for batch in gluon.data.DataLoader(np.arange(99.0), 10)]


QUESTIONS = {
    "kernel initializer": kernels,
    "bias initializer": biases,
    "normal initializers": normal,
    "range of the uniform initializer": uniform,
    "dense kernel's axes": lambda: axes(initialized(nn.Dense(5), 1, 4).weight.shape),
    "convolution kernel's axes": lambda: axes(
        initialized(nn.Conv2D(5, (2, 3)), 1, 4, 7, 8).weight.shape
    ),
    "image layout": layout,
    "flatten's order": flat,
    "extra row of 'same' padding, stride 2": same,
    "partial pooling window": lambda: word(REST, nn.MaxPool2D(2)(ones((1, 1, 5, 5))).shape[2]),
    "average pooling over padding": lambda: word(PADDED, edge()),
    "relu's derivative at 0": lambda: float(slope(nn.Activation("relu"), [0.0])[0]),
    "gradient of max pooling in a tie": lambda: word(
        TIES, slope(nn.MaxPool2D(2), np.ones((1, 1, 2, 2)))
    ),
    "leaky_relu's slope": partial(given, nn.LeakyReLU.__init__, "alpha"),
    "meaning of dropout's rate": lambda: share(dropped()),
    "dropout's scaling": lambda: word(SCALED, dropped().max()),
    "batch norm's epsilon": partial(given, nn.BatchNorm.__init__, "epsilon"),
    "batch norm's momentum": partial(given, nn.BatchNorm.__init__, "momentum"),
    "meaning of batch norm's momentum": lambda: word(
        AVERAGED, normed(0.75).running_mean.data().asnumpy()
    ),
    "batch norm's running variance": lambda: word(
        VARIANCE, normed(0.0).running_var.data().asnumpy()
    ),
    "cross-entropy takes": lambda: word(TAKES, losses(1)),
    "loss of a batch": lambda: reduced(losses(2), losses(1)),
    "sgd's learning rate": partial(rate, optimizer.SGD),
    "sgd's momentum": partial(given, optimizer.SGD.__init__, "momentum"),
    "sgd's nesterov": lambda: given(optimizer.SGD.__init__, "nesterov") is not None,
    "sgd's velocity": lambda: word(COASTED, coast()),
    "rmsprop's learning rate": partial(rate, optimizer.RMSProp),
    "rmsprop's rho": partial(given, optimizer.RMSProp.__init__, "gamma1"),
    "rmsprop's epsilon": partial(given, optimizer.RMSProp.__init__, "epsilon"),
    "position of rmsprop's epsilon": lambda: word(
        PLACES, step(optimizer.RMSProp, gamma1=0.0, epsilon=1e-3)
    ),
    "adagrad's learning rate": partial(rate, optimizer.AdaGrad),
    "adagrad's first accumulator": accumulator,
    "adagrad's epsilon": partial(given, optimizer.AdaGrad.__init__, "eps"),
    "position of adagrad's epsilon": lambda: word(PLACES, step(optimizer.AdaGrad, eps=1e-3)),
    "adam's learning rate": partial(rate, optimizer.Adam),
    "adam's epsilon": partial(given, optimizer.Adam.__init__, "epsilon"),
    "position of adam's epsilon": lambda: word(
        CORRECTED, step(optimizer.Adam, beta1=0.5, beta2=0.5, epsilon=1e-3)
    ),
    "adam's weight decay": lambda: word(
        DECAYED, step(optimizer.Adam, 0.0, learning_rate=0.5, wd=0.1)
    ),
    "adamw's weight decay": partial(named, optimizer, "adamw"),
    "adadelta's learning rate": adadelta_rate,
    "adadelta's rho": partial(given, optimizer.AdaDelta.__init__, "rho"),
    "adadelta's epsilon": partial(given, optimizer.AdaDelta.__init__, "epsilon"),
    "batch size": lambda: {None: "required argument"}[
        given(gluon.data.DataLoader.__init__, "batch_size")
    ],
    "shuffling": lambda: np.concatenate(first_epoch()).tolist() != [*range(99)],
    "last partial batch": lambda: {9: "kept", 10: "dropped"}[len(first_epoch()[-1])],
    "dtype": lambda: np.dtype(ones(1).dtype).name,
    "TF32 in matrix products": partial(named, mx.nd, "tf32"),
    "TF32 in convolutions": partial(named, mx.nd, "tf32"),
}
UNASKED = {
    "loss of an epoch": "the loop is the user's",
    "compiler": "MXNet has none: a hybridized block is a planned graph of ready operators",
    "determinism": "MXNet has no setting for it on a CPU; the verification repeats trainings",
    "autotuning of GPU kernels": "takes a GPU",
    "GPU memory allocation": "takes a GPU",
    "CPU threads": "depends on the machine and its variables",
}

if __name__ == "__main__":
    answer(QUESTIONS, UNASKED)
