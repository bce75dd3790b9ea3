"""What JAX does unless told; it has functions, and no layers, losses or optimizers.

What JAX lacks is looked for by a part of its name, and must not be found.
"""

from functools import partial

import jax
import numpy as np
from jax import lax, nn
from jax import numpy as jnp

from backends.defaults import OPTIMIZERS
from tests.defaults.asking import ODD, REST, TIES, answer, cut, given, named, word


def draws(initializer):
    return np.asarray(initializer(jax.random.key(0), (1000, 1000)))


def uniform():
    found = draws(nn.initializers.uniform())
    return f"{found.min():.1f} to {found.max():.2f}"


def convolved():
    """The shape of a convolution's output: (1, 5, 6, 6) in one order of the axes only."""
    images, kernel = jnp.ones((1, 4, 7, 8)), jnp.ones((5, 4, 2, 3))
    return lax.conv_general_dilated(images, kernel, (1, 1), "VALID").shape


def odd_zero():
    row, first = jnp.arange(1.0, 7.0), jnp.array([1.0, 0.0, 0.0])
    shape = (1, 1, 1, -1)
    outputs = lax.conv_general_dilated(row.reshape(shape), first.reshape(shape), (1, 2), "SAME")
    return word(ODD, outputs.ravel()[0])


def pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (2, 2))


def slope(function, x):
    return np.asarray(jax.grad(lambda x: function(x).sum())(x))


def tf32():
    as_precision_says = jax.config.jax_default_matmul_precision is None
    return as_precision_says and "uses tensorfloat32 if available" in lax.Precision.__doc__


# Keras on JAX has these defaults, too.
DEVICE = {"TF32 in matrix products": tf32, "TF32 in convolutions": tf32}
UNASKED_DEVICE = {
    "determinism": "XLA tells none of its flags to Python",
    "autotuning of GPU kernels": "XLA tells none of its flags to Python",
    "GPU memory allocation": "takes a GPU",
    "CPU threads": "depends on the machine",
}

QUESTIONS = {
    "kernel initializer": partial(named, nn, "dense"),
    "bias initializer": partial(named, nn, "dense"),
    "normal initializers": lambda: cut(draws(nn.initializers.glorot_normal())),
    "range of the uniform initializer": uniform,
    "dense kernel's axes": partial(named, nn, "dense"),
    "convolution kernel's axes": lambda: {(1, 5, 6, 6): "(out, in, height, width)"}[convolved()],
    "image layout": lambda: {(1, 5, 6, 6): "channels first"}[convolved()],
    "flatten's order": partial(named, nn, "flatten"),
    "extra row of 'same' padding, stride 2": odd_zero,
    "partial pooling window": lambda: word(REST, len(pool(jnp.ones((5, 5))))),
    "average pooling over padding": partial(named, lax, "pool"),
    "relu's derivative at 0": lambda: slope(nn.relu, np.zeros(1, np.float32)).item(),
    "gradient of max pooling in a tie": lambda: word(
        TIES, slope(pool, np.ones((2, 2), np.float32))
    ),
    "leaky_relu's slope": partial(given, nn.leaky_relu, "negative_slope"),
    "meaning of dropout's rate": partial(named, nn, "dropout"),
    "dropout's scaling": partial(named, nn, "dropout"),
    "batch norm's epsilon": partial(named, nn, "batch"),
    "batch norm's momentum": partial(named, nn, "batch"),
    "meaning of batch norm's momentum": partial(named, nn, "batch"),
    "batch norm's running variance": partial(named, nn, "batch"),
    "cross-entropy takes": partial(named, nn, "entropy"),
    "loss of a batch": partial(named, nn, "entropy"),
    **dict.fromkeys(OPTIMIZERS, partial(named, jax, "optim")),
    "batch size": partial(named, jax, "loader"),
    "shuffling": partial(named, jax, "loader"),
    "last partial batch": partial(named, jax, "loader"),
    "dtype": lambda: str(jnp.zeros(1).dtype),
    **DEVICE,
}
UNASKED = {
    "loss of an epoch": "the loop is the user's",
    "compiler": "a call asks for it, jax.jit",
    **UNASKED_DEVICE,
}

if __name__ == "__main__":
    answer(QUESTIONS, UNASKED)
