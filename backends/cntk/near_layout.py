"""Converts images, masks and weights between the canonical layout and CNTK's.

CNTK's images are (channels, height, width), and so it flattens them channel first. The argument
`image` is the shape (height, width, channels) of the image that was flattened just before a weight
or a mask, or None.
"""

import numpy as np

_DENSE, _CONVOLUTION = 2, 4  # dimensions of kernels


def images_to_cntk(images: np.ndarray) -> np.ndarray:
    """Images (n, height, width, channels) as (n, channels, height, width); vectors as they are."""
    if images.ndim > _DENSE:
        images = np.moveaxis(images, -1, 1)
    return np.ascontiguousarray(images, np.float32)


def mask_to_cntk(mask: np.ndarray, image: "list[int] | None") -> np.ndarray:
    """A mask of images or of vectors, one for each example, as float32."""
    if image is None:
        return images_to_cntk(mask)
    return images_to_cntk(mask.reshape([len(mask), *image])).reshape(mask.shape)


def to_cntk(weight: np.ndarray, image: "list[int] | None") -> np.ndarray:
    """A weight in CNTK's layout: (height, width, in, out) -> (out, in, height, width).

    A dense kernel stays (in, out); its rows, and the values of a vector, change their order after a
    flattened image.
    """
    if weight.ndim == _CONVOLUTION:
        weight = weight.transpose(3, 2, 0, 1)
    elif image is not None:
        rows = weight.reshape([*image, *weight.shape[1:]])
        weight = np.moveaxis(rows, 2, 0).reshape(weight.shape)
    return np.ascontiguousarray(weight, np.float32)


def from_cntk(weight: np.ndarray, image: "list[int] | None") -> np.ndarray:
    """The inverse of `to_cntk`."""
    if weight.ndim == _CONVOLUTION:
        weight = weight.transpose(2, 3, 1, 0)
    elif image is not None:
        height, width, channels = image
        rows = weight.reshape([channels, height, width, *weight.shape[1:]])
        weight = np.moveaxis(rows, 0, 2).reshape(weight.shape)
    return np.ascontiguousarray(weight, np.float32)
