"""Writes a workload as a script in NumPy: forward, backward and update by hand.

A model of dense layers with one kind of activation becomes two functions; every other model has a
class per kind of layer.
"""

from __future__ import annotations

from backends.reference.script_layers import call_of, classes, draw, is_strided
from backends.script import (
    END,
    READER_IMPORTS,
    assemble,
    data_of,
    kinds,
    listed,
    starts_flat,
    wrapped,
)
from backends.script_updates import Updates, updates_of
from specs.model import LEAKY_SLOPE, Dense, Workload
from specs.shapes import infer_shapes

_WINDOWS = "from numpy.lib.stride_tricks import sliding_window_view"
# activation -> its value at z, and its derivative by the value x.
_ACTIVATIONS = {
    "relu": ("np.maximum(z, 0)", "(x > 0)"),
    "leaky_relu": (f"np.where(z > 0, z, {LEAKY_SLOPE} * z)", f"np.where(x > 0, 1, {LEAKY_SLOPE})"),
    "elu": ("np.where(z > 0, z, np.expm1(np.minimum(z, 0)))", "np.where(x > 0, 1, x + 1)"),
    "softplus": ("np.logaddexp(z, 0)", "-np.expm1(-x)"),
    "sigmoid": ("1 / (1 + np.exp(-z))", "x * (1 - x)"),
    "tanh": ("np.tanh(z)", "(1 - x**2)"),
    "linear": ("z", "1"),
}
_FORWARD = """\
def forward(model, x{training_default}):
    for layer in model:
        x = layer.forward(x{training})
    return x
"""
_FORWARD_DENSE = """\
def forward(weights, x):
    inputs = []
    for kernel, bias in zip(weights[::2], weights[1::2]):
        inputs.append(x)
        z = x @ kernel + bias
        x = {value}
    return inputs, z  # the last z are the logits
"""
_CROSS_ENTROPY = """\
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    loss = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    gradient = (probabilities - np.eye(10)[labels]) / len(labels)
"""
_QUADRATIC = """\
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    errors = probabilities - np.eye(10)[labels]
    loss = (errors**2).mean()
    means = (errors * probabilities).sum(axis=1, keepdims=True)
    gradient = 2 * probabilities * (errors - means) / errors.size
"""


def script(workload: Workload) -> str:
    """The workload in NumPy.

    Raises:
        Unsupported: a script cannot have the workload's data.
    """
    data, found = data_of(workload), kinds(workload.layers)
    has_windows = bool(found & {"conv2d", "max_pool2d", "avg_pool2d"})
    updates = updates_of(workload.optimizer)
    constants = [
        f"BATCH_SIZE = {workload.recipe.batch_size}",
        f"EPOCHS = {workload.recipe.epochs}",
        updates.constant_lines,
        f'URL = "{data.address}"',
        "",
        "rng = np.random.default_rng()",
    ]
    activation = _hidden_activation(workload)
    imports = [*READER_IMPORTS, "", "import numpy as np", *([_WINDOWS] if has_windows else [])]
    imports[2:2] = ["from itertools import pairwise"] if activation else []
    return assemble(
        workload,
        "NumPy",
        "numpy",
        "\n".join(imports),
        "\n".join(constants),
        *data.reader(flat=starts_flat(workload)),
        *(
            _with_classes(workload, updates)
            if activation is None
            else _with_functions(workload, updates, activation)
        ),
        END,
    )


def _hidden_activation(workload: Workload) -> str | None:
    """The activation of all hidden layers, "" if there are none; None if the layers differ."""
    dense = [layer for layer in workload.layers if isinstance(layer, Dense)]
    activations = {layer.activation for layer in dense[:-1]}
    is_plain = starts_flat(workload) and len(dense) == len(workload.layers) - 1
    return next(iter(activations), "") if is_plain and len(activations) < 2 else None  # noqa: PLR2004


def _loss(workload: Workload) -> str:
    is_quadratic = workload.loss == "mean_squared_error"
    return (_QUADRATIC if is_quadratic else _CROSS_ENTROPY).rstrip()


def _with_functions(workload: Workload, updates: Updates, activation: str) -> list[str]:
    """The definitions of a model of dense layers, whose weights are a list of arrays."""
    if not activation:
        return _softmax_regression(workload, updates)
    value, slope = _ACTIVATIONS[activation]
    times = "" if activation == "linear" else f" * {slope}"
    sizes = [shape.output[0] for shape in infer_shapes(workload)]
    return [
        draw(workload),
        "\n".join(
            [
                "def init_weights():",
                f"    sizes = {sizes}",
                "    weights = []",
                "    for inputs, outputs in pairwise(sizes):",
                "        weights += [draw(inputs, outputs), np.zeros(outputs)]",
                "    return weights",
            ]
        ),
        _FORWARD_DENSE.replace("{value}", value),
        "\n".join(
            [
                _step_head(updates),
                "    inputs, logits = forward(weights, images)",
                _loss(workload),
                "    gradients = []",
                "    for kernel, x in zip(reversed(weights[::2]), reversed(inputs)):",
                "        gradients = [x.T @ gradient, gradient.sum(axis=0), *gradients]",
                "        # x is the output of the layer before, which gives the slope there.",
                f"        gradient = gradient @ kernel.T{times}",
                *_update(updates),
            ]
        ),
        _main(workload, updates, "weights", "init_weights", "forward(weights, test_images)[1]"),
    ]


