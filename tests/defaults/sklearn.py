"""What scikit-learn does unless told.

What scikit-learn lacks is looked for by a part of its name, and must not be found.
"""

from functools import partial

import numpy as np
import sklearn.linear_model
import sklearn.neural_network
import sklearn.preprocessing
from sklearn.neural_network import MLPClassifier, _base, _stochastic_optimizers
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from tests.defaults.asking import (
    COASTED,
    CORRECTED,
    TAKES,
    answer,
    axes,
    given,
    named,
    reduced,
    word,
)

EXAMPLES = 450


class Watched(MLPClassifier):
    """Keeps the batches of `fit`, and the gradients of the last one."""

    def _backprop(self, X, y, *rest):  # noqa: N803 - its name in scikit-learn
        self.batches = [*getattr(self, "batches", []), X.copy()]
        loss, coefs, intercepts = super()._backprop(X, y, *rest)
        self.gradients, self.losses = coefs, [*getattr(self, "losses", []), loss]
        return loss, coefs, intercepts


def fitted(dtype=np.float64, inputs=4, hidden=5, **options):
    """After one epoch, on examples of which each has its number in the first column."""
    rows = np.random.RandomState(0).random_sample((EXAMPLES, inputs)).astype(dtype)
    rows[:, 0] = np.arange(EXAMPLES) / EXAMPLES
    # So small a rate leaves the weights where they were.
    options = {"learning_rate_init": 1e-12, "random_state": 0, **options}
    model = Watched(hidden_layer_sizes=(hidden,), **options)
    return model.partial_fit(rows, np.arange(EXAMPLES) % 3, classes=np.arange(3))


def bound(kind, activation):
    """The largest of the first layer's weights, as c of √(c / (in + out))."""
    inputs, hidden = 100, 400
    model = fitted(inputs=inputs, hidden=hidden, activation=activation)
    return round(float(abs(getattr(model, kind)[0]).max()) ** 2 * (inputs + hidden), 1)


def kernels():
    found = [bound("coefs_", name) for name in ("relu", "tanh", "identity", "logistic")]
    text = "uniform, ±√(6 / (in + out)); for sigmoid ±√(2 / ...)"
    return text if found == [6.0, 6.0, 6.0, 2.0] else f"found {found}"


def biases():
    # The largest of 400 values is 1 % below the bound at most; its square 2 %.
    found = bound("intercepts_", "relu") / bound("coefs_", "relu")
    return "uniform, as the kernel" if 0.95 < found <= 1 else f"found {found}"


def slope_at_zero():
    delta = np.ones((1, 1))
    _base.DERIVATIVES["relu"](np.zeros((1, 1)), delta)
    return float(delta[0, 0])


def loss(times):
    example, label = np.array([[0.25, 0.75]]), np.array([[False, True]])
    return _base.LOSS_FUNCTIONS["log_loss"](label.repeat(times, 0), example.repeat(times, 0))


def epoch_loss():
    model = fitted()
    sizes = [len(batch) for batch in model.batches]
    kept = np.isclose(model.loss_, np.average(model.losses, weights=sizes), rtol=1e-12)
    differs = not np.isclose(model.loss_, np.mean(model.losses), rtol=1e-12)
    return "mean over its examples" if kept and differs else "another"


def coast():
    optimizer = SGDOptimizer([np.ones(1)], 1.0, momentum=0.5, nesterov=False)
    optimizer._get_updates([np.ones(1)])
    optimizer.learning_rate = 0.1
    return -optimizer._get_updates([np.zeros(1)])[0][0]


def adam_step():
    optimizer = AdamOptimizer([np.ones(1)], 1.0, beta_1=0.5, beta_2=0.5, epsilon=1e-3)
    return -optimizer._get_updates([np.full(1, 1e-3)])[0][0]


def decay():
    """Where `alpha` acts: the gradients of the same weights and batch, with and without it."""
    alpha = 1000.0
    options = {"shuffle": False, "solver": "adam", "batch_size": EXAMPLES}
    with_it, without = (fitted(alpha=value, **options) for value in (alpha, 0.0))
    added = with_it.gradients[0] - without.gradients[0]
    expected = alpha / EXAMPLES * without.coefs_[0]
    return "added to the gradient" if np.allclose(added, expected, rtol=1e-6) else "elsewhere"


