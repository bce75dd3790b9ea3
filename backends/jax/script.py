"""Writes a workload as a script in JAX: pure functions, `value_and_grad`, `jit`."""

from __future__ import annotations

from backends.contract import Unsupported
from backends.script import (
    END,
    READER_IMPORTS,
    assemble,
    comprehension,
    data_of,
    kinds,
    starts_flat,
    wrapped,
)
from backends.script_updates import Updates, updates_of
from specs.model import (
    AvgPool2d,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    MaxPool2d,
    Workload,
)
from specs.shapes import LayerShape, infer_shapes

_ACTIVATIONS = {
    "relu": "jax.nn.relu",
    "leaky_relu": "jax.nn.leaky_relu",  # JAX's own slope is the one of `specs.model`
    "elu": "jax.nn.elu",
    "softplus": "jax.nn.softplus",
    "sigmoid": "jax.nn.sigmoid",
    "tanh": "jnp.tanh",
}
_VARIANCE = "jax.nn.initializers.variance_scaling"
# JAX's own normal initializers are truncated. JAX's uniform one draws from 0 on.
_INITIALIZERS = {
    "glorot_uniform": "jax.nn.initializers.glorot_uniform()",
    "he_uniform": "jax.nn.initializers.he_uniform()",
    "glorot_normal": f'{_VARIANCE}(1.0, "fan_avg", "normal")',
    "he_normal": f'{_VARIANCE}(2.0, "fan_in", "normal")',
    "lecun_normal": f'{_VARIANCE}(1.0, "fan_in", "normal")',
    "uniform": "jax.nn.initializers.uniform(0.1)",
    "zeros": "jax.nn.initializers.zeros",
}
_CONV = """\
def conv(x, kernel{arguments}):
    return jax.lax.conv_general_dilated(
        x, kernel, {values}, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
"""
_MAX_POOL = """\
def max_pool(x, size):
    window = (1, *size, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
"""
_AVERAGE_POOL = """\
def average_pool(x, size):
    window = (1, *size, 1)
    total = jax.lax.reduce_window(x, 0.0, jax.lax.add, window, window, "VALID")
    return total / (size[0] * size[1])
"""
_DROPOUT = """\
def dropout(x, rate, key):
    if key is None:  # not in training
        return x
    kept = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(kept, x / (1 - rate), 0)
"""
_CROSS_ENTROPY = "-(one_hot * jax.nn.log_softmax(logits)).sum(axis=1).mean()"
_QUADRATIC = "((jax.nn.softmax(logits) - one_hot) ** 2).mean()"


def script(workload: Workload) -> str:
    """The workload in JAX; the optimizer is written out, as JAX has none.

    Raises:
        Unsupported: a script cannot have the workload's data, or the model has batch norm.
    """
    data, found = data_of(workload), kinds(workload.layers)
    if "batch_norm" in found:
        raise Unsupported(
            "JAX has no layers, and batch norm by hand, with its running averages, would take more"
            " lines than the rest of the model"
        )
    updates = updates_of(workload.optimizer)
    imports = [*READER_IMPORTS, "", "import jax", "import jax.numpy as jnp", "import numpy as np"]
    return assemble(
        workload,
        "JAX",
        "jax",
        "\n".join(imports),
        _constants(workload, updates),
        *data.reader(flat=starts_flat(workload)),
        _init_params(workload),
        _convolution(workload) if "conv2d" in found else "",
        _MAX_POOL if "max_pool2d" in found else "",
        _AVERAGE_POOL if "avg_pool2d" in found else "",
        _DROPOUT if "dropout" in found else "",
        _forward(workload),
        _loss(workload),
        _train_step(workload, updates),
        _main(workload, updates),
        END,
    )


def _constants(workload: Workload, updates: Updates) -> str:
    lines = [
        f"BATCH_SIZE = {workload.recipe.batch_size}",
        f"EPOCHS = {workload.recipe.epochs}",
        updates.constant_lines,
        f'URL = "{data_of(workload).address}"',
    ]
    return "\n".join(lines)


def _convolution(workload: Workload) -> str:
    """The function `conv`; it takes strides and padding if the layers differ from its own."""
    plain = all(
        layer.strides == (1, 1) and layer.padding == "valid"
        for layer in workload.layers
        if isinstance(layer, Conv2d)
    )
    arguments = "" if plain else ', strides=(1, 1), padding="VALID"'
    values = '(1, 1), "VALID"' if plain else "strides, padding"
    return _CONV.replace("{arguments}", arguments).replace("{values}", values)


def _weighted(workload: Workload) -> list[LayerShape]:
    return [shape for shape in infer_shapes(workload) if shape.parameters]


def _init_params(workload: Workload) -> str:
    kernels = [str(next(iter(shape.parameters.values()))) for shape in _weighted(workload)]
    # Half of the range is subtracted, as JAX's uniform initializer begins at 0.
    shift = " - 0.05" if workload.recipe.initializer == "uniform" else ""
    pairs = f"(initializer(k, shape){shift}, jnp.zeros(shape[-1]))"
    return "\n".join(
        [
            "def init_params(key):",
            wrapped("shapes = [", kernels, "]", 4),
            "    keys = jax.random.split(key, len(shapes))",
            f"    initializer = {_INITIALIZERS[workload.recipe.initializer]}",
            comprehension("return [", pairs, "for k, shape in zip(keys, shapes)", "]", 4),
        ]
    )


