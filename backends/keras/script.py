"""Writes a workload as a script in the style of Keras's examples: compile, fit, evaluate."""

from __future__ import annotations

from backends.keras.defaults import DEFAULTS
from backends.script import (
    END,
    EXPAND,
    assemble,
    data_of,
    listed,
    number,
    pair,
    settings_to_pass,
    starts_flat,
    wrapped,
)
from specs.model import (
    LEAKY_SLOPE,
    Adagrad,
    Adam,
    AdamW,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    MaxPool2d,
    RmsProp,
    Workload,
)
from specs.shapes import LayerShape, infer_shapes

# Keras's own initializer is glorot_uniform.
_INITIALIZERS = {"uniform": "random_uniform"}
_OPTIMIZERS = {
    "sgd": "SGD",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "adam": "Adam",
    "adamw": "AdamW",
    "adadelta": "Adadelta",
}
_ARGUMENTS = {"initial_accumulator": "initial_accumulator_value"}


def script(workload: Workload) -> str:
    """The workload in Keras: `Sequential`, `compile`, `fit`, `evaluate`.

    Raises:
        Unsupported: a script cannot have the workload's data.
    """
    is_expanded = data_of(workload).is_expanded
    imports = ["import keras", *(["import numpy as np"] if is_expanded else [])]
    return assemble(
        workload,
        "Keras",
        "keras",
        "\n".join([*imports, "from keras import layers"]),
        "",
        EXPAND if is_expanded else "",
        _load_data(workload),
        _build_model(workload),
        _main(workload),
        END,
    )


def load_lines(workload: Workload, keras: str) -> list[str]:
    """The lines that load the four arrays, in a function; `keras` is the module's name."""
    data, is_quadratic = data_of(workload), workload.loss == "mean_squared_error"
    module = f"{keras}.datasets.{data.archive.replace('-', '_')}"
    channel = "" if starts_flat(workload) else "[..., None]"
    lines = [
        wrapped("(x_train, y_train), (x_test, y_test) = ", [f"{module}.load_data()"], "", 4),
        "    x_train, y_train = expand(x_train, y_train)" if data.is_expanded else "",
        f'    x_train = x_train{channel}.astype("float32") / 255',
        f'    x_test = x_test{channel}.astype("float32") / 255',
        f"    y_train = {keras}.utils.to_categorical(y_train)" if is_quadratic else "",
        f"    y_test = {keras}.utils.to_categorical(y_test)" if is_quadratic else "",
    ]
    return [line for line in lines if line]


def model_lines(
    workload: Workload, head: str, keras: str, layers: str, *, softmax: bool
) -> list[str]:
    """The lines that define the model, in a function.

    Args:
        workload: the workload.
        head: the text before the model: "return ".
        keras: the name of the module: "keras".
        layers: the name of the module of layers: "layers".
        softmax: whether the last layer has the softmax, so that the model returns probabilities.
    """
    shapes = infer_shapes(workload)
    initializer = workload.recipe.initializer
    shape = workload.input.shape[:2] if starts_flat(workload) else workload.input.shape
    items = [f"{keras}.Input({shape})"]
    for layer in shapes:
        is_last = layer is shapes[-1]
        items += _layer(layer, layers, initializer, softmax=softmax and is_last)
    comment = f"    # Keras's {initializer} is a truncated normal distribution."
    return [
        *([comment] if initializer.endswith("normal") else []),
        f"    {head}{keras}.Sequential(",
        listed("[", items, "]", 8),
        "    )",
    ]


