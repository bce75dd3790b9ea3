"""Writes a workload as a script in Theano: shared variables, `theano.grad`, `theano.function`."""

from __future__ import annotations

import re

from backends.contract import Unsupported
from backends.script import (
    END,
    READER_IMPORTS,
    assemble,
    data_of,
    kinds,
    padding_of,
    starts_flat,
    wrapped,
)
from backends.script_updates import Updates, updates_of
from specs.model import AvgPool2d, Conv2d, Dense, Dropout, Flatten, MaxPool2d, Workload
from specs.shapes import LayerShape, infer_shapes

_FLAGS = """\
# Theano 1.0.5 finds no BLAS of a newer NumPy, and then cannot be imported.
os.environ.setdefault("THEANO_FLAGS", "floatX=float32,blas.ldflags=")
"""
_ACTIVATIONS = {
    "relu": "relu",
    "leaky_relu": "leaky_relu",
    "elu": "T.nnet.elu",
    "softplus": "T.nnet.softplus",
    "sigmoid": "T.nnet.sigmoid",
    "tanh": "T.tanh",
}
# The variance of each initializer's values.
_VARIANCES = {
    "glorot_uniform": "2 / (fan_in + fan_out)",
    "glorot_normal": "2 / (fan_in + fan_out)",
    "he_uniform": "2 / fan_in",
    "he_normal": "2 / fan_in",
    "lecun_normal": "1 / fan_in",
}
_RELU = """\
def relu(x):  # T.nnet.relu has the derivative 0.5 at 0
    return x * (x > 0)
"""
_LEAKY_RELU = """\
def leaky_relu(x):
    return T.switch(x > 0, x, 0.01 * x)
"""
_MAX_POOL = """\
def max_pool(x, size):  # pool_2d sends the gradient to every maximum, not to the first
    rows, columns = x.shape[2] // size[0], x.shape[3] // size[1]
    x = x[:, :, : rows * size[0], : columns * size[1]]
    largest = x[:, :, :: size[0], :: size[1]]
    for i, j in list(np.ndindex(*size))[1:]:
        other = x[:, :, i :: size[0], j :: size[1]]
        largest = T.switch(largest >= other, largest, other)
    return largest
"""
_AVERAGE_POOL = """\
def average_pool(x, size):
    return pool_2d(x, size, ignore_border=True, mode="average_exc_pad")
"""
_DROPOUT = """\
def dropout(x, rate):
    return x * random.binomial(x.shape, p=1 - rate, dtype=x.dtype) / (1 - rate)
"""
_SHARED = """\
def shared(values):
    return theano.shared(np.asarray(values, dtype=theano.config.floatX))
"""
_COMPILE_STEP = """\
def compile_step(params):
    images, labels = T.{images}("images"), T.lvector("labels")
    logits = forward(params, images{training})
    loss = {loss}
    weights = [weight for pair in params for weight in pair]
{count}    updates = [{first}]
    for w, g in zip(weights, theano.grad(loss, weights)):
{change}    return theano.function([images, labels], loss, updates=updates)
"""
_CROSS_ENTROPY = "T.nnet.categorical_crossentropy(T.nnet.softmax(logits), labels).mean()"
_QUADRATIC = "T.sqr(T.nnet.softmax(logits) - T.extra_ops.to_one_hot(labels, 10)).mean()"
_COMPILE_PREDICTION = """\
def compile_prediction(params):
    images = T.{images}("images")
    return theano.function([images], forward(params, images).argmax(axis=1))
"""


def script(workload: Workload) -> str:
    """The workload in Theano; the optimizer is written out, as Theano has none.

    Raises:
        Unsupported: a script cannot have the workload's data, or the model has batch norm.
    """
    data, found = data_of(workload), kinds(workload.layers)
    if "batch_norm" in found:
        raise Unsupported(
            "Theano has no optimizers or layers with a state, and batch norm by hand, with its"
            " running averages, would take more lines than the rest of the model"
        )
    updates, activations = updates_of(workload.optimizer), _activations(workload)
    return assemble(
        workload,
        "Theano",
        "theano",
        _imports(found),
        _constants(workload, updates),
        *data.reader(flat=starts_flat(workload)),
        _draw(workload),
        _SHARED,
        _init_params(workload),
        _convolution(workload) if "conv2d" in found else "",
        _RELU if "relu" in activations else "",
        _LEAKY_RELU if "leaky_relu" in activations else "",
        _MAX_POOL if "max_pool2d" in found else "",
        _AVERAGE_POOL if "avg_pool2d" in found else "",
        _DROPOUT if "dropout" in found else "",
        _forward(workload),
        _update(updates),
        _compile_step(workload, updates),
        _COMPILE_PREDICTION.replace("{images}", _kind(workload)),
        _main(workload),
        END,
    )


