"""Writes a workload as a script in the style of Caffe's examples in Python."""

from __future__ import annotations

from math import prod, sqrt

import msgspec

from backends.caffe.near_updates import nearest_solver
from backends.caffe.structure import check_layers
from backends.contract import Unsupported
from backends.script import (
    END,
    READER_IMPORTS,
    assemble,
    data_of,
    number,
    padding_of,
    starts_flat,
    wrapped,
)
from specs.model import (
    Adagrad,
    Adam,
    AdamW,
    AvgPool2d,
    Conv2d,
    Dense,
    Dropout,
    MaxPool2d,
    RmsProp,
    Workload,
)
from specs.shapes import LayerShape, infer_shapes

_ACTIVATIONS = {
    "relu": ("relu", "ReLU", ["in_place=True"]),
    "leaky_relu": ("relu", "ReLU", ["negative_slope=0.01", "in_place=True"]),
    "elu": ("elu", "ELU", ["in_place=True"]),
    "softplus": ("softplus", "BNLL", []),  # in place it would lose what its derivative needs
    "sigmoid": ("sigmoid", "Sigmoid", ["in_place=True"]),
    "tanh": ("tanh", "TanH", ["in_place=True"]),
}
# How Caffe draws the weights by the initializers that it computes from the sizes of a layer.
_FILLERS = {
    "glorot_uniform": 'dict(type="xavier", variance_norm=P.Filler.AVERAGE)',
    "he_normal": 'dict(type="msra")',
    "uniform": 'dict(type="uniform", min=-0.05, max=0.05)',
}
_SOLVER = """\
def build_solver():
    Path("train.prototxt").write_text(str(build_net(training=True)))
    Path("test.prototxt").write_text(str(build_net(training=False)))
    Path("solver.prototxt").write_text(SOLVER)
    return caffe.get_solver("solver.prototxt")
"""
_TRAIN = """\
def train_step(solver, images, labels):
    for name, batch in (("data", images), ("label", labels)):
        solver.net.blobs[name].reshape(*batch.shape)
        solver.net.blobs[name].data[...] = batch
    solver.step(1)


def train(solver, images, labels):
    order = np.random.permutation(len(images))
    for start in range(0, {end}, BATCH_SIZE):
        batch = order[start : start + BATCH_SIZE]
        train_step(solver, images[batch], {labels})
"""
_TEST = """\
def test(net, images, labels):
    correct = 0
    for start in range(0, len(images), BATCH_SIZE):
        batch = images[start : start + BATCH_SIZE]
        net.blobs["data"].reshape(*batch.shape)
        net.blobs["data"].data[...] = batch
        classes = net.forward()["score"].argmax(axis=1)
        correct += (classes == labels[start : start + BATCH_SIZE]).sum()
    return correct / len(images)
"""
_MAIN = """\
def main():
    train_images, train_labels = load_data("train")
    test_images, test_labels = load_data("t10k")
{transposed}    solver = build_solver()
    test_net = caffe.Net("test.prototxt", caffe.TEST)
    test_net.share_with(solver.net)
    for epoch in range(EPOCHS):
        train(solver, train_images, train_labels)
        accuracy = test(test_net, test_images, test_labels)
        print(f"epoch {epoch + 1}: test accuracy {accuracy:.4f}")
"""
_TRANSPOSED = """\
    # Caffe's images are (n, channels, height, width).
    train_images = train_images.transpose(0, 3, 1, 2)
    test_images = test_images.transpose(0, 3, 1, 2)
"""


