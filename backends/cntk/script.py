"""Writes a workload as a script for CNTK 2.7: `layers.Sequential`, and a `Trainer` in a loop.

The script is for Python 3.6, the last one for which CNTK has a package.
"""

from __future__ import annotations

from math import log

from backends.script import (
    END,
    READER_IMPORTS,
    Data,
    assemble,
    data_of,
    kinds,
    listed,
    number,
    padding_of,
    starts_flat,
    wrapped,
)
from backends.script_updates import updates_of
from specs.model import (
    LEAKY_SLOPE,
    Adadelta,
    Adam,
    AdamW,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    MaxPool2d,
    Optimizer,
    RmsProp,
    Sgd,
    Workload,
)
from specs.shapes import LayerShape, infer_shapes

_ACTIVATIONS = {
    "relu": "C.relu",
    "leaky_relu": "leaky_relu",
    "elu": "C.elu",
    "softplus": "C.softplus",
    "sigmoid": "C.sigmoid",
    "tanh": "C.tanh",
}
# A Glorot or He initializer of CNTK takes its fans from the axes, as those here.
_INITIALIZERS = {
    "glorot_uniform": "C.glorot_uniform()",
    "glorot_normal": "C.glorot_normal()",
    "he_uniform": "C.he_uniform()",
    "he_normal": "C.he_normal()",
    "lecun_normal": "C.he_normal(scale=0.5**0.5)",
    "uniform": "C.uniform(0.05)",
    "zeros": "0",
}
_LEAKY = f'''\
def leaky_relu(x):
    """CNTK's own has the derivative 1 at 0."""
    return C.element_select(C.greater(x, 0), x, {LEAKY_SLOPE} * x)
'''
_NORM = """\
    # Batch norm: CNTK's running averages begin with the first batch, and its running
    # variance is the unbiased one, with n - 1.
"""
_TRAIN = """\
def train(trainer, images, labels, x, y):
    order = np.random.permutation(len(x))
    for start in range(0, {end}, BATCH_SIZE):
        batch = order[start : start + BATCH_SIZE]
{count}        trainer.train_minibatch({images: x[batch], labels: y[batch]})
"""
_COUNT = """\
        examples.value = np.array(len(batch), np.float32)
"""
_TEST = """\
def test(logits, x, labels):
    parts = [logits.eval(x[start : start + 1000]) for start in range(0, len(x), 1000)]
    return (np.concatenate(parts).argmax(axis=1) == labels).mean()
"""
_MAIN = """\
def main():
    x, y = load_data("train")
    x_test, y_test = load_data("t10k")
{reshape}    images, labels = C.input_variable({shape}), C.input_variable(10)
    logits = build_model(images)
    {loss}
    {learner}
    trainer = C.Trainer(logits, (loss,), [learner])
    one_hot = np.eye(10, dtype=np.float32)[y]
    for epoch in range(EPOCHS):
        train(trainer, images, labels, x, one_hot)
        accuracy = test(logits, x_test, y_test)
        print(f"epoch {epoch + 1}: test accuracy {accuracy:.4f}")
"""
_RESHAPE = """\
    x, x_test = x.reshape(-1, 1, 28, 28), x_test.reshape(-1, 1, 28, 28)
"""
_LOSSES = {
    "softmax_cross_entropy": "loss = C.cross_entropy_with_softmax(logits, labels)",
    "mean_squared_error": "loss = C.reduce_mean(C.square(C.softmax(logits) - labels))",
}


def script(workload: Workload) -> str:
    """The workload in CNTK.

    Raises:
        Unsupported: a script cannot have the workload's data.
    """
    data = data_of(workload)
    formula = _formula(workload.optimizer)
    constants = [f"BATCH_SIZE = {workload.recipe.batch_size}", f"EPOCHS = {workload.recipe.epochs}"]
    if formula:
        constants.append(updates_of(workload.optimizer).constant_lines)
    constants.append(f'URL = "{data.address}"')
    if formula:
        constants += ["", "examples = C.constant(1.0, ())  # the number of a batch's examples"]
    return assemble(
        workload,
        "CNTK",
        "cntk",
        "\n".join([*READER_IMPORTS, "", "import cntk as C", "import numpy as np"]),
        "\n".join(constants),
        *_definitions(workload, data, formula),
        END,
    )


