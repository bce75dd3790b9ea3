"""Writes a workload as a script in the style of Gluon's tutorials.

The four files of the data are read without MXNet: `gluon.data.vision` downloads them from a server
of the retired project.
"""

from __future__ import annotations

from backends.contract import Unsupported
from backends.mxnet.defaults import DEFAULTS
from backends.script import (
    END,
    READER_IMPORTS,
    assemble,
    data_of,
    listed,
    number,
    padding_of,
    pair,
    settings_to_pass,
    starts_flat,
    wrapped,
)
from specs.model import (
    LEAKY_SLOPE,
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

_IN_LAYERS = {"relu": "relu", "sigmoid": "sigmoid", "tanh": "tanh", "softplus": "softrelu"}
_OWN_LAYERS = {"leaky_relu": f"nn.LeakyReLU({LEAKY_SLOPE})", "elu": "nn.ELU()"}
_INITIALIZERS = {
    "glorot_uniform": "Xavier()",
    "glorot_normal": 'Xavier("gaussian", "avg", magnitude=1)',
    "he_uniform": 'Xavier("uniform", "in", magnitude=6)',
    "he_normal": 'Xavier("gaussian", "in", magnitude=2)',
    "lecun_normal": 'Xavier("gaussian", "in", magnitude=1)',
    "uniform": "Uniform(0.05)",
    "zeros": "Zero()",
}
_ARGUMENTS = {"beta_1": "beta1", "beta_2": "beta2"}
_SQUARED_ERROR = """\
def squared_error(logits, labels):
    one_hot = mx.nd.one_hot(labels, 10)
    # The loss is half the weight times the square.
    return gluon.loss.L2Loss(weight=2)(mx.nd.softmax(logits), one_hot)
"""
_TRAIN = """\
def train(model, loader, loss_function, trainer):
    for images, labels in loader:
        with autograd.record():
            losses = loss_function(model(images), labels)
        losses.backward()
        trainer.step(len(images))
"""
_TEST = """\
def test(model, loader):
    accuracy = mx.metric.Accuracy()
    for images, labels in loader:
        accuracy.update(labels, model(images))
    return accuracy.get()[1]
"""
_EPOCHS = """\
    for epoch in range(EPOCHS):
        train(model, train_loader, loss_function, trainer)
        print(f"epoch {epoch + 1}: test accuracy {test(model, test_loader):.4f}")
"""


def script(workload: Workload) -> str:
    """The workload in MXNet: `HybridSequential`, a DataLoader, `autograd.record`, `Trainer`.

    Raises:
        Unsupported: a script cannot have the workload's data, or MXNet has not its optimizer.
    """
    data, recipe = data_of(workload), workload.recipe
    _check_optimizer(workload.optimizer)
    imports = [*READER_IMPORTS, "", "import mxnet as mx", "import numpy as np"]
    imports += ["from mxnet import autograd, gluon", "from mxnet.gluon import nn"]
    constants = [f"BATCH_SIZE = {recipe.batch_size}", f"EPOCHS = {recipe.epochs}"]
    return assemble(
        workload,
        "MXNet",
        "mxnet",
        "\n".join(imports),
        "\n".join([*constants, f'URL = "{data.address}"']),
        *data.reader(flat=starts_flat(workload)),
        _make_loader(workload),
        _build_model(workload),
        _SQUARED_ERROR if workload.loss == "mean_squared_error" else "",
        _TRAIN,
        _TEST,
        _main(workload),
        END,
    )


def _check_optimizer(spec: Optimizer) -> None:
    """Raise `Unsupported` for an optimizer that MXNet has not."""
    match spec:
        case AdamW():
            raise Unsupported("MXNet has no AdamW, so there is no script")
        case Adagrad(initial_accumulator=start) if start:
            raise Unsupported("MXNet's AdaGrad starts at 0, so there is no script from another")
        case Adadelta(learning_rate=rate) if rate != 1:
            raise Unsupported("MXNet's AdaDelta has no learning rate, so there is no script")


def _make_loader(workload: Workload) -> str:
    items = ["dataset", "BATCH_SIZE", "shuffle=shuffle"]
    if workload.recipe.last_partial_batch == "drop":
        items.append('last_batch="discard" if shuffle else "keep"')
    lines = ["def make_loader(part, shuffle):", "    images, labels = load_data(part)"]
    if not starts_flat(workload):
        lines.append("    images = images.transpose(0, 3, 1, 2)  # channels first")
    return "\n".join(
        [
            *lines,
            "    dataset = gluon.data.ArrayDataset(images, labels)",
            wrapped("return gluon.data.DataLoader(", items, ")", 4),
        ]
    )


def _build_model(workload: Workload) -> str:
    shapes = infer_shapes(workload)[1 if starts_flat(workload) else 0 :]
    return "\n".join(
        [
            "def build_model():",
            "    model = nn.HybridSequential()",
            listed("model.add(", [text for shape in shapes for text in _layer(shape)], ")", 4),
            f"    model.initialize(mx.init.{_INITIALIZERS[workload.recipe.initializer]})",
            "    model.hybridize()",
            "    return model",
        ]
    )


def _layer(shape: LayerShape) -> list[str]:
    """The texts of a layer and its activation."""
    match shape.layer:
        case Dense(units=units, activation=activation):
            return _with_activation("nn.Dense", [str(units)], activation)
        case Conv2d() as spec:
            padding, items = _convolution(shape, spec)
            return [*padding, *_with_activation("nn.Conv2D", items, spec.activation)]
        case MaxPool2d(pool_size=pool_size):
            return [f"nn.MaxPool2D({pair(pool_size)})"]
        case AvgPool2d(pool_size=pool_size):
            return [f"nn.AvgPool2D({pair(pool_size)})"]
        case BatchNorm(momentum=momentum, epsilon=epsilon):
            known = {row.setting: row.value for row in DEFAULTS}
            items = []
            items += [f"momentum={momentum}"] if momentum != known["batch norm's momentum"] else []
            is_default = epsilon == known["batch norm's epsilon"]
            items += [] if is_default else [f"epsilon={number(epsilon)}"]
            return [f"nn.BatchNorm({', '.join(items)})"]
        case Flatten():
            return ["nn.Flatten()"]
        case Dropout(rate=rate):
            return [f"nn.Dropout({rate})"]


def _with_activation(kind: str, items: list[str], name: str) -> list[str]:
    """A layer with its activation, which is a layer of its own where MXNet has it only so."""
    if name in _IN_LAYERS:
        items = [*items, f'activation="{_IN_LAYERS[name]}"']
    return [f"{kind}({', '.join(items)})", *([_OWN_LAYERS[name]] if name in _OWN_LAYERS else [])]


def _convolution(shape: LayerShape, spec: Conv2d) -> tuple[list[str], list[str]]:
    """The texts of the padding before a convolution, and of its arguments."""
    items = [str(spec.filters), pair(spec.kernel_size)]
    items += [f"strides={pair(spec.strides)}"] if spec.strides != (1, 1) else []
    if spec.padding == "valid":
        return [], items
    (above, below), (left, right) = padding_of(shape.input, spec.kernel_size, spec.strides)
    if (above, left) == (below, right):
        return [], [*items, *([f"padding={pair((above, left))}"] if above or left else [])]
    width = (0, 0, 0, 0, above, below, left, right)
    return [f'nn.HybridLambda(lambda F, x: F.pad(x, "constant", {width}))'], items


def _main(workload: Workload) -> str:
    spec = workload.optimizer
    quadratic = workload.loss == "mean_squared_error"
    loss = "squared_error" if quadratic else "gluon.loss.SoftmaxCrossEntropyLoss()"
    kind, arguments = _optimizer(spec)
    settings = ", ".join(f'"{name}": {number(value)}' for name, value in arguments.items())
    return "\n".join(
        [
            "def main():",
            '    train_loader = make_loader("train", shuffle=True)',
            '    test_loader = make_loader("t10k", shuffle=False)',
            "    model = build_model()",
            f"    loss_function = {loss}",
            *_difference(spec),
            *([f"    settings = {{{settings}}}"] if arguments else []),
            wrapped(
                "trainer = gluon.Trainer(",
                ["model.collect_params()", f'"{kind}"', *(["settings"] if arguments else [])],
                ")",
                4,
            ),
            _EPOCHS,
        ]
    )


def _optimizer(spec: Optimizer) -> tuple[str, dict[str, float]]:
    """MXNet's name of an optimizer, and the arguments that are not its defaults."""
    passed = dict(settings_to_pass(spec, DEFAULTS))
    is_nesterov = isinstance(spec, Sgd) and spec.nesterov
    left_out = {"nesterov", "initial_accumulator"}
    left_out |= {"learning_rate"} if isinstance(spec, Adadelta) else set()
    arguments = {
        _argument(name, spec): value for name, value in passed.items() if name not in left_out
    }
    return "nag" if is_nesterov else str(spec.__struct_config__.tag), arguments


def _argument(setting: str, spec: Optimizer) -> str:
    """MXNet's name of an optimizer's setting."""
    if isinstance(spec, RmsProp) and setting == "rho":
        return "gamma1"
    if isinstance(spec, Adagrad) and setting == "epsilon":
        return "eps"
    return _ARGUMENTS.get(setting, setting)


def _difference(spec: Optimizer) -> list[str]:
    """A comment, if MXNet's optimizer has its epsilon at another place than the workload."""
    match spec:
        case RmsProp(epsilon_form="outside_root") | Adagrad(epsilon_form="outside_root"):
            return [
                "    # MXNet divides by sqrt(v + epsilon). Specified is sqrt(v) + epsilon, as in",
                "    # PyTorch.",
            ]
        case Adam(epsilon_form="after_correction"):
            return [
                "    # MXNet adds epsilon before the bias correction. Specified is after it, as in",
                "    # PyTorch.",
            ]
        case _:
            return []
