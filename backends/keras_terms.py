"""Where Keras stands on the terms of `backends.terms`, alike on every engine, and what each engine adds."""

from __future__ import annotations

from backends import jax_terms, pytorch_terms, tensorflow_terms
from backends.terms import FORMS, GIVEN, KEPT, NUMPY, OFF, ON, ORDER, SET, BackendTerms, Stand

# Each engine differentiates in its own words: `slope(function, x)`.
ENGINES = {
    "keras-tensorflow": """
import tensorflow as tf
from types import SimpleNamespace
from unittest import mock
from tensorflow.python.framework import config

def slope(function, x):
    x = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = function(x)
    return tape.gradient(y, x).numpy()

def compiles(kind):
    with mock.patch("tensorflow.config.list_physical_devices", return_value=[SimpleNamespace(device_type=kind)]):
        return compiled().jit_compile
""",
    "keras-jax": """
import jax
from jax import lax

def slope(function, x):
    return np.asarray(jax.grad(lambda x: function(x).sum())(x))
""",
    "keras-torch": """
import torch

def slope(function, x):
    x = torch.tensor(x, requires_grad=True)
    function(x).sum().backward()
    return x.grad.numpy()
""",
}

ASKING = """
import keras
from keras import layers, optimizers

def ones(*shape):
    return np.ones(shape, np.float32)

def step(kind, gradient=1e-3, **options):
    weight = keras.Variable(ones(1))
    kind(**{"learning_rate": 1.0, **options}).apply([keras.ops.full((1,), gradient)], [weight])
    return 1.0 - float(weight[0])

def coast():
    weight, optimizer = keras.Variable(ones(1)), optimizers.SGD(1.0, momentum=0.5)
    for rate in (1.0, 0.1):
        before, optimizer.learning_rate = float(weight[0]), rate
        optimizer.apply([keras.ops.full((1,), 1.0 if rate == 1.0 else 0.0)], [weight])
    return before - float(weight[0])

def compiled(**options):
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile(**options)
    return model

def loss(labels, outputs):
    if warm:
        seen.append(keras.ops.convert_to_numpy(labels).ravel())
    return keras.ops.cast(labels >= 32, "float32") + 0 * outputs

# Forty examples, of which eight lose 1, in batches as `fit` makes them.
model, seen = compiled(optimizer="sgd", loss=loss, run_eagerly=True), []
for warm in (False, True):
    history = model.fit(np.zeros((40, 1), np.float32), np.arange(40, dtype=np.float32), verbose=0)
DENSE, CONVOLUTION = layers.Dense(5), layers.Conv2D(5, (2, 3))
DENSE.build((None, 4))
CONVOLUTION.build((None, 7, 8, 4))
FIRST = layers.Conv2D(1, (1, 3), 2, "same")
FIRST.build((None, 1, 6, 1))
FIRST.kernel.assign(np.float32([1, 0, 0]).reshape(1, 3, 1, 1))
NORM, VARIED = (layers.BatchNormalization(momentum=momentum) for momentum in (0.75, 0.0))
for norm in (NORM, VARIED):
    norm(np.float32([[0], [2]]), training=True)
DROPPED = keras.ops.convert_to_numpy(layers.Dropout(0.2)(ones(100_000), training=True))
EXAMPLE, LABEL = np.float32([[0.25, 0.75]]), np.int32([1])
ENTROPY = keras.losses.SparseCategoricalCrossentropy()
LOSS, TWICE = (float(ENTROPY(LABEL.repeat(n), EXAMPLE.repeat(n, 0))) for n in (1, 2))
FLAT = keras.ops.convert_to_numpy(layers.Flatten()(np.arange(24.0).reshape(1, 2, 3, 4)))[0].tolist()
ODD_ZERO = float(FIRST(np.arange(1.0, 7.0).reshape(1, 1, 6, 1))[0, 0, 0, 0])
EDGE = layers.AveragePooling2D(2, padding="same")(ones(1, 3, 3, 1))[0, 1, 1, 0]
NORMAL = keras.ops.convert_to_numpy(keras.initializers.GlorotNormal(seed=0)((1000, 1000)))
UNIFORM = [str(given(keras.initializers.RandomUniform, end)) for end in ("minval", "maxval")]
KERNEL = " or ".join({type(layer.kernel_initializer).__name__ for layer in (DENSE, CONVOLUTION)})
"""