def _definitions(workload: Workload, data: Data, formula: str) -> list[str]:
    flat = starts_flat(workload)
    activations = {getattr(layer, "activation", "") for layer in workload.layers}
    drops = workload.recipe.last_partial_batch == "drop"
    train = _TRAIN.replace("{end}", "len(x) - BATCH_SIZE + 1" if drops else "len(x)")
    main = _MAIN.replace("{reshape}", "" if flat else _RESHAPE)
    main = main.replace("{shape}", "784" if flat else "(1, 28, 28)")
    main = main.replace("{loss}", _LOSSES[workload.loss])
    return [
        *data.reader(flat=flat),
        _LEAKY if "leaky_relu" in activations else "",
        _build_model(workload),
        formula,
        train.replace("{count}", _COUNT if formula else ""),
        _TEST,
        main.replace("    {learner}", _learner(workload.optimizer)),
    ]


def _build_model(workload: Workload) -> str:
    shapes = infer_shapes(workload)
    shapes = shapes[1:] if starts_flat(workload) else shapes
    lines = [line for shape in shapes for line in _layer(shape, workload)]
    initializer = _INITIALIZERS[workload.recipe.initializer]
    note = _NORM if "batch_norm" in kinds(workload.layers) else ""
    return (
        "def build_model(images):\n"
        + note
        + f"    with C.layers.default_options(init={initializer}):\n"
        + "        model = C.layers.Sequential(\n"
        + listed("[", lines, "]", 12)
        + "\n        )"
        + "\n    return model(images)\n"
    )


def _layer(shape: LayerShape, workload: Workload) -> list[str]:
    """The texts of a layer; CNTK's activation is an argument of the layer before it."""
    match shape.layer:
        case Dense(units=units, activation=activation):
            tail = f", activation={_ACTIVATIONS[activation]}" if activation != "linear" else ""
            return [f"C.layers.Dense({units}{tail})"]
        case Conv2d():
            return _convolution(shape, shape.layer)
        case MaxPool2d(pool_size=size):
            return [f"C.layers.MaxPooling({size}, strides={size})"]
        case AvgPool2d(pool_size=size):
            return [f"C.layers.AveragePooling({size}, strides={size})"]
        case BatchNorm():
            return [_norm(shape, shape.layer, workload.recipe.batch_size)]
        case Flatten():  # CNTK's Dense flattens by itself
            then = workload.layers[shape.position + 1]
            length = shape.output[0]
            is_needed = not isinstance(then, Dense | Dropout)
            return [f"lambda x: C.reshape(x, {length})"] if is_needed else []
        case Dropout(rate=rate):
            return [f"C.layers.Dropout({number(rate)})"]


def _norm(shape: LayerShape, spec: BatchNorm, batch_size: int) -> str:
    """Batch norm; CNTK averages by a time constant in examples: exp(-batch / constant)."""
    rank = ["map_rank=1"] if len(shape.output) > 1 else []
    # With momentum 0 only the last batch counts; CNTK takes 0 for that.
    constant = round(-batch_size / log(spec.momentum)) if spec.momentum else 0
    arguments = [*rank, f"normalization_time_constant={constant}"]
    arguments.append(f"epsilon={number(spec.epsilon)}")
    return _item("C.layers.BatchNormalization(", arguments)


def _convolution(shape: LayerShape, spec: Conv2d) -> list[str]:
    """A convolution; the zeros stand in a `pad` before it where CNTK's own would differ."""
    before, own = [], []
    sides = padding_of(shape.input, spec.kernel_size, spec.strides)
    if spec.padding == "same" and any(map(any, sides)):
        if spec.strides == (1, 1) and all(first == last for first, last in sides):
            own = ["pad=True"]
        else:
            before = [f"lambda x: C.pad(x, [(0, 0), {sides[0]}, {sides[1]}])"]
    arguments = [str(spec.kernel_size), str(spec.filters), *own]
    arguments += [f"strides={spec.strides}"] if spec.strides != (1, 1) else []
    arguments += [f"activation={_ACTIVATIONS[spec.activation]}"] * (spec.activation != "linear")
    return [*before, _item("C.layers.Convolution2D(", arguments)]