def script(workload: Workload) -> str:
    """The workload in Caffe: a net by `NetSpec`, a solver, and a loop over the batches.

    Raises:
        Unsupported: a script cannot have the workload's data, or Caffe not its model or optimizer.
    """
    data, recipe = data_of(workload), workload.recipe
    check_layers(workload)
    if isinstance(workload.optimizer, AdamW):
        raise Unsupported("Caffe has no AdamW")
    is_quadratic, is_flat = workload.loss == "mean_squared_error", starts_flat(workload)
    constants = [f"BATCH_SIZE = {recipe.batch_size}", f"EPOCHS = {recipe.epochs}"]
    constants += [f'URL = "{data.address}"']
    if recipe.initializer in _FILLERS:
        constants += [f"FILLER = {_FILLERS[recipe.initializer]}"]
    end = "len(images)"
    if recipe.last_partial_batch == "drop":
        end += " - BATCH_SIZE + 1"
    labels = "np.eye(10)[labels[batch]]" if is_quadratic else "labels[batch]"
    return assemble(
        workload,
        "Caffe",
        "caffe",
        "\n".join(
            [*READER_IMPORTS, "", "import caffe", "import numpy as np", *_parameters(workload)]
        ),
        "\n".join([*constants, _solver(workload)]),
        *data.reader(flat=is_flat),
        _build_net(workload, is_flat=is_flat),
        _SOLVER,
        _TRAIN.replace("{end}", end).replace("{labels}", labels),
        _TEST,
        _MAIN.replace("{transposed}", "" if is_flat else _TRANSPOSED),
        END,
    )


def _parameters(workload: Workload) -> list[str]:
    """The imports of Caffe's parts."""
    pools = any(isinstance(layer, MaxPool2d | AvgPool2d) for layer in workload.layers)
    uses = pools or workload.recipe.initializer == "glorot_uniform"
    return ["from caffe import layers as L", *(["from caffe import params as P"] if uses else [])]


def _solver(workload: Workload) -> str:
    """The constant with the settings of the solver, after what it does otherwise than specified."""
    kind, settings = nearest_solver(msgspec.to_builtins(workload.optimizer))
    lines = [f"{name}: {number(value)}" for name, value in settings.items() if value]
    text = "\n".join(
        ['train_net: "train.prototxt"', f'type: "{kind}"', 'lr_policy: "fixed"', *lines]
    )
    constant = f'SOLVER = """\n{text}\nsolver_mode: CPU\n"""'
    return "\n".join([*_differences(workload), constant])


def _differences(workload: Workload) -> list[str]:
    """Comments on what Caffe's solver does otherwise than specified."""
    lines = []
    match workload.optimizer:
        case RmsProp(epsilon_form="inside_root") | Adagrad(epsilon_form="inside_root"):
            lines += [
                "# Caffe divides by sqrt(v) + delta. Specified is sqrt(v + epsilon), as in Keras."
            ]
        case Adam(epsilon_form="after_correction"):
            lines += [
                "# Caffe adds delta before the bias correction. Specified is after it, as in",
                "# PyTorch.",
            ]
    if isinstance(workload.optimizer, Adagrad) and workload.optimizer.initial_accumulator:
        start = workload.optimizer.initial_accumulator
        lines += [f"# Caffe's sum of squares starts at 0, not at {number(start)}."]
    return lines


def _build_net(workload: Workload, *, is_flat: bool) -> str:
    data = "784" if is_flat else "1, 28, 28"
    return "\n".join(
        [
            "def build_net(training):",
            "    n = caffe.NetSpec()",
            f"    n.data = L.Input(shape=dict(dim=[BATCH_SIZE, {data}]))",
            *_Layers(workload).lines,
            "    if training:",
            *_loss(workload),
            "    return n.to_proto()",
        ]
    )


def _loss(workload: Workload) -> list[str]:
    if workload.loss == "softmax_cross_entropy":
        return [
            "        n.label = L.Input(shape=dict(dim=[BATCH_SIZE]))",
            "        n.loss = L.SoftmaxWithLoss(n.score, n.label)",
        ]
    return [
        "        n.label = L.Input(shape=dict(dim=[BATCH_SIZE, 10]))",
        "        n.probability = L.Softmax(n.score)",
        "        # Caffe's loss is half of the sum over the classes. Specified is the mean.",
        "        n.loss = L.EuclideanLoss(n.probability, n.label, loss_weight=2 / 10)",
    ]