STANDS = (
    Stand("kernel initializer", "GlorotUniform", NUMPY, "KERNEL"),
    Stand("bias initializer", "Zeros", NUMPY, "type(DENSE.bias_initializer).__name__"),
    Stand("normal initializers", "truncated", NUMPY, "cut(NORMAL)"),
    Stand("range of the uniform initializer", "-0.05 to 0.05", NUMPY, "' to '.join(UNIFORM)"),
    Stand("dense kernel's axes", "(in, out)", KEPT, "axes(DENSE.kernel.shape)"),
    Stand("convolution kernel's axes", "(height, width, in, out)", KEPT, "axes(CONVOLUTION.kernel.shape)"),
    Stand("image layout", "channels last", SET, "keras.config.image_data_format().replace('_', ' ')"),
    Stand("flatten's order", "height, width, channel", KEPT, "{True: 'height, width, channel'}[FLAT == [*range(24)]]"),
    Stand("odd zero of padding same, stride 2", "after the image", KEPT, "word(ODD, ODD_ZERO)"),
    Stand("rest that fills no pool", "dropped", KEPT, "word(REST, layers.MaxPooling2D(2)(ones(1, 5, 5, 1)).shape[1])"),
    Stand("average pool over padding", "counts no zeros", "no padding asked for", "word(PADDED, EDGE)"),
    Stand("relu's derivative at 0", 0.0, KEPT, "slope(keras.activations.relu, np.zeros(1, np.float32)).item()"),
    Stand(
        "max pool's gradient in a tie",
        "to the first maximum",
        KEPT,
        "word(TIES, slope(layers.MaxPooling2D(2), ones(1, 2, 2, 1)))",
    ),
    Stand("leaky_relu's slope", 0.2, GIVEN, "given(keras.activations.leaky_relu, 'negative_slope')"),
    Stand("dropout's number", "share dropped", KEPT, "share(DROPPED)"),
    Stand("dropout's scaling", "of what is kept, by 1 / (1 - rate)", KEPT, "word(SCALED, DROPPED.max())"),
    Stand("batch norm's epsilon", 0.001, GIVEN, "given(layers.BatchNormalization, 'epsilon')"),
    Stand("batch norm's momentum", 0.99, GIVEN, "given(layers.BatchNormalization, 'momentum')"),
    Stand("batch norm's momentum is", "share kept", KEPT, "word(AVERAGED, NORM.moving_mean.numpy())"),
    Stand("batch norm's running variance", "biased (n)", KEPT, "word(VARIANCE, VARIED.moving_variance.numpy())"),
    Stand("cross-entropy takes", "probabilities", "told that it gets logits", "word(TAKES, LOSS)"),
    Stand("loss of a batch", "mean over its examples", KEPT, "reduced(TWICE, LOSS)"),
    Stand(
        "loss of an epoch",
        "mean over its examples",
        KEPT,
        "word({0.2: 'mean over its examples'}, history.history['loss'][0])",
    ),
    Stand("sgd's learning rate", 0.01, GIVEN, "given(optimizers.SGD, 'learning_rate')"),
    Stand("sgd's momentum", 0.0, GIVEN, "given(optimizers.SGD, 'momentum')"),
    Stand("sgd's nesterov", OFF, GIVEN, "given(optimizers.SGD, 'nesterov')"),
    Stand("sgd's velocity", "holds the learning rate", KEPT, "word(COASTED, coast())"),
    Stand("rmsprop's learning rate", 0.001, GIVEN, "given(optimizers.RMSprop, 'learning_rate')"),
    Stand("rmsprop's rho", 0.9, GIVEN, "given(optimizers.RMSprop, 'rho')"),
    Stand("rmsprop's epsilon", 1e-07, GIVEN, "given(optimizers.RMSprop, 'epsilon')"),
    Stand(
        "rmsprop's epsilon stands",
        "inside the root",
        FORMS,
        "word(PLACES, step(optimizers.RMSprop, rho=0.0, epsilon=1e-3))",
    ),
    Stand("adagrad's learning rate", 0.001, GIVEN, "given(optimizers.Adagrad, 'learning_rate')"),
    Stand("adagrad's first accumulator", 0.1, GIVEN, "given(optimizers.Adagrad, 'initial_accumulator_value')"),
    Stand("adagrad's epsilon", 1e-07, GIVEN, "given(optimizers.Adagrad, 'epsilon')"),
    Stand(
        "adagrad's epsilon stands",
        "inside the root",
        FORMS,
        "word(PLACES, step(optimizers.Adagrad, initial_accumulator_value=0.0, epsilon=1e-3))",
    ),
    Stand("adam's learning rate", 0.001, GIVEN, "given(optimizers.Adam, 'learning_rate')"),
    Stand("adam's epsilon", 1e-07, GIVEN, "given(optimizers.Adam, 'epsilon')"),
    Stand(
        "adam's epsilon comes",
        "before the correction",
        FORMS,
        "word(FORMS, step(optimizers.Adam, beta_1=0.5, beta_2=0.5, epsilon=1e-3))",
    ),
    Stand(
        "adam's weight decay",
        "apart from the gradient",
        "adamw's by it; for adam given none",
        "word(DECAYED, step(optimizers.Adam, 0.0, learning_rate=0.5, weight_decay=0.1))",
    ),
    Stand("adamw's weight decay", 0.004, GIVEN, "given(optimizers.AdamW, 'weight_decay')"),
    Stand("adadelta's learning rate", 0.001, GIVEN, "given(optimizers.Adadelta, 'learning_rate')"),
    Stand("adadelta's rho", 0.95, GIVEN, "given(optimizers.Adadelta, 'rho')"),
    Stand("adadelta's epsilon", 1e-07, GIVEN, "given(optimizers.Adadelta, 'epsilon')"),
    Stand("batch size", 32, "batches handed to fit ready made", "len(seen[0])"),
    Stand("shuffling", ON, f"off; {ORDER}", "np.concatenate(seen).tolist() != [*range(40)]"),
    Stand("last partial batch", "kept", ORDER, "{40: 'kept', 32: 'dropped'}[sum(map(len, seen))]"),
    Stand("dtype", "float32", SET, "keras.config.floatx()"),
)

_SEEN = "on only where a GPU is seen"
_COMPILERS = {
    "keras-tensorflow": Stand(
        "compiler", _SEEN, "off", f"{{(False, True): '{_SEEN}'}}[compiles('CPU'), compiles('GPU')]"
    ),
    "keras-jax": Stand("compiler", ON, "on, for a step", "compiled().jit_compile"),
    "keras-torch": Stand("compiler", OFF, "off", "compiled().jit_compile"),
}
_DEVICES = {
    "keras-tensorflow": tensorflow_terms.DEVICE,
    "keras-jax": jax_terms.DEVICE,
    "keras-torch": pytorch_terms.DEVICE,
}
BACKENDS = {
    name: BackendTerms(asking=asking + ASKING, stands=(*STANDS, _COMPILERS[name], *_DEVICES[name]))
    for name, asking in ENGINES.items()
}
