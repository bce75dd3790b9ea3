"""A workload's layers as Gluon's blocks, the place of each weight in them, and its loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from backends.mxnet.library import gluon, nn
from specs.model import (
    LEAKY_SLOPE,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    MaxPool2d,
    Workload,
)
from specs.shapes import LayerShape, Shape, infer_shapes, same_padding

_ACTIVATIONS: dict[str, Callable[[], Any]] = {
    "relu": lambda: nn.Activation("relu"),
    "leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE),
    "elu": nn.ELU,
    "softplus": lambda: nn.Activation("softrelu"),
    "sigmoid": lambda: nn.Activation("sigmoid"),
    "tanh": lambda: nn.Activation("tanh"),
}


class Model(nn.HybridSequential):
    """The workload's layers.

    Images are channel first, as oneDNN's convolutions in MXNet have no other layout. So the weights
    after a `flatten` have another order than in the canonical layout (see `backends.layout`).

    Attributes:
        places: canonical name of a weight -> its parameter, and the shape of the image that was
            flattened just before the weight, or None.
        dropouts: the dropout layers, in layer order.
    """

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.places: dict[str, tuple[Any, Shape | None]] = {}
        self.dropouts: list[MaskableDropout] = []
        for shape in infer_shapes(workload):
            self.add(*self._build(shape))

    def _build(self, shape: LayerShape) -> Iterator[Any]:
        match shape.layer:
            case Dense(units=units, activation=activation):
                layer = nn.Dense(units, in_units=shape.input[0], flatten=False)
                yield self._register(shape, layer)
                yield from _activation(activation)
            case Conv2d(activation=activation):
                padding, convolution = _convolution(shape, shape.layer)
                yield from padding
                yield self._register(shape, convolution)
                yield from _activation(activation)
            case MaxPool2d(pool_size=pool_size):
                yield nn.MaxPool2D(pool_size)
            case AvgPool2d(pool_size=pool_size):
                yield nn.AvgPool2D(pool_size)
            case BatchNorm(momentum=momentum, epsilon=epsilon):
                size = shape.output[-1]
                norm = nn.BatchNorm(momentum=momentum, epsilon=epsilon, in_channels=size)
                values = (norm.gamma, norm.beta, norm.running_mean, norm.running_var)
                for name, value in zip(shape.parameters | shape.state, values, strict=True):
                    self.places[name] = value, shape.flattened
                yield norm
            case Flatten():
                yield nn.Flatten()
            case Dropout(rate=rate):
                self.dropouts.append(MaskableDropout(rate, shape.flattened))
                yield self.dropouts[-1]

    def _register(self, shape: LayerShape, layer: Any) -> Any:
        """Add kernel and bias of a layer to `places`."""
        kernel, bias = shape.parameters
        self.places |= {kernel: (layer.weight, shape.flattened), bias: (layer.bias, None)}
        return layer


class MaskableDropout(nn.Dropout):
    """Gluon's dropout. If it has a mask, it applies that, by the same formula.

    Attributes:
        mask: the values that are kept, as 0 and 1; None for a mask that MXNet draws.
        image: the shape of the image that was flattened just before this layer, or None.
    """

    def __init__(self, rate: float, image: Shape | None) -> None:
        super().__init__(rate)
        self.mask: Any = None
        self.image = image

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803 - its name in Gluon
        if self.mask is None:
            return super().hybrid_forward(F, x)
        return x * self.mask / (1.0 - self._rate)


class ZeroPad(gluon.HybridBlock):
    """Zeros around images, as a convolution of MXNet has the same number on opposite sides."""

    def __init__(self, rows: tuple[int, int], columns: tuple[int, int]) -> None:
        super().__init__()
        self._width = (0, 0, 0, 0, *rows, *columns)

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803 - its name in Gluon
        return F.pad(x, mode="constant", constant_value=0.0, pad_width=self._width)


class CrossEntropy(gluon.HybridBlock):
    """The cross-entropy of logits (n, classes) and labels (n,), one loss per example.

    `gluon.loss.SoftmaxCrossEntropyLoss` is the same, except for the argument `temperature`. Without
    it oneDNN computes `log_softmax`, with an error of up to 4e-6 in the loss and 3e-6 in the
    gradient, 20 times that of float32 (measured with MXNet 1.9.1). With it MXNet's own operator
    does. A temperature of 1 changes nothing else.
    """

    def hybrid_forward(self, F: Any, logits: Any, labels: Any) -> Any:  # noqa: N803 - see above
        return -F.pick(F.log_softmax(logits, axis=-1, temperature=1.0), labels)


class SquaredError(gluon.HybridBlock):
    """The mean over the classes of (softmax - one-hot label)^2, one loss per example.

    Gluon's `L2Loss` has half its weight as the factor.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self._classes, self.loss = classes, gluon.loss.L2Loss(weight=2.0)

    def hybrid_forward(self, F: Any, logits: Any, labels: Any) -> Any:  # noqa: N803 - see above
        return self.loss(F.softmax(logits), F.one_hot(labels, self._classes))


class Training(gluon.HybridBlock):
    """Model and loss as one graph: images, labels and perhaps masks -> a loss per example.

    Without masks dropout is MXNet's own. A graph has one number of masks, so a second object with
    the same model and loss is used with masks.
    """

    def __init__(self, model: Model, loss: gluon.HybridBlock) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def hybrid_forward(
        self,
        F: Any,  # noqa: N803 - its name in Gluon
        images: Any,
        labels: Any,
        *masks: Any,
    ) -> Any:
        del F
        for dropout, mask in zip(self.model.dropouts, masks, strict=bool(masks)):
            dropout.mask = mask
        losses = self.loss(self.model(images), labels)
        for dropout in self.model.dropouts:
            dropout.mask = None
        return losses


def build_loss(workload: Workload) -> gluon.HybridBlock:
    """The workload's loss of logits (n, classes) and labels (n,), as (n,) losses."""
    if workload.loss == "softmax_cross_entropy":
        return CrossEntropy()
    return SquaredError(workload.input.classes)


def _activation(name: str) -> Iterator[Any]:
    if name != "linear":
        yield _ACTIVATIONS[name]()


def _convolution(shape: LayerShape, spec: Conv2d) -> tuple[list[Any], Any]:
    """The layers before a convolution, and the convolution."""
    sizes = zip(shape.input[:2], spec.kernel_size, spec.strides, strict=True)
    rows, columns = (same_padding(*size) if spec.padding == "same" else (0, 0) for size in sizes)
    is_symmetric = rows[0] == rows[1] and columns[0] == columns[1]
    convolution = nn.Conv2D(
        spec.filters,
        spec.kernel_size,
        strides=spec.strides,
        padding=(rows[0], columns[0]) if is_symmetric else 0,
        in_channels=shape.input[2],
    )
    return ([] if is_symmetric else [ZeroPad(rows, columns)]), convolution