class _Layers:
    """The layers as lines; `InnerProduct` flattens images itself.

    Attributes:
        lines: the statements, indented.
    """

    def __init__(self, workload: Workload) -> None:
        self.lines: list[str] = []
        self._workload, self._last = workload, "n.data"
        self._counts: dict[str, int] = {}
        shapes = infer_shapes(workload)
        for shape in shapes:
            self._add_layer(shape, is_last=shape is shapes[-1])

    def _add_layer(self, shape: LayerShape, *, is_last: bool) -> None:
        match shape.layer:
            case Dense(units=units, activation=activation):
                items = [f"num_output={units}", *_filler(shape, self._workload)]
                self._add("dense", "InnerProduct", items, name="score" if is_last else "")
                self._activate(activation)
            case Conv2d(activation=activation):
                self._convolve(shape, shape.layer)
                self._activate(activation)
            case MaxPool2d(pool_size=size):
                self._pool(shape, size, "MAX")
            case AvgPool2d(pool_size=size):
                self._pool(shape, size, "AVE")
            case Dropout(rate=rate):
                self._add("drop", "Dropout", [f"dropout_ratio={rate}"])

    def _add(self, kind: str, layer: str, items: list[str], name: str = "") -> None:
        """Add a layer of the last result; its name is that of its kind with the next number."""
        name = name or self._next(kind)
        self.lines.append(wrapped(f"n.{name} = L.{layer}(", [self._last, *items], ")", 4))
        self._last = f"n.{name}"

    def _next(self, kind: str) -> str:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return f"{kind}{self._counts[kind]}"

    def _activate(self, activation: str) -> None:
        if activation != "linear":
            kind, layer, items = _ACTIVATIONS[activation]
            self._add(kind, layer, items)

    def _pool(self, shape: LayerShape, size: tuple[int, int], kind: str) -> None:
        items = [f"pool=P.Pooling.{kind}", *_sides("kernel", "_size", size)]
        items += _sides("stride", "", size)
        if shape.input[0] % size[0] or shape.input[1] % size[1]:
            items.append("round_mode=P.Pooling.FLOOR")
        self._add("pool", "Pooling", items)

    def _convolve(self, shape: LayerShape, spec: Conv2d) -> None:
        """A convolution; with one more zero after an axis than before, a part of a larger one."""
        zeros = padding_of(shape.input, spec.kernel_size, spec.strides)
        zeros = zeros if spec.padding == "same" else ((0, 0), (0, 0))
        differs = [before != after for before, after in zeros]
        above, left = (
            before + stride * more
            for (before, _), stride, more in zip(zeros, spec.strides, differs, strict=True)
        )
        items = [f"num_output={spec.filters}", *_sides("kernel", "_size", spec.kernel_size)]
        items += _sides("stride", "", spec.strides) if spec.strides != (1, 1) else []
        items += _sides("pad", "", (above, left)) if above or left else []
        if not any(differs):
            self._add("conv", "Convolution", [*items, *_filler(shape, self._workload)])
            return
        self.lines += [
            "    # Caffe pads both sides alike. Specified is one zero more after an axis.",
        ]
        self._add("conv", "Convolution", [*items, *_filler(shape, self._workload)])
        size, (height, width) = self._next("size"), shape.output[:2]
        self.lines.append(f"    n.{size} = L.DummyData(shape=dict(dim=[1, 1, {height}, {width}]))")
        offset = [int(more) for more in differs]
        self._add("crop", "Crop", [f"n.{size}", "axis=2", f"offset={offset}"])


def _sides(name: str, ending: str, size: tuple[int, int]) -> list[str]:
    """A setting of both axes: "kernel_size=3", or "kernel_h=3", "kernel_w=5"."""
    if size[0] == size[1]:
        return [f"{name}{ending}={size[0]}"]
    return [f"{name}_h={size[0]}", f"{name}_w={size[1]}"]


def _filler(shape: LayerShape, workload: Workload) -> list[str]:
    """The argument that draws a kernel; Caffe's default is zeros."""
    kernel, name = shape.parameters[f"{shape.position}.kernel"], workload.recipe.initializer
    window = prod(kernel[:-2])
    fan_in, fan_out = window * kernel[-2], window * kernel[-1]
    if name == "zeros":
        return []
    if name in _FILLERS:
        return ["weight_filler=FILLER"]
    text = {
        "glorot_normal": f'type="gaussian", std={_digits(2 / (fan_in + fan_out))}',
        "he_uniform": f'type="uniform", min=-{_digits(6 / fan_in)}, max={_digits(6 / fan_in)}',
        "lecun_normal": f'type="gaussian", std={_digits(1 / fan_in)}',
    }[name]
    return [f"weight_filler=dict({text})"]


def _digits(square: float) -> str:
    """The square root, with four digits."""
    return number(float(f"{sqrt(square):.4g}"))
