"""A workload's layers as PyTorch modules, the place of each weight in them, and its loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

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

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE),
    "elu": nn.ELU,
    "softplus": nn.Softplus,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


class Model(nn.Sequential):
    """The workload's layers.

    PyTorch flattens an image channel first, so the weights of the next layer have another order
    than in the canonical layout (see `backends.layout`). With `flatten_channels_last` they have
    the same: images that are stored channels last are flattened as they are, and their gradients
    are channels last, too; after PyTorch's own flattening both would be copied.

    Attributes:
        places: canonical name of a weight -> its module, the name of its tensor in the module, and
            the shape of the image that was flattened just before the weight, or None.
        dropouts: the dropout layers, in layer order.
    """

    def __init__(self, workload: Workload, *, flatten_channels_last: bool = False) -> None:
        super().__init__()
        self._flatten_channels_last = flatten_channels_last
        self.places: dict[str, tuple[nn.Module, str, Shape | None]] = {}
        self.dropouts: list[MaskableDropout] = []
        for shape in infer_shapes(workload):
            self.extend(self._build(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Apply all layers, as the parent class does.

        The method is repeated here because `torch.compile` builds no graph for a `forward` of
        PyTorch's own containers.
        """
        for layer in self:
            x = layer(x)
        return x

    def tensors(self) -> Iterator[tuple[str, Tensor, Shape | None]]:
        """Name, current tensor and flattened image (see `places`) of every weight and state.

        The tensors are looked up in each call, because moving a model to a device replaces some of
        them.
        """
        for name, (module, attribute, image) in self.places.items():
            yield name, getattr(module, attribute), image

    def _build(self, shape: LayerShape) -> Iterator[nn.Module]:
        match shape.layer:
            case Dense(units=units, activation=activation):
                yield self._register(shape, nn.Linear(shape.input[0], units))
                yield from _activation(activation)
            case Conv2d(activation=activation):
                padding, convolution = _convolution(shape, shape.layer)
                yield from padding
                yield self._register(shape, convolution)
                yield from _activation(activation)
            case MaxPool2d(pool_size=pool_size):
                yield nn.MaxPool2d(pool_size)
            case AvgPool2d(pool_size=pool_size):
                yield nn.AvgPool2d(pool_size)
            case BatchNorm():
                module = BiasedBatchNorm(shape.output[-1], shape.layer)
                attributes = ("weight", "bias", "running_mean", "running_var")
                for name, attribute in zip(shape.parameters | shape.state, attributes, strict=True):
                    self.places[name] = module, attribute, self._flattened(shape)
                yield module
            case Flatten():
                yield FlattenChannelsLast() if self._flatten_channels_last else nn.Flatten()
            case Dropout(rate=rate):
                self.dropouts.append(MaskableDropout(rate, self._flattened(shape)))
                yield self.dropouts[-1]

    def _register(self, shape: LayerShape, module: nn.Module) -> nn.Module:
        """Add kernel and bias of a module to `places`."""
        kernel, bias = shape.parameters
        image = self._flattened(shape)
        self.places |= {kernel: (module, "weight", image), bias: (module, "bias", None)}
        return module

    def _flattened(self, shape: LayerShape) -> Shape | None:
        """The image whose values are in another order than the canonical one in this layer."""
        return None if self._flatten_channels_last else shape.flattened


class FlattenChannelsLast(nn.Module):
    """Flattens images (n, channels, height, width) to (n, height * width * channels)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(1, -1).flatten(1)


class MaskableDropout(nn.Dropout):
    """PyTorch's dropout; in `bench verify` it applies a given mask, by the same formula."""

    mask: Tensor | None = None

    def __init__(self, rate: float, image: Shape | None) -> None:
        super().__init__(rate)
        self.image = image

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.mask is not None:
            return x * self.mask / (1.0 - self.p)
        return super().forward(x)


class BiasedBatchNorm(nn.Module):
    """PyTorch's batch norm, with a running variance that averages the biased variance.

    PyTorch's own layer averages the unbiased variance.
    """

    def __init__(self, channels: int, spec: BatchNorm) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        # The batch's mean and variance, kept so that no step allocates them.
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.zeros(channels))
        self.epsilon, self.weight_of_new = spec.epsilon, 1.0 - spec.momentum

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            mean, variance = self.running_mean, self.running_var
            return functional.batch_norm(
                x, mean, variance, self.weight, self.bias, training=False, eps=self.epsilon
            )
        # With a momentum of 1 PyTorch stores the batch's mean and unbiased variance in these
        # tensors.
        mean, variance = self.mean, self.variance
        y = functional.batch_norm(
            x, mean, variance, self.weight, self.bias, training=True, momentum=1.0, eps=self.epsilon
        )
        count = x.numel() // x.shape[1]
        torch._foreach_lerp_(
            [self.running_mean, self.running_var],
            [mean, variance * ((count - 1) / count)],
            self.weight_of_new,
        )
        return y


def build_loss(workload: Workload) -> Callable[[Tensor, Tensor], Tensor]:
    """The workload's loss of logits (n, classes) and labels (n,), mean over the batch."""
    if workload.loss == "softmax_cross_entropy":
        return functional.cross_entropy

    def quadratic(logits: Tensor, labels: Tensor) -> Tensor:
        classes = functional.one_hot(labels, workload.input.classes).float()
        return functional.mse_loss(logits.softmax(1), classes)

    return quadratic


def _activation(name: str) -> Iterator[nn.Module]:
    if name != "linear":
        yield _ACTIVATIONS[name]()


def _convolution(shape: LayerShape, spec: Conv2d) -> tuple[list[nn.Module], nn.Module]:
    """The modules before a convolution, and the convolution.

    A padding layer comes before it if the padding of two opposite sides differs, as PyTorch's
    convolution cannot do that.
    """
    sizes = zip(shape.input[:2], spec.kernel_size, spec.strides, strict=True)
    (top, bottom), (left, right) = (
        same_padding(*size) if spec.padding == "same" else (0, 0) for size in sizes
    )
    is_symmetric = top == bottom and left == right
    return (
        [] if is_symmetric else [nn.ZeroPad2d((left, right, top, bottom))],
        nn.Conv2d(
            shape.input[2],
            spec.filters,
            spec.kernel_size,
            stride=spec.strides,
            padding=(top, left) if is_symmetric else 0,
        ),
    )
