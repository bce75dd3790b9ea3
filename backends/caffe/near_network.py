"""Writes a workload's model as a Caffe net, and says where each weight is in it.

Runs in the old Python, see `backends.far`. Caffe's images are (n, channels, height, width), and
it flattens them in that order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import caffe
from caffe import layers, params

_IN_PLACE = {"elu": layers.ELU, "sigmoid": layers.Sigmoid, "tanh": layers.TanH}


class Place(NamedTuple):
    """Where a weight is.

    Attributes:
        layer: the name of its layer in the net.
        blob: its number among the layer's blobs.
        image: the shape (height, width, channels) of the image that was flattened just before it,
            or None.
    """

    layer: str
    blob: int
    image: list[int] | None


class Mask(NamedTuple):
    """A dropout whose masks are given.

    Attributes:
        blob: the name of the net's input for the masks.
        rate: the fraction that is dropped.
        image: see `Place`.
    """

    blob: str
    rate: float
    image: list[int] | None


class Network:
    """A net as text, and the places of what the adapter reads and writes.

    Attributes:
        text: the net as Caffe's `NetParameter`.
        places: canonical name of a parameter -> its `Place`.
        masks: the inputs for the masks of dropout, in layer order; empty unless masks are given.
        pools: the names of the results of the max pools.
        logits: the name of the logits.
    """

    def __init__(self, description: dict[str, Any], purpose: str = "training") -> None:
        """Write the net.

        Args:
            description: see `backends.far.description`.
            purpose: "training"; "masked training", where dropout applies masks that are given as
                inputs of the net; or "prediction", where the net ends with the logits.
        """
        self.places: dict[str, Place] = {}
        self.masks: list[Mask] = []
        self.pools: list[str] = []
        self._batch, self._masked = description["batch_size"], purpose == "masked training"
        self._slope = description["leaky_slope"]
        self._net = caffe.NetSpec()
        self._net["data"] = x = self._input(description["input"])
        for layer in description["layers"]:
            x = getattr(self, "_" + layer["type"])(x, layer)
        self.logits = list(self.places.values())[-1].layer
        if purpose != "prediction":
            self._end(x, description["loss"], description["classes"])
        self.text = self._net.to_proto()

    def _input(self, shape: list[int]) -> Any:
        """An input of the net, for a batch of images or vectors of a canonical shape."""
        return layers.Input(shape={"dim": [self._batch, *channels_first(shape)]})

    def _end(self, logits: Any, loss: str, classes: int) -> None:
        """The loss: the mean over the batch."""
        if loss == "softmax_cross_entropy":
            self._net["label"] = layers.Input(shape={"dim": [self._batch]})
            self._net["loss"] = layers.SoftmaxWithLoss(logits, self._net["label"])
            return
        self._net["label"] = self._input([classes])
        # Caffe's loss is half of the sum over the classes; wanted is the mean.
        self._net["loss"] = layers.EuclideanLoss(
            layers.Softmax(logits), self._net["label"], loss_weight=2.0 / classes
        )

    def _add(self, x: Any, layer: dict[str, Any]) -> None:
        """Name a layer with kernel and bias, and note their places.

        Args:
            x: the layer's result.
            layer: the description of the layer.
        """
        kernel, bias = layer["parameters"]
        self.places[kernel] = Place(self._name(x, layer), 0, layer["flattened"])
        self.places[bias] = Place(self.places[kernel].layer, 1, None)

    def _name(self, x: Any, layer: dict[str, Any]) -> str:
        kind, position = layer["type"], layer["position"]
        name = f"{kind}_{position}"
        self._net[name] = x
        return name

    def _activate(self, x: Any, layer: dict[str, Any]) -> Any:
        kind = layer["activation"]
        if kind in _IN_PLACE:
            return _IN_PLACE[kind](x, in_place=True)
        if kind == "softplus":
            return layers.BNLL(x)  # its derivative needs its input, so it is not in place
        if kind == "linear":
            return x
        slope = self._slope if kind == "leaky_relu" else 0.0
        return layers.ReLU(x, negative_slope=slope, in_place=True)

    def _dense(self, x: Any, layer: dict[str, Any]) -> Any:
        x = layers.InnerProduct(x, num_output=layer["units"])
        self._add(x, layer)
        return self._activate(x, layer)

    def _conv2d(self, x: Any, layer: dict[str, Any]) -> Any:
        """A convolution; where the zeros differ before and after an axis, a part of a larger one.

        Caffe adds as many zeros after an axis as before it. With one more stride of zeros on both
        sides the first result is one too many, and so are those at the end.
        """
        differs = [before != after for before, after in layer["zeros"]]
        pads = [
            before + stride * more
            for (before, _), stride, more in zip(layer["zeros"], layer["strides"], differs)
        ]
        x = layers.Convolution(
            x,
            num_output=layer["filters"],
            kernel_h=layer["kernel_size"][0],
            kernel_w=layer["kernel_size"][1],
            stride_h=layer["strides"][0],
            stride_w=layer["strides"][1],
            pad_h=pads[0],
            pad_w=pads[1],
        )
        self._add(x, layer)
        if any(differs):
            wanted = layers.DummyData(shape={"dim": [1, 1, *layer["output"][:2]]})
            x = layers.Crop(x, wanted, axis=2, offset=[int(more) for more in differs])
        return self._activate(x, layer)

    def _max_pool2d(self, x: Any, layer: dict[str, Any]) -> Any:
        x = self._pool(x, layer, params.Pooling.MAX)
        self.pools.append(self._name(x, layer))
        return x

    def _avg_pool2d(self, x: Any, layer: dict[str, Any]) -> Any:
        return self._pool(x, layer, params.Pooling.AVE)

    @staticmethod
    def _pool(x: Any, layer: dict[str, Any], kind: int) -> Any:
        height, width = layer["pool_size"]
        return layers.Pooling(
            x,
            pool=kind,
            kernel_h=height,
            kernel_w=width,
            stride_h=height,
            stride_w=width,
            round_mode=params.Pooling.FLOOR,  # the default is to round up
        )

    def _flatten(self, x: Any, layer: dict[str, Any]) -> Any:
        del layer
        return layers.Flatten(x)

    def _dropout(self, x: Any, layer: dict[str, Any]) -> Any:
        """Not in place: the derivative of the layer before it may need that layer's result."""
        rate, position = layer["rate"], layer["position"]
        if not self._masked:
            return layers.Dropout(x, dropout_ratio=rate)
        name = f"mask_{position}"
        self._net[name] = self._input(layer["input"])
        self.masks.append(Mask(name, rate, layer["flattened"]))
        return layers.Eltwise(x, self._net[name], operation=params.Eltwise.PROD)


def channels_first(shape: list[int]) -> list[int]:
    """A canonical shape in Caffe's order: (height, width, channels) -> [channels, height, width].

    The shape of a vector is not changed.
    """
    return list(shape) if len(shape) == 1 else [shape[2], shape[0], shape[1]]