def shuffled():
    first = np.concatenate([batch[:, 0] for batch in fitted().batches])
    return bool((np.diff(first) < 0).any())


def last_batch():
    seen = sum(len(batch) for batch in fitted().batches)
    return {EXAMPLES: "kept"}.get(seen, f"{seen} of {EXAMPLES} examples")


def dtype():
    found = [str(fitted(kind).coefs_[0].dtype) for kind in (np.float32, np.float64)]
    return "that of the images" if found == ["float32", "float64"] else f"found {found}"


def nowhere(part):
    """None if neither the networks nor the activations have anything of this name."""
    places = (sklearn.neural_network, _base, sklearn.linear_model)
    found = [name for place in places for name in named(place, part) or []]
    return found or None


solver = partial(named, _stochastic_optimizers)

QUESTIONS = {
    "kernel initializer": kernels,
    "bias initializer": biases,
    "normal initializers": partial(nowhere, "init"),
    "range of the uniform initializer": partial(nowhere, "init"),
    "dense kernel's axes": lambda: axes(fitted().coefs_[0].shape),
    "convolution kernel's axes": partial(nowhere, "conv"),
    "image layout": partial(nowhere, "image"),
    "flatten's order": partial(nowhere, "flatten"),
    "extra row of 'same' padding, stride 2": partial(nowhere, "pad"),
    "partial pooling window": partial(nowhere, "pool"),
    "average pooling over padding": partial(nowhere, "pool"),
    "relu's derivative at 0": slope_at_zero,
    "gradient of max pooling in a tie": partial(nowhere, "pool"),
    "leaky_relu's slope": partial(nowhere, "leaky"),
    "meaning of dropout's rate": partial(nowhere, "drop"),
    "dropout's scaling": partial(nowhere, "drop"),
    **dict.fromkeys(
        (
            "batch norm's epsilon",
            "batch norm's momentum",
            "meaning of batch norm's momentum",
            "batch norm's running variance",
        ),
        partial(nowhere, "norm"),
    ),
    "cross-entropy takes": lambda: word(TAKES, loss(1)),
    "loss of a batch": lambda: reduced(loss(2), loss(1)),
    "loss of an epoch": epoch_loss,
    "sgd's learning rate": partial(given, MLPClassifier, "learning_rate_init"),
    "sgd's momentum": partial(given, MLPClassifier, "momentum"),
    "sgd's nesterov": partial(given, MLPClassifier, "nesterovs_momentum"),
    "sgd's velocity": lambda: word(COASTED, coast()),
    **dict.fromkeys(
        ("rmsprop's learning rate", "rmsprop's rho", "rmsprop's epsilon"), partial(solver, "rms")
    ),
    "position of rmsprop's epsilon": partial(solver, "rms"),
    **dict.fromkeys(
        ("adagrad's learning rate", "adagrad's first accumulator", "adagrad's epsilon"),
        partial(solver, "adagrad"),
    ),
    "position of adagrad's epsilon": partial(solver, "adagrad"),
    "adam's learning rate": partial(given, MLPClassifier, "learning_rate_init"),
    "adam's epsilon": partial(given, MLPClassifier, "epsilon"),
    "position of adam's epsilon": lambda: word(CORRECTED, adam_step()),
    "adam's weight decay": decay,
    "adamw's weight decay": partial(solver, "adamw"),
    **dict.fromkeys(
        ("adadelta's learning rate", "adadelta's rho", "adadelta's epsilon"),
        partial(solver, "adadelta"),
    ),
    "batch size": partial(given, MLPClassifier, "batch_size"),
    "shuffling": shuffled,
    "last partial batch": last_batch,
    "dtype": dtype,
    "TF32 in matrix products": partial(nowhere, "tf32"),
    "TF32 in convolutions": partial(nowhere, "tf32"),
}
UNASKED = {
    "compiler": "scikit-learn has none",
    "determinism": "scikit-learn has no setting for it; the verification repeats trainings",
    "autotuning of GPU kernels": "takes a GPU",
    "GPU memory allocation": "takes a GPU",
    "CPU threads": "depends on the machine and its variables",
}

if __name__ == "__main__":
    answer(QUESTIONS, UNASKED)