def _softmax_regression(workload: Workload, updates: Updates) -> list[str]:
    """The definitions of a model of one dense layer."""
    inputs, outputs = next(iter(infer_shapes(workload)[-1].parameters.values()))
    return [
        draw(workload),
        f"def init_weights():\n    return [draw({inputs}, {outputs}), np.zeros({outputs})]",
        "def forward(weights, x):\n    kernel, bias = weights\n    return x @ kernel + bias",
        "\n".join(
            [
                _step_head(updates),
                "    logits = forward(weights, images)",
                _loss(workload),
                "    gradients = [images.T @ gradient, gradient.sum(axis=0)]",
                *_update(updates),
            ]
        ),
        _main(workload, updates, "weights", "init_weights", "forward(weights, test_images)"),
    ]


def _with_classes(workload: Workload, updates: Updates) -> list[str]:
    """The definitions of a model that is a list of layers."""
    found = kinds(workload.layers)
    training = bool(found & {"dropout", "batch_norm"})
    first, strided = int(starts_flat(workload)), is_strided(workload)
    shapes = infer_shapes(workload)[first:]
    lines = [line for shape in shapes for line in call_of(shape, strided=strided)]
    call = f"forward(model, images{', training=True' if training else ''})"
    logits = "forward(model, test_images)"
    if "conv2d" in found:  # in parts, as the windows need memory
        logits = "np.concatenate([forward(model, part) for part in parts])"
    texts = [
        *classes(workload),
        "def build_model():\n" + listed("return [", lines, "]", 4),
        _FORWARD,
        "\n".join(
            [
                _step_head(updates).replace("weights", "model"),
                f"    logits = {call}",
                _loss(workload),
                "    for layer in reversed(model):",
                "        gradient = layer.backward(gradient)",
                "    weights = [w for layer in model for w in layer.weights]",
                "    gradients = [g for layer in model for g in layer.gradients]",
                *_update(updates),
            ]
        ),
        _main(workload, updates, "model", "build_model", logits),
    ]
    texts = [
        text.replace("{training_default}", ", training=False" if training else "") for text in texts
    ]
    return [text.replace("{training}", ", training" if training else "") for text in texts]


def _state(updates: Updates) -> list[str]:
    """The names of the lists of an optimizer's arrays, and of the number of the step."""
    return [f"{name}s" if name in updates.slots else name for name in updates.state]


def _step_head(updates: Updates) -> str:
    return wrapped("def train_step(", ["weights", *_state(updates), "images", "labels"], "):")


def _update(updates: Updates) -> list[str]:
    """The lines that change every weight, and return the loss."""
    names = ["w", "g", *updates.slots]
    lists = ["weights", "gradients", *(f"{name}s" for name in updates.slots)]
    return [
        *(f"    {line}" for line in updates.number_lines("np.sqrt")),
        wrapped(f"for {', '.join(names)} in zip(", lists, "):", 4),
        *(f"        {line}" for line in updates.in_place()),
        "    return loss",
    ]


def _main(workload: Workload, updates: Updates, model: str, build: str, logits: str) -> str:
    """The function `main`.

    Args:
        workload: the workload.
        updates: its optimizer.
        model: the name of what a step changes: "weights" or "model".
        build: the function that makes it.
        logits: the logits of the test images.
    """
    each = "for w in weights" if model == "weights" else "for layer in model for w in layer.weights"
    size = "len(order)"
    if workload.recipe.last_partial_batch == "drop":
        size = "len(order) - BATCH_SIZE + 1"
    slots = [
        f"    {name}s = [np.{'zeros_like(w)' if not value else f'full_like(w, {value})'} {each}]"
        for name, value in updates.slots.items()
    ]
    step = [model, *_state(updates), "images[batch]", "labels[batch]"]
    lines = [
        "def main():",
        '    images, labels = load_data("train")',
        '    test_images, test_labels = load_data("t10k")',
        f"    {model} = {build}()",
        *slots,
        "    t = 0" if updates.counts else "",
        "    for epoch in range(EPOCHS):",
        "        order = rng.permutation(len(images))",
        f"        for start in range(0, {size}, BATCH_SIZE):",
        "            batch = order[start : start + BATCH_SIZE]",
        "            t += 1" if updates.counts else "",
        wrapped("loss = train_step(", step, ")", 12),
        "        parts = np.split(test_images, 10)" if "part" in logits else "",
        f"        logits = {logits}",
        "        accuracy = (logits.argmax(axis=1) == test_labels).mean()",
        '        print(f"epoch {epoch + 1}: loss {loss:.4f}, test accuracy {accuracy:.4f}")',
    ]
    return "\n".join(line for line in lines if line)