def _item(head: str, arguments: list[str]) -> str:
    """A call that is an item of the list of layers: a comma follows it."""
    return wrapped(head, arguments, "),", 16).strip().rstrip(",")


def _has_own(spec: Optimizer) -> bool:
    """Whether CNTK has a learner with the formula of the workload."""
    match spec:
        case Sgd() | Adadelta():
            return True
        case Adam(epsilon_form=form):
            return form == "before_correction"
    return False


def _learner(spec: Optimizer) -> str:
    """The lines that make the learner."""
    if not _has_own(spec):
        return "    learner = C.universal(update, logits.parameters)"
    rate = f"C.learning_parameter_schedule({number(spec.learning_rate)})"
    arguments = ["logits.parameters", rate]
    ignore = "minibatch_size=C.learners.IGNORE"
    match spec:
        case Sgd(momentum=0.0):
            name = "sgd"
        case Sgd(momentum=momentum):
            name = "nesterov" if spec.nesterov else "momentum_sgd"
            arguments += [f"C.momentum_schedule({number(momentum)})", "unit_gain=False"]
        case Adadelta():
            name = "adadelta"
            arguments += [f"rho={number(spec.rho)}", f"epsilon={number(spec.epsilon)}", ignore]
        case Adam():
            name = "adam"
            second = f"variance_momentum=C.momentum_schedule({number(spec.beta_2)})"
            arguments += [f"C.momentum_schedule({number(spec.beta_1)})", second]
            arguments += [f"epsilon={number(spec.epsilon)}", ignore]
    note = (
        "    # Else CNTK divides the steps by the size of a batch.\n" if ignore in arguments else ""
    )
    return note + wrapped(f"learner = C.{name}(", arguments, ")", 4)


def _formula(spec: Optimizer) -> str:
    """A function for `C.universal` with the optimizer's formula; "" if CNTK has a learner."""
    if _has_own(spec):
        return ""
    updates = updates_of(spec)
    lines = ["def update(parameters, gradients):", f'    """{_why(spec)}"""', "    changes = []"]
    if updates.counts:
        lines += ["    t = C.constant(0.0, ())", "    t = C.assign(t, t + 1)"]
        lines += [f"    {_in_cntk(line)}" for line in updates.number_lines("C.sqrt")]
    lines += [
        "    for w, g in zip(parameters, gradients):",
        "        g = g / examples  # CNTK gives the sum over the batch",
    ]
    lines += [
        f"        {name} = C.constant({number(start)}, w.shape)"
        for name, start in updates.slots.items()
    ]
    lines += [
        f"        {name} = C.assign({name}, {_in_cntk(text)})"
        for name, text in updates.formulas
        if name != "w"
    ]
    *decay, step = [_in_cntk(text) for name, text in updates.formulas if name == "w"]
    lines += [f"        decay = {text}" for text in decay]
    if decay:
        lines += [f"        step = {step}"]
        step = "decay - step"
    lines += [f"        changes.append(C.assign(w, w - {step}))", "    return C.combine(changes)"]
    return "\n".join(lines)


def _in_cntk(text: str) -> str:
    """A formula in CNTK's functions."""
    text = text.replace("g**2", "g * g").replace("sqrt(", "C.sqrt(").replace("C.C.", "C.")
    for beta in ("BETA_1", "BETA_2"):
        text = text.replace(f"{beta}**t", f"C.pow({beta}, t)")
    return text


def _why(spec: Optimizer) -> str:
    """Why CNTK's own learner is not used."""
    match spec:
        case RmsProp():
            return "RMSprop; CNTK's own has no epsilon and bounds its steps."
        case Adam():
            return "Adam; CNTK's own adds epsilon before the bias correction."
        case AdamW():
            return "AdamW; CNTK has none."
    return "Adagrad; CNTK's own has an epsilon of its own."