def _imports(found: set[str]) -> str:
    """The imports. Theano's stand after its flags, as it reads them when it is imported."""
    first, *others = READER_IMPORTS
    lines = [first, "import os", *others, "", "import numpy as np", "", *_FLAGS.splitlines()]
    lines += ["import theano", "import theano.tensor as T"]
    if "dropout" in found:
        lines.append("from theano.sandbox.rng_mrg import MRG_RandomStreams")
    if "avg_pool2d" in found:
        lines.append("from theano.tensor.signal.pool import pool_2d")
    return "\n".join(lines)


def _constants(workload: Workload, updates: Updates) -> str:
    lines = [
        f"BATCH_SIZE = {workload.recipe.batch_size}",
        f"EPOCHS = {workload.recipe.epochs}",
        updates.constant_lines,
        f'URL = "{data_of(workload).address}"',
        "",
        "rng = np.random.RandomState(0)",
    ]
    if "dropout" in kinds(workload.layers):
        lines.append("random = MRG_RandomStreams(seed=1)")
    return "\n".join(lines)


def _activations(workload: Workload) -> set[str]:
    return {layer.activation for layer in workload.layers if isinstance(layer, Dense | Conv2d)}


def _kind(workload: Workload) -> str:
    """The name of Theano's type of a batch: vectors or images."""
    return "matrix" if starts_flat(workload) else "tensor4"


def _kernels(workload: Workload) -> list[tuple[int, ...]]:
    """The shapes of the kernels in Theano's layout."""
    shapes = (shape for shape in infer_shapes(workload) if shape.parameters)
    canonical = [next(iter(shape.parameters.values())) for shape in shapes]
    return [(*size[:1:-1], *size[:2]) for size in canonical]  # (in, out) stays


def _draw(workload: Workload) -> str:
    """The function that draws a kernel by the workload's initializer."""
    initializer = workload.recipe.initializer
    if initializer in {"zeros", "uniform"}:
        value = "np.zeros(shape)" if initializer == "zeros" else "rng.uniform(-0.05, 0.05, shape)"
        return f"def draw(shape):\n    return {value}"
    variance = _VARIANCES[initializer]
    fans = {"fan_in": "shape[0]", "fan_out": "shape[1]"}
    lines = ["def draw(shape):"]
    if "conv2d" in kinds(workload.layers):
        lines = ["def draw(shape):  # (in, out) or (out, in, height, width)"]
        fans = {
            "fan_in": "np.prod(shape[1:]) if len(shape) == 4 else shape[0]",
            "fan_out": "np.prod(shape) / shape[1] if len(shape) == 4 else shape[1]",
        }
    lines += [f"    {name} = {fan}" for name, fan in fans.items() if name in variance]
    deviation = f"    deviation = np.sqrt({variance})"
    if initializer.endswith("uniform"):
        limit = "    limit = np.sqrt(3) * deviation"
        return "\n".join([*lines, deviation, limit, "    return rng.uniform(-limit, limit, shape)"])
    return "\n".join([*lines, deviation, "    return rng.normal(0, deviation, shape)"])


def _init_params(workload: Workload) -> str:
    kernels = _kernels(workload)
    units = "shape[1]"
    if "conv2d" in kinds(workload.layers):
        units = "shape[0] if len(shape) == 4 else shape[1]"
    return "\n".join(
        [
            "def init_params():",
            "    params = []",
            wrapped("for shape in [", map(str, kernels), "]:", 4),
            f"        units = {units}",
            "        params.append((shared(draw(shape)), shared(np.zeros(units))))",
            "    return params",
        ]
    )


def _convolution(workload: Workload) -> str:
    """The function `conv`; it takes strides and padding if a layer has them."""
    options = any(_options(shape) for shape in infer_shapes(workload))
    rest = ", **options" if options else ""
    return "\n".join(
        [
            f"def conv(x, w, b{rest}):",
            f"    y = T.nnet.conv2d(x, w, filter_flip=False{rest})",
            '    return y + b.dimshuffle("x", 0, "x", "x")',
        ]
    )


def _options(shape: LayerShape) -> list[str]:
    """The arguments of `conv` for the padding and the strides of a layer."""
    layer = shape.layer
    if not isinstance(layer, Conv2d):
        return []
    options = []
    if layer.padding == "same":
        padding = padding_of(shape.input, layer.kernel_size, layer.strides)
        options.append(f"border_mode={padding}")
    return options + ([f"subsample={layer.strides}"] if layer.strides != (1, 1) else [])


