"""A workload's layers as functions of CNTK."""

from typing import Any

import cntk
import numpy as np

from backends.cntk.near_norm import Norm
from backends.layout import batch_to_channels_first, from_channels_first, to_channels_first

_ACTIVATIONS = {
    "relu": cntk.relu,
    "elu": cntk.elu,
    "softplus": cntk.softplus,
    "sigmoid": cntk.sigmoid,
    "tanh": cntk.tanh,
}
_SEEDS_OF_A_JOB = 1000  # a workload has at most so many layers


class Model:
    """A workload's weights, and its layers as functions of them.

    Attributes:
        weights: canonical name -> CNTK's variable, and the shape of the image that was flattened
            just before it, or None (see `backends.layout`).
        norms: the statistics of each batch norm.
        masks: for each dropout layer a variable of the values that it keeps.
    """

    def __init__(self, description: "dict[str, Any]") -> None:
        self._layers, self._seed = description["layers"], description["seed"]
        self._slope = description["leaky_slope"]
        self.weights: dict[str, tuple[Any, list[int] | None]] = {}
        self.norms: list[Norm] = []
        self.masks: list[Any] = []
        self._mask_images: list[list[int] | None] = []
        self._dropouts: list[Any] = []
        for layer in self._layers:
            self._add(layer)

    def _add(self, layer: "dict[str, Any]") -> None:
        """Make the variables of a layer."""
        image = layer["flattened"]
        for name, shape in layer["parameters"].items():
            place = None if name.endswith(".bias") else image
            value = _to_cntk(np.zeros(shape, np.float32), place)
            if layer["type"] == "conv2d" and value.ndim == 1:
                value = value.reshape(-1, 1, 1)  # a bias per channel
            self.weights[name] = cntk.parameter(init=value), place
        if layer["type"] == "batch_norm":
            self.norms.append(Norm(layer))
            for name, variable in self.norms[-1].state.items():
                self.weights[name] = variable, image
        if layer["type"] == "dropout":
            shape = batch_to_channels_first(np.empty([1] + layer["input"])).shape[1:]
            self.masks.append(cntk.input_variable(shape))
            self._mask_images.append(image)

    @property
    def parameters(self) -> "list[Any]":
        """CNTK's variables that are trained."""
        return [each for each, _ in self.weights.values() if isinstance(each, cntk.Parameter)]

    def set_weights(self, weights: "dict[str, np.ndarray]") -> None:
        """Set all weights from canonical ones.

        Raises:
            KeyError: one is missing.
        """
        for name, (variable, image) in self.weights.items():
            variable.value = _to_cntk(weights[name], image).reshape(variable.shape)
        for norm in self.norms:
            norm.begin()

    def get_weights(self) -> "dict[str, np.ndarray]":
        """All weights in canonical layout."""
        for norm in self.norms:
            norm.store()
        found = {}
        for name, (variable, image) in self.weights.items():
            value = variable.value
            is_bias = name.endswith(".bias")  # of a convolution it is (channels, 1, 1)
            value = value.reshape(-1) if is_bias else value
            found[name] = from_channels_first(value, image, outputs_first=False)
        return found

    def masks_to_cntk(self, masks: "list[np.ndarray]") -> "dict[Any, np.ndarray]":
        """The values of `masks` for a batch, from those in canonical layout."""
        rows = zip(self.masks, masks, self._mask_images)
        return {
            variable: np.ascontiguousarray(batch_to_channels_first(mask, image), np.float32)
            for variable, mask, image in rows
        }

    def logits(self, x: Any, *, training: bool = True, masked: bool = False) -> Any:
        """The logits of images x (channels, height, width), for training or for prediction.

        Args:
            x: CNTK's variable.
            training: whether dropout works, and batch norm uses the batch's statistics.
            masked: whether dropout uses `masks` instead of CNTK's own.
        """
        masks, norms = iter(self.masks if masked else ()), iter(self.norms)
        for layer in self._layers:
            kind = layer["type"]
            if kind == "dropout":
                if training:
                    x = self._dropout(layer, x, next(masks, None))
            elif kind == "batch_norm":
                scale, shift = self._own(layer, "scale"), self._own(layer, "shift")
                x = next(norms).apply(x, scale, shift, training=training)
            else:
                x = self._activate(layer, self._apply(layer, x))
        return x

    def _own(self, layer: "dict[str, Any]", name: str) -> Any:
        return self.weights["{}.{}".format(layer["position"], name)][0]

    def _apply(self, layer: "dict[str, Any]", x: Any) -> Any:
        """A layer without its activation."""
        kind = layer["type"]
        if kind == "flatten":
            return cntk.reshape(x, layer["output"])
        if kind == "dense":
            return cntk.times(x, self._own(layer, "kernel")) + self._own(layer, "bias")
        if kind == "conv2d":
            return self._convolve(layer, x)
        pool = cntk.MAX_POOLING if kind == "max_pool2d" else cntk.AVG_POOLING
        size = tuple(layer["pool_size"])
        return cntk.pooling(x, pool, size, strides=size, auto_padding=[False])

    def _convolve(self, layer: "dict[str, Any]", x: Any) -> Any:
        """A convolution; zeros are added before it, where CNTK's own padding differs.

        With an odd kernel and stride 1 CNTK's padding is that of workloads.
        """
        zeros = layer["zeros"]
        is_plain = layer["strides"] == [1, 1] and all(before == after for before, after in zeros)
        own = [False] + [is_plain and any(sides) for sides in zeros]
        if not is_plain and any(map(any, zeros)):
            x = cntk.pad(x, pattern=[(0, 0)] + [tuple(sides) for sides in zeros])
        kernel, strides = self._own(layer, "kernel"), tuple(layer["strides"])
        return cntk.convolution(kernel, x, strides=strides, auto_padding=own) + self._own(
            layer, "bias"
        )

    def _activate(self, layer: "dict[str, Any]", x: Any) -> Any:
        """The activation of a layer.

        The derivative of CNTK's own leaky ReLU is 1 at 0; here it is the slope.
        """
        name = layer.get("activation", "linear")
        if name == "linear":
            return x
        if name == "leaky_relu":
            return cntk.element_select(cntk.greater(x, 0.0), x, self._slope * x)
        return _ACTIVATIONS[name](x)

    def _dropout(self, layer: "dict[str, Any]", x: Any, mask: Any) -> Any:
        if mask is not None:
            return x * mask / (1.0 - layer["rate"])
        function = cntk.dropout(x, layer["rate"], seed=self._seed_of(len(self._dropouts)))
        self._dropouts.append(function)
        return function

    def restart_dropouts(self) -> None:
        """Let all dropouts draw the masks of a new model."""
        for position, function in enumerate(self._dropouts):
            function.root_function.set_attribute("rngSeed", self._seed_of(position))

    def _seed_of(self, position: int) -> int:
        """The seed of a dropout layer: another one for each layer and each seed of a job."""
        return int(self._seed) * _SEEDS_OF_A_JOB + position


def _to_cntk(weight: np.ndarray, image: "list[int] | None") -> np.ndarray:
    """A weight in CNTK's layout: dense kernels keep their axes."""
    return to_channels_first(weight, image, outputs_first=False)
