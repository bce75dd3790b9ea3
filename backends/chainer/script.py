"""Writes a workload as a script in the style of Chainer's example with a loop of one's own."""

from __future__ import annotations

from collections.abc import Mapping

from backends.chainer.defaults import DEFAULTS
from backends.script import (
    END,
    READER_IMPORTS,
    assemble,
    data_of,
    kinds,
    listed,
    number,
    padding_of,
    pair,
    settings_to_pass,
    starts_flat,
    wrapped,
)
from backends.script_updates import updates_of
from specs.model import (
    Adadelta,
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
    Optimizer,
    RmsProp,
    Sgd,
    Workload,
)
from specs.shapes import LayerShape, infer_shapes

_ACTIVATIONS = {
    "relu": "F.relu",
    "leaky_relu": "lambda x: F.leaky_relu(x, slope=0.01)",
    "elu": "F.elu",
    "softplus": "F.softplus",
    "sigmoid": "F.sigmoid",
    "tanh": "F.tanh",
}
_INITIALIZERS = {
    "glorot_uniform": "GlorotUniform()",
    "glorot_normal": "GlorotNormal()",
    "he_uniform": "HeUniform()",
    "he_normal": "HeNormal()",
    "lecun_normal": "",  # Chainer's default
    "uniform": "Uniform(0.05)",
    "zeros": "Zero()",
}
_ARGUMENTS = {
    "rmsprop": {"learning_rate": "lr", "rho": "alpha", "epsilon": "eps"},
    "adagrad": {"learning_rate": "lr", "epsilon": "eps"},
    "adadelta": {"rho": "rho", "epsilon": "eps"},
    "adam": {"learning_rate": "alpha", "beta_1": "beta1", "beta_2": "beta2", "epsilon": "eps"},
}
_KINDS = {"rmsprop": "RMSprop", "adagrad": "AdaGrad", "adadelta": "AdaDelta"}
_SQUARED_ERROR = '''\
def squared_error(logits, labels):
    """The mean squared error of the softmax probabilities."""
    one_hot = np.eye(10, dtype=np.float32)[labels]
    return F.mean_squared_error(F.softmax(logits), one_hot)
'''
_TRAIN = """\
def train(model, iterator, optimizer):
    iterator.reset()
    for batch in iterator:
{skip}        images, labels = concat_examples(batch)
        optimizer.update(model, images, labels)
"""
_SKIP = """\
        if len(batch) < BATCH_SIZE:
            continue
"""
_TEST = """\
def test(model, iterator):
    iterator.reset()
    correct = 0
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        for batch in iterator:
            images, labels = concat_examples(batch)
            logits = model.predictor(images).array
            correct += (logits.argmax(axis=1) == labels).sum()
    return correct / len(iterator.dataset)
"""
_ITERATORS = """\
    train_data = TupleDataset(*load_data("train"))
    test_data = TupleDataset(*load_data("t10k"))
    # With repeat=True the last batch is filled up from the next epoch.
    train_iterator = SerialIterator(train_data, BATCH_SIZE, repeat=False)
    test_iterator = SerialIterator(test_data, BATCH_SIZE, repeat=False, shuffle=False)
"""
_EPOCHS = """\
    optimizer.setup(model)
    for epoch in range(EPOCHS):
        train(model, train_iterator, optimizer)
        print(f"epoch {epoch + 1}: test accuracy {test(model, test_iterator):.4f}")
"""
_RULE = '''\
class Rule(chainer.UpdateRule):
    """{title}; Chainer has it in another form."""
{init}
    def update_core_cpu(self, param):
{lines}


class Method(chainer.optimizer.GradientMethod):
    def create_update_rule(self):
        return Rule()
'''
_INIT = """
    def init_state(self, param):
{lines}
"""