def _forward(workload: Workload) -> str:
    count = len(_kernels(workload))
    pairs = [f"(w{index}, b{index})" for index in range(1, count + 1)] if count > 1 else ["(w, b)"]
    drops = "dropout" in kinds(workload.layers)
    lines = [
        f"def forward(params, x{', training=False' if drops else ''}):",
        wrapped("[", pairs, "] = params", 4),
    ]
    if not starts_flat(workload):
        lines.append("    x = x.dimshuffle(0, 3, 1, 2)  # channels first")
    weights = 0
    for shape in infer_shapes(workload)[int(starts_flat(workload)) :]:
        weights += bool(shape.parameters)
        lines.append(f"    x = {_layer(shape, str(weights) if count > 1 else '')}")
    lines[-1] = lines[-1].replace("x = ", "return ", 1)
    return "\n".join(lines)


def _layer(shape: LayerShape, index: str) -> str:
    """The value of a layer; `index` is the end of its weights' names."""
    match shape.layer:
        case Dense(activation=activation):
            return _activated(f"T.dot(x, w{index}) + b{index}", activation)
        case Conv2d(activation=activation):
            items = ", ".join(["x", f"w{index}", f"b{index}", *_options(shape)])
            return _activated(f"conv({items})", activation)
        case MaxPool2d(pool_size=pool_size):
            return f"max_pool(x, {pool_size})"
        case AvgPool2d(pool_size=pool_size):
            return f"average_pool(x, {pool_size})"
        case Flatten():
            return "x.flatten(2)"
        case Dropout(rate=rate):
            return f"dropout(x, {rate}) if training else x"
        case _:
            raise AssertionError(shape.layer)


def _activated(text: str, activation: str) -> str:
    return text if activation == "linear" else f"{_ACTIVATIONS[activation]}({text})"


def _update(updates: Updates) -> str:
    """The function `update`, or "" if the optimizer keeps no arrays."""
    if not updates.slots:
        return ""
    lines = [f"def update({', '.join(['w', 'g', *updates.state])}):"]
    lines += [f"    {line}" for line in updates.number_lines("T.sqrt")]
    for name, formula in updates.formulas:
        text = formula.replace("sqrt(", "T.sqrt(")
        if name == "w":
            text = f"w - ({text})" if " + " in re.sub(r"\(.*\)", "", text) else f"w - {text}"
        lines.append(f"    {name} = {text}")
    return "\n".join([*lines, f"    return {', '.join(['w', *updates.slots])}"])


def _compile_step(workload: Workload, updates: Updates) -> str:
    lines = []
    for name, start in updates.slots.items():
        value = "0 * w.get_value()" if not start else f"np.full_like(w.get_value(), {start})"
        lines.append(f"        {name} = shared({value})")
    new = ", ".join(["w", *updates.slots])
    given = ", ".join(["w", "g", *updates.slots, *(["t + 1"] if updates.counts else [])])
    [(_, formula), *_] = updates.formulas
    change = f"zip([{new}], update({given}))" if updates.slots else f"[(w, w - {formula})]"
    lines.append(f"        updates += {change}")
    quadratic = workload.loss == "mean_squared_error"
    parts = {
        "images": _kind(workload),
        "training": ", training=True" if "dropout" in kinds(workload.layers) else "",
        "loss": _QUADRATIC if quadratic else _CROSS_ENTROPY,
        "count": "    t = shared(0)\n" if updates.counts else "",
        "first": "(t, t + 1)" if updates.counts else "",
        "change": "\n".join([*lines, ""]),
    }
    text = _COMPILE_STEP
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    return text


def _main(workload: Workload) -> str:
    size, predicted = "len(order)", "predict(test_images)"
    if workload.recipe.last_partial_batch == "drop":
        size = "len(order) - BATCH_SIZE + 1"
    parts = []
    if "conv2d" in kinds(workload.layers):  # in parts, as convolutions need memory
        parts = [
            "        parts = np.split(test_images, 10)",
            "        predicted = np.concatenate([predict(part) for part in parts])",
        ]
        predicted = "predicted"
    return "\n".join(
        [
            "def main():",
            '    images, labels = load_data("train")',
            '    test_images, test_labels = load_data("t10k")',
            "    params = init_params()",
            "    train_step, predict = compile_step(params), compile_prediction(params)",
            "    for epoch in range(EPOCHS):",
            "        order = rng.permutation(len(images))",
            f"        for start in range(0, {size}, BATCH_SIZE):",
            "            batch = order[start : start + BATCH_SIZE]",
            "            loss = train_step(images[batch], labels[batch])",
            *parts,
            f"        accuracy = ({predicted} == test_labels).mean()",
            '        print(f"epoch {epoch + 1}: loss {loss:.4f}, test accuracy {accuracy:.4f}")',
        ]
    )