def _forward(workload: Workload) -> str:
    count = len(_weighted(workload))
    pairs = [f"(w{index}, b{index})" for index in range(1, count + 1)] if count > 1 else ["(w, b)"]
    dropouts = sum(isinstance(layer, Dropout) for layer in workload.layers)
    argument = f", keys=(None,) * {dropouts}" if dropouts > 1 else ", key=None"
    lines = [
        f"def forward(params, x{argument if dropouts else ''}):",
        wrapped("[", pairs, "] = params", 4),
    ]
    weights, drops = 0, 0
    for shape in infer_shapes(workload)[int(starts_flat(workload)) :]:
        weights += bool(shape.parameters)
        key = f"keys[{drops}]" if dropouts > 1 else "key"
        drops += isinstance(shape.layer, Dropout)
        lines.append(f"    x = {_layer(shape, str(weights) if count > 1 else '', key)}")
    lines[-1] = lines[-1].replace("x = ", "return ", 1)
    return "\n".join(lines)


def _layer(shape: LayerShape, index: str, key: str) -> str:
    """The value of a layer; `index` is the end of its weights' names, `key` its random key."""
    match shape.layer:
        case Dense(activation=activation):
            return _activated(f"x @ w{index} + b{index}", activation)
        case Conv2d(activation=activation) as spec:
            items = ["x", f"w{index}"]
            items += [f"strides={spec.strides}"] if spec.strides != (1, 1) else []
            items += ['padding="SAME"'] if spec.padding == "same" else []
            return _activated(f"conv({', '.join(items)}) + b{index}", activation)
        case MaxPool2d(pool_size=pool_size):
            return f"max_pool(x, {pool_size})"
        case AvgPool2d(pool_size=pool_size):
            return f"average_pool(x, {pool_size})"
        case Flatten():
            return "x.reshape(len(x), -1)"
        case Dropout(rate=rate):
            return f"dropout(x, {rate}, {key})"
        case _:
            raise AssertionError(shape.layer)


def _activated(text: str, activation: str) -> str:
    return text if activation == "linear" else f"{_ACTIVATIONS[activation]}({text})"


def _loss(workload: Workload) -> str:
    quadratic = workload.loss == "mean_squared_error"
    dropouts = sum(isinstance(layer, Dropout) for layer in workload.layers)
    key, keys = (", key", "key") if dropouts else ("", "")
    if dropouts > 1:
        keys = f"jax.random.split(key, {dropouts})"
    return "\n".join(
        [
            f"def loss_function(params, images, labels{key}):",
            wrapped("logits = forward(", ["params", "images", *([keys] if keys else [])], ")", 4),
            "    one_hot = jax.nn.one_hot(labels, 10)",
            f"    return {_QUADRATIC if quadratic else _CROSS_ENTROPY}",
        ]
    )


def _arguments(workload: Workload) -> list[str]:
    return ["key"] if "dropout" in kinds(workload.layers) else []


def _train_step(workload: Workload, updates: Updates) -> str:
    returned = ["params", *updates.slots, "loss"]
    given = ["params", *updates.state, "images", "labels", *_arguments(workload)]
    call = ["params", "images", "labels", *_arguments(workload)]
    gradient = "loss, gradients = jax.value_and_grad(loss_function)("
    return "\n".join(
        [
            "@jax.jit",
            wrapped("def train_step(", given, "):"),
            wrapped(gradient, call, ")", 4),
            *updates.tree_maps(4),
            f"    return {', '.join(returned)}",
        ]
    )


def _main(workload: Workload, updates: Updates) -> str:
    found = kinds(workload.layers)
    drops, size = "dropout" in found, "len(order)"
    if workload.recipe.last_partial_batch == "drop":
        size = "len(order) - BATCH_SIZE + 1"
    given = ["params", *updates.state, "images[batch]", "labels[batch]"]
    given += ["dropout_key"] if drops else []
    step = f"{', '.join(['params', *updates.slots, 'loss'])} = train_step("
    lines = [
        "def main():",
        '    images, labels = load_data("train")',
        '    test_images, test_labels = load_data("t10k")',
        "    rng = np.random.default_rng(0)",
        "    key, init_key = jax.random.split(jax.random.key(0))"
        if drops
        else "    key = jax.random.key(0)",
        f"    params = init_params({'init_key' if drops else 'key'})",
        *_slots(updates),
        "    for epoch in range(EPOCHS):",
        "        order = rng.permutation(len(images))",
        f"        for start in range(0, {size}, BATCH_SIZE):",
        "            batch = order[start : start + BATCH_SIZE]",
        "            key, dropout_key = jax.random.split(key)" if drops else "",
        "            t += 1" if updates.counts else "",
        wrapped(step, given, ")", 12),
        *_test(has_convolutions="conv2d" in found),
    ]
    return "\n".join(filter(None, lines))


def _slots(updates: Updates) -> list[str]:
    """The lines that create the optimizer's arrays."""
    lines = [
        f"    {name} = jax.tree.map(jnp.zeros_like, params)"
        if not value
        else f"    {name} = jax.tree.map(lambda w: jnp.full_like(w, {value}), params)"
        for name, value in updates.slots.items()
    ]
    return [*lines, *(["    t = 0"] if updates.counts else [])]


def _test(*, has_convolutions: bool) -> list[str]:
    """The lines that print the accuracy; with convolutions in parts, as these need memory."""
    logits = "forward(params, test_images)"
    parts = []
    if has_convolutions:
        parts = [
            "        parts = np.split(test_images, 10)",
            "        logits = jnp.concatenate([forward(params, part) for part in parts])",
        ]
        logits = "logits"
    return [
        *parts,
        f"        accuracy = ({logits}.argmax(axis=1) == test_labels).mean()",
        '        print(f"epoch {epoch + 1}: loss {loss:.4f}, test accuracy {accuracy:.4f}")',
    ]