def script(workload: Workload) -> str:
    """The workload in Chainer: a `Sequential`, an optimizer, and a loop over an iterator.

    Raises:
        Unsupported: a script cannot have the workload's data.
    """
    data = data_of(workload)
    constants = [f"BATCH_SIZE = {workload.recipe.batch_size}", f"EPOCHS = {workload.recipe.epochs}"]
    constants.append(f'URL = "{data.address}"')
    own = "" if _has(workload.optimizer) else _rule(workload.optimizer)
    if own:
        constants.append(updates_of(workload.optimizer).constant_lines)
    return assemble(
        workload,
        "Chainer",
        "chainer",
        "\n".join(_imports(workload)),
        "\n".join(constants),
        *_readers(workload),
        own,
        _build_model(workload),
        _SQUARED_ERROR if workload.loss == "mean_squared_error" else "",
        _TRAIN.format(skip=_SKIP if workload.recipe.last_partial_batch == "drop" else ""),
        _TEST,
        _main(workload),
        END,
    )


def _imports(workload: Workload) -> list[str]:
    text = _build_model(workload)
    uses_functions = "F." in text or workload.loss == "mean_squared_error"
    return [
        *READER_IMPORTS,
        "",
        "import chainer",
        *(["import chainer.functions as F"] if uses_functions else []),
        "import chainer.links as L",
        "import numpy as np",
        "from chainer.dataset import concat_examples",
        "from chainer.datasets import TupleDataset",
        "from chainer.iterators import SerialIterator",
    ]


def _readers(workload: Workload) -> list[str]:
    """The functions that read the data, with images channel first and labels of 32 bits."""
    readers = data_of(workload).reader(flat=starts_flat(workload))
    texts = [text.replace("-1, 28, 28, 1", "-1, 1, 28, 28") for text in readers]
    return [
        text.replace("np.float32(255), labels", "np.float32(255), labels.astype(np.int32)")
        for text in texts
    ]


def _build_model(workload: Workload) -> str:
    shapes = list(infer_shapes(workload))
    if starts_flat(workload):
        shapes = shapes[1:]  # the images are loaded as vectors
    initializer = _INITIALIZERS[workload.recipe.initializer]
    start = ["initialW=start"] if initializer else []
    lines = [line for shape in shapes for line in _layer(shape, start)]
    comments = []
    if "batch_norm" in kinds(workload.layers):
        comments += ["    # The running variance of Chainer's batch norm is unbiased, with n - 1."]
    if "max_pool2d" in kinds(workload.layers):
        comments += ["    # With cover_all=True Chainer would keep a partial window at the edge."]
    defined = [f"    start = chainer.initializers.{initializer}"] if initializer else []
    call = listed("return chainer.Sequential(", lines, ")", 4)
    return "\n".join(["def build_model():", *defined, *comments, call])


def _layer(shape: LayerShape, start: list[str]) -> list[str]:
    """The texts of a layer and its activation.

    `start` holds the argument that says how a kernel's first values are drawn.
    """
    match shape.layer:
        case Dense(units=units, activation=activation):
            items = [str(shape.input[0]), str(units), *start]
            return [f"L.Linear({', '.join(items)})", *_activation(activation)]
        case Conv2d(activation=activation):
            return [*_convolution(shape, shape.layer, start), *_activation(activation)]
        case MaxPool2d(pool_size=pool_size):
            return [f"lambda x: F.max_pooling_2d(x, {pair(pool_size)}, cover_all=False)"]
        case AvgPool2d(pool_size=pool_size):
            return [f"lambda x: F.average_pooling_2d(x, {pair(pool_size)})"]
        case BatchNorm(momentum=momentum, epsilon=epsilon):
            known = {row.setting: row.value for row in DEFAULTS}
            items = [str(shape.output[-1])]
            items += [f"decay={momentum}"] if momentum != known["batch norm's momentum"] else []
            items += [f"eps={number(epsilon)}"] if epsilon != known["batch norm's epsilon"] else []
            return [f"L.BatchNormalization({', '.join(items)})"]
        case Flatten():
            return ["lambda x: x.reshape(len(x), -1)"]
        case Dropout(rate=rate):
            return [f"lambda x: F.dropout(x, {rate})"]