def _layer(shape: LayerShape, module: str, initializer: str, *, softmax: bool) -> list[str]:
    """The texts of a layer, and of its activation if that needs an argument."""
    match shape.layer:
        case Dense(units=units, activation=activation):
            items = [str(units)]
            return _with_activation(
                f"{module}.Dense(", items, "softmax" if softmax else activation, initializer, module
            )
        case Conv2d(activation=activation) as spec:
            items = [str(spec.filters), pair(spec.kernel_size)]
            items += [f"strides={pair(spec.strides)}"] if spec.strides != (1, 1) else []
            items += ['padding="same"'] if spec.padding == "same" else []
            return _with_activation(f"{module}.Conv2D(", items, activation, initializer, module)
        case MaxPool2d(pool_size=pool_size):
            return [f"{module}.MaxPooling2D({pair(pool_size)})"]
        case AvgPool2d(pool_size=pool_size):
            return [f"{module}.AveragePooling2D({pair(pool_size)})"]
        case BatchNorm(momentum=momentum, epsilon=epsilon):
            known = {row.setting: row.value for row in DEFAULTS}
            items = [f"momentum={momentum}"] if momentum != known["batch norm's momentum"] else []
            items += (
                [f"epsilon={number(epsilon)}"] if epsilon != known["batch norm's epsilon"] else []
            )
            return [f"{module}.BatchNormalization({', '.join(items)})"]
        case Flatten():
            return [f"{module}.Flatten()"]
        case Dropout(rate=rate):
            return [f"{module}.Dropout({rate})"]


def _with_activation(
    head: str, items: list[str], activation: str, initializer: str, module: str
) -> list[str]:
    """The text of a layer with weights; leaky_relu follows as a layer of its own."""
    if activation not in {"linear", "leaky_relu"}:
        items = [*items, f'activation="{activation}"']
    if initializer != "glorot_uniform":
        items = [*items, f'kernel_initializer="{_INITIALIZERS.get(initializer, initializer)}"']
    layer = wrapped(head, items, "),", 12).strip().removesuffix(",")  # the list adds the comma
    if activation == "leaky_relu":
        return [layer, f"{module}.LeakyReLU(negative_slope={LEAKY_SLOPE})"]
    return [layer]


def optimizer_text(workload: Workload, head: str, keras: str, tail: str, indent: int) -> str:
    """The lines that create the optimizer, between `head` and `tail`.

    A comment comes first, if Keras's optimizer has its epsilon at another place than the workload.
    """
    spec = workload.optimizer
    kind = _OPTIMIZERS[str(spec.__struct_config__.tag)]
    passed = settings_to_pass(spec, DEFAULTS)
    items = [f"{_ARGUMENTS.get(name, name)}={number(value)}" for name, value in passed.items()]
    created = wrapped(f"{head}{keras}.optimizers.{kind}(", items, f"){tail}", indent)
    comment = ""
    match spec:
        case RmsProp(epsilon_form="outside_root") | Adagrad(epsilon_form="outside_root"):
            comment = "Keras divides by sqrt(v + epsilon). Specified is sqrt(v) + epsilon."
        case Adam(epsilon_form="after_correction") | AdamW(epsilon_form="after_correction"):
            comment = "Keras adds epsilon before the bias correction. Specified is after it."
    return f"{' ' * indent}# {comment}\n{created}" if comment else created


def _load_data(workload: Workload) -> str:
    returned = "    return (x_train, y_train), (x_test, y_test)"
    return "\n".join(["def load_data():", *load_lines(workload, "keras"), returned])


def _build_model(workload: Workload) -> str:
    quadratic = workload.loss == "mean_squared_error"
    loss = "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
    return "\n".join(
        [
            "def build_model():",
            *model_lines(workload, "model = ", "keras", "layers", softmax=quadratic),
            "    model.compile(",
            optimizer_text(workload, "optimizer=", "keras", ",", 8),
            f"        loss={loss if not quadratic else 'keras.losses.MeanSquaredError()'},",
            '        metrics=["accuracy"],',
            "    )",
            "    return model",
        ]
    )


def _main(workload: Workload) -> str:
    recipe = workload.recipe
    items = ("x_train", "y_train", f"batch_size={recipe.batch_size}", f"epochs={recipe.epochs}")
    lines = [
        "def main():",
        "    (x_train, y_train), (x_test, y_test) = load_data()",
        "    model = build_model()",
    ]
    if recipe.last_partial_batch == "drop":
        lines.append("    # fit also trains on the last, smaller batch, which should be left out.")
    lines += [
        wrapped("model.fit(", items, ")", 4),
        "    _, accuracy = model.evaluate(x_test, y_test)",
        '    print(f"test accuracy {accuracy:.4f}")',
    ]
    return "\n".join(lines)
