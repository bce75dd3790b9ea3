"""The formats in which a trained model can be written, and the environment that reads them.

This module is data only; it imports neither NumPy nor OpenCV.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

# The class that reads the files again, see `backends.exports.contract.Reader`, and its environment.
READER = "backends.exports.opencv:OpenCV"
ENVIRONMENT = "opencv"


class Format(Struct, frozen=True, kw_only=True):
    """A format.

    Attributes:
        title: a short description.
        endings: of the files that a model is written to, in the order of their contents.
        writer: "module:function" of its `backends.exports.contract.Writer`.
    """

    title: str
    endings: tuple[str, ...]
    writer: str


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "t7": Format(
            title="Torch7 (retired in 2018): not trained here, as no package of it exists",
            endings=(".t7",),
            writer="backends.exports.t7:write",
        ),
        "caffe": Format(
            title="Caffe: the network as text, and its weights",
            endings=(".prototxt", ".caffemodel"),
            writer="backends.exports.caffe:write",
        ),
    }
)