def _convolution(shape: LayerShape, spec: Conv2d, start: list[str]) -> list[str]:
    """The texts of a convolution, and of the padding before it if Chainer's own cannot do it."""
    items = [str(shape.input[2]), str(spec.filters), pair(spec.kernel_size)]
    items += [f"stride={pair(spec.strides)}"] if spec.strides != (1, 1) else []
    before = []
    if spec.padding == "same":
        rows, columns = padding_of(shape.input, spec.kernel_size, spec.strides)
        if rows[0] == rows[1] and columns[0] == columns[1]:
            items += [f"pad={pair((rows[0], columns[0]))}"]
        else:
            width = f"((0, 0), (0, 0), {rows}, {columns})"
            before = [f'lambda x: F.pad(x, {width}, "constant")']
    return [*before, f"L.Convolution2D({', '.join([*items, *start])})"]


def _activation(name: str) -> list[str]:
    return [] if name == "linear" else [_ACTIVATIONS[name]]


def _has(spec: Optimizer) -> bool:
    """Whether Chainer has the optimizer by the workload's formula."""
    match spec:
        case Sgd(nesterov=True, momentum=momentum):
            return not momentum
        case Adagrad(initial_accumulator=start, epsilon_form=form):
            return start == 0 and form == "outside_root"
        case Adam(epsilon_form=form) | AdamW(epsilon_form=form):
            return form == "before_correction"
        case Adadelta(learning_rate=rate):
            return rate == 1
        case _:
            return True


def _rule(spec: Optimizer) -> str:
    """The classes that compute an optimizer which Chainer has in another form only."""
    updates = updates_of(spec)
    titles = {Sgd: "Nesterov's momentum", Adagrad: "Adagrad", Adadelta: "Adadelta", Adam: "Adam"}
    title = titles.get(type(spec), "AdamW")
    slots = [
        f'        self.state["{name}"] = np.full_like(param.array, {number(value)})'
        for name, value in updates.slots.items()
    ]
    arrays = ", ".join(f'self.state["{name}"]' for name in updates.slots)
    lines = ["w, g = param.array, param.grad", f"{', '.join(updates.slots)} = {arrays}"]
    lines += ["t = self.t"] if updates.counts else []
    lines += [*updates.number_lines("np.sqrt"), *updates.in_place()]
    body = "\n".join(f"        {line}" for line in lines)
    return _RULE.format(title=title, init=_INIT.format(lines="\n".join(slots)), lines=body)


def _main(workload: Workload) -> str:
    items = ["build_model()"]
    if workload.loss == "mean_squared_error":
        items.append("lossfun=squared_error")
    return "\n".join(
        [
            "def main():",
            _ITERATORS + f"    model = L.Classifier({', '.join(items)})",
            _optimizer(workload.optimizer),
            _EPOCHS,
        ]
    )


def _optimizer(spec: Optimizer) -> str:
    """The lines that make the optimizer."""
    if not _has(spec):
        return "    optimizer = Method()"
    comment = ""
    passed = settings_to_pass(spec, DEFAULTS)
    match spec:
        case Sgd(learning_rate=rate, momentum=momentum):
            kind = "MomentumSGD" if momentum else "SGD"
            items = [f"lr={number(rate)}"] if "learning_rate" in passed else []
            items += [f"momentum={momentum}"] if momentum and "momentum" in passed else []
        case Adam() | AdamW():
            kind, items = "Adam", _named("adam", passed)
            if isinstance(spec, AdamW):
                comment = "    # Chainer's decay is not multiplied by the learning rate.\n"
                decay = f"{number(spec.learning_rate)} * {number(spec.weight_decay)}"
                items.append(f"weight_decay_rate={decay}")
        case _:
            tag = str(spec.__struct_config__.tag)
            kind, items = _KINDS[tag], _named(tag, passed)
            if isinstance(spec, RmsProp) and spec.epsilon_form == "inside_root":
                items.append("eps_inside_sqrt=True")
    return comment + wrapped(f"optimizer = chainer.optimizers.{kind}(", items, ")", 4)


def _named(kind: str, passed: Mapping[str, float | bool]) -> list[str]:
    """The arguments for settings, by Chainer's names."""
    names = _ARGUMENTS[kind]
    return [f"{names[name]}={number(value)}" for name, value in passed.items() if name in names]
