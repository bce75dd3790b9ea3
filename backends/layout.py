"""Converts arrays between the canonical layout and that of frameworks with channels first.

Their images are (n, channels, height, width), and their convolution kernels (out, in, height,
width). They flatten an image channel first, so what belongs to its pixels has another order, up to
the next dense layer. The argument `image` is the shape (height, width, channels) of that image, see
`specs.shapes.LayerShape.flattened`, or None.

This file also runs in Python 3.6, see `backends.far`.
"""

import numpy as np

_DENSE, _CONVOLUTION = 2, 4  # dimensions of kernels


def to_channels_first(
    weight: np.ndarray, image: "list[int] | tuple[int, ...] | None", *, outputs_first: bool = True
) -> np.ndarray:
    """A copy of a weight with channels first, contiguous.

    Args:
        weight: a convolution kernel (height, width, in, out), a dense kernel (in, out), or a vector
            of batch norm or of biases.
        image: see the top of this file; None for biases.
        outputs_first: whether dense kernels become (out, in).
    """
    if weight.ndim == _CONVOLUTION:
        return np.array(weight.transpose(3, 2, 0, 1), order="C")
    if image is not None:
        rows = weight.reshape(tuple(image) + weight.shape[1:])
        weight = np.moveaxis(rows, 2, 0).reshape(weight.shape)
    return np.array(weight.T if outputs_first else weight, order="C")


def from_channels_first(
    weight: np.ndarray, image: "list[int] | tuple[int, ...] | None", *, outputs_first: bool = True
) -> np.ndarray:
    """The inverse of `to_channels_first`; a copy."""
    if weight.ndim == _CONVOLUTION:
        return np.array(weight.transpose(2, 3, 1, 0), order="C")
    weight = weight.T if outputs_first else weight
    if image is not None:
        height, width, channels = image
        rows = weight.reshape((channels, height, width) + weight.shape[1:])  # noqa: RUF005 - mypy
        weight = np.moveaxis(rows, 0, 2).reshape(weight.shape)
    return np.array(weight, order="C")


def batch_to_channels_first(
    values: np.ndarray, image: "list[int] | tuple[int, ...] | None" = None
) -> np.ndarray:
    """Images (n, height, width, channels) of a batch as (n, channels, height, width).

    Vectors (n, values) keep their shape, and the order of a flattened image changes. The result may
    be a view.
    """
    if image is None:
        return np.moveaxis(values, -1, 1)  # changes nothing in vectors
    images = values.reshape((len(values),) + tuple(image))  # noqa: RUF005 - see above
    return np.moveaxis(images, -1, 1).reshape(values.shape)
