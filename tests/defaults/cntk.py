"""What CNTK does unless told. It runs in Python 3.6."""

import warnings
from functools import partial

import numpy as np

warnings.simplefilter("ignore")  # CNTK warns of every Linux but Ubuntu, and of missing GPUs
import cntk  # noqa: E402

from tests.defaults.asking import (  # noqa: E402
    COASTED,
    CORRECTED,
    DECAYED,
    ODD,
    PADDED,
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

AS_GIVEN = cntk.learners.IGNORE


def option(layer, name):
    """The default of a layer's argument, which CNTK's `default_options` may override."""
    return given(layer, name).value


def kernel(layer, shape):
    """The largest weight and the bias of a layer on inputs of a shape."""
    function = layer(cntk.input_variable(shape))
    return function.W.value, function.b.value


def glorot():
    inputs, outputs = 300, 500
    weights, _ = kernel(cntk.layers.Dense(outputs), inputs)
    bound, size = np.sqrt(6 / (inputs + outputs)), abs(weights)
    # Of a uniform distribution the largest is at the bound, and the mean size is half of it.
    found = [round(float(value / bound), 2) for value in (size.max(), 2 * size.mean())]
    return word({(1.0, 1.0): "Glorot, uniform"}, found)


def normal():
    return cut(cntk.parameter((1000, 1000), init=cntk.initializer.glorot_normal()).value)


def convolve(shape, **options):
    """A convolution's function of one image."""
    return cntk.layers.Convolution2D((2, 3), 5, **options)(cntk.input_variable(shape))


def odd_zero():
    """The first output of a line 1 .. 6, by a kernel that takes the first of three values."""
    x = cntk.input_variable((1, 1, 6))
    first = cntk.constant(np.array([1, 0, 0], np.float32).reshape(1, 1, 1, 3))
    y = cntk.convolution(first, x, strides=(1, 2))
    return y.eval({x: np.arange(1, 7, dtype=np.float32).reshape(1, 1, 1, 6)})[0, 0, 0, 0]


def slope(function, x):
    """The gradient of a function of one variable."""
    x = np.asarray(x, np.float32)
    variable = cntk.input_variable(x.shape, needs_gradient=True)
    return cntk.reduce_sum(function(variable)).grad({variable: x[None]})[0]


def pools():
    x = cntk.input_variable((1, 5, 5))
    return cntk.layers.MaxPooling((2, 2), strides=2)(x).shape[-1]


def edge():
    """The pool of 2 x 2 of nine ones with padding that holds only one of them."""
    x = cntk.input_variable((1, 3, 3))
    y = cntk.layers.AveragePooling((2, 2), strides=2, pad=True)(x)
    return y.eval({x: np.ones((1, 1, 3, 3), np.float32)}).min()


def tie():
    return slope(cntk.layers.MaxPooling((2, 2), strides=2), np.ones((1, 2, 2)))[0]


def dropped():
    x, w = cntk.input_variable(100_000), cntk.parameter(100_000, init=1.0)
    kept = cntk.dropout(x, 0.2)
    loss = cntk.reduce_sum(kept * w)
    trainer = cntk.Trainer(loss, (loss,), [cntk.sgd([w], cntk.learning_parameter_schedule(0.0))])
    ones = {x: np.ones((1, 100_000), np.float32)}
    return next(iter(trainer.train_minibatch(ones, outputs=[kept.output])[1].values()))


def normed():
    """The running mean and variance after a batch of 0 and 2, where the average is of one batch."""
    x = cntk.input_variable(1)
    y = cntk.layers.BatchNormalization(normalization_time_constant=0)(x)
    loss = cntk.reduce_sum(y)
    learner = cntk.sgd(y.parameters, cntk.learning_parameter_schedule(0.0))
    cntk.Trainer(y, (loss,), [learner]).train_minibatch({x: np.array([[0], [2]], np.float32)})
    return y


def averaged():
    """What the running mean takes of a second batch: a share that depends on its size."""
    x = cntk.input_variable(1)
    y = cntk.layers.BatchNormalization(normalization_time_constant=10)(x)
    loss = cntk.reduce_sum(y)
    learner = cntk.sgd(y.parameters, cntk.learning_parameter_schedule(0.0))
    trainer = cntk.Trainer(y, (loss,), [learner])
    for batch in ([0, 0], [1, 1]):
        trainer.train_minibatch({x: np.array(batch, np.float32).reshape(-1, 1)})
    found = float(y.aggregate_mean.value)
    by_examples = abs(found - (1 - np.exp(-2 / 10))) < 1e-3
    return "time constant, in examples" if by_examples else f"found {found}"


def loss(times):
    x, label = cntk.input_variable(2), cntk.input_variable(2)
    values = {x: [[0.25, 0.75]] * times, label: [[0, 1]] * times}
    values = {key: np.array(value, np.float32) for key, value in values.items()}
    return cntk.cross_entropy_with_softmax(x, label).eval(values)


def step(make, gradients=(1e-3,), rates=None):
    """How far the last of some steps moves a weight of 1, given the gradient of each."""
    x, w = cntk.input_variable(1), cntk.parameter(1, init=1.0)
    loss = cntk.reduce_sum(x * w)
    learner = make([w])
    trainer = cntk.Trainer(loss, (loss,), [learner])
    for position, gradient in enumerate(gradients):
        before = float(w.value)
        if rates:
            learner.reset_learning_rate(cntk.learning_parameter_schedule(rates[position]))
        trainer.train_minibatch({x: np.array([[gradient]], np.float32)})
    return before - float(w.value)


RATE, HALF = cntk.learning_parameter_schedule(1.0), cntk.momentum_schedule(0.5)


def momentum(parameters):
    return cntk.momentum_sgd(parameters, RATE, HALF, unit_gain=False, minibatch_size=AS_GIVEN)


def adam(parameters, rate=RATE, **options):
    options = dict({"unit_gain": True, "epsilon": 1e-3, "minibatch_size": AS_GIVEN}, **options)
    return cntk.adam(parameters, rate, HALF, variance_momentum=HALF, **options)


def decayed(parameters):
    half = cntk.learning_parameter_schedule(0.5)
    return adam(parameters, half, epsilon=1e-8, l2_regularization_weight=0.1)


def batches():
    """The batches of 4 of an epoch of 10 examples, by a source made of arrays."""
    source = {"x": np.arange(10, dtype=np.float32).reshape(-1, 1)}
    source = cntk.io.MinibatchSourceFromData(source, max_samples=10)
    found = []
    while True:
        batch = source.next_minibatch(4)
        if not batch:
            return found
        found.append(next(iter(batch.values())).data.asarray().ravel().tolist())


QUESTIONS = {
    "kernel initializer": glorot,
    "bias initializer": lambda: float(abs(kernel(cntk.layers.Dense(5), 4)[1]).max()),
    "normal initializers": normal,
    "range of the uniform initializer": partial(given, cntk.initializer.uniform, "scale"),
    "dense kernel's axes": lambda: axes(kernel(cntk.layers.Dense(5), 4)[0].shape),
    "convolution kernel's axes": lambda: axes(convolve((4, 7, 8)).W.shape),
    "image layout": lambda: {5: "channels first"}[convolve((4, 7, 8)).shape[0]],
    "flatten's order": lambda: flattened(
        "channel, height, width",
        cntk.flatten(cntk.constant(np.arange(24.0).reshape(2, 3, 4))).eval().ravel().tolist(),
    ),
    "extra row of 'same' padding, stride 2": lambda: word(ODD, odd_zero()),
    "partial pooling window": lambda: word(REST, pools()),
    "average pooling over padding": lambda: word(PADDED, edge()),
    "relu's derivative at 0": lambda: float(slope(cntk.relu, [0.0])[0]),
    "gradient of max pooling in a tie": lambda: word(TIES, tie()),
    "leaky_relu's slope": partial(given, cntk.leaky_relu, "alpha"),
    "meaning of dropout's rate": lambda: share(dropped()),
    "dropout's scaling": lambda: word(SCALED, dropped().max()),
    "batch norm's epsilon": partial(option, cntk.layers.BatchNormalization, "epsilon"),
    "batch norm's momentum": partial(
        option, cntk.layers.BatchNormalization, "normalization_time_constant"
    ),
    "meaning of batch norm's momentum": averaged,
    "batch norm's running variance": lambda: word(VARIANCE, normed().aggregate_variance.value),
    "cross-entropy takes": lambda: word(TAKES, float(loss(1)[0])),
    "loss of a batch": lambda: reduced(loss(2), loss(1)),
    "sgd's learning rate": partial(given, cntk.sgd, "lr"),
    "sgd's momentum": partial(given, cntk.momentum_sgd, "momentum"),
    "sgd's nesterov": lambda: {True: "a learner of its own"}[callable(cntk.nesterov)],
    "sgd's velocity": lambda: word(COASTED, step(momentum, (1.0, 0.0), (1.0, 0.1))),
    "rmsprop's learning rate": partial(given, cntk.rmsprop, "lr"),
    "rmsprop's rho": partial(given, cntk.rmsprop, "gamma"),
    "rmsprop's epsilon": partial(given, cntk.rmsprop, "epsilon"),
    "position of rmsprop's epsilon": partial(given, cntk.rmsprop, "epsilon"),
    "adagrad's learning rate": partial(given, cntk.adagrad, "lr"),
    "adagrad's first accumulator": partial(given, cntk.adagrad, "initial_accumulator"),
    "adagrad's epsilon": partial(given, cntk.adagrad, "epsilon"),
    "position of adagrad's epsilon": partial(given, cntk.adagrad, "epsilon"),
    "adam's learning rate": partial(given, cntk.adam, "lr"),
    "adam's epsilon": partial(given, cntk.adam, "epsilon"),
    "position of adam's epsilon": lambda: word(CORRECTED, step(adam)),
    "adam's weight decay": lambda: word(DECAYED, step(decayed, (0.0,))),
    "adamw's weight decay": partial(named, cntk.learners, "adamw"),
    "adadelta's learning rate": lambda: given(cntk.adadelta, "lr")[0],
    "adadelta's rho": partial(given, cntk.adadelta, "rho"),
    "adadelta's epsilon": partial(given, cntk.adadelta, "epsilon"),
    "batch size": partial(given, cntk.Function.train, "minibatch_size"),
    "shuffling": lambda: np.concatenate(batches()).tolist() != [*range(10)],
    "last partial batch": lambda: {2: "kept"}[len(batches()[-1])],
    "dtype": lambda: np.dtype(cntk.parameter(1).dtype).name,
    "TF32 in matrix products": partial(named, cntk, "tf32"),
    "TF32 in convolutions": partial(named, cntk, "tf32"),
}
UNASKED = {
    "loss of an epoch": "the loop is the user's",
    "compiler": "CNTK has none",
    "determinism": "it can be forced, and not asked for",
    "autotuning of GPU kernels": "takes a GPU",
    "GPU memory allocation": "takes a GPU",
    "CPU threads": "depends on the machine and its variables",
}

if __name__ == "__main__":
    cntk.device.try_set_default_device(cntk.device.cpu())
    answer(QUESTIONS, UNASKED)
