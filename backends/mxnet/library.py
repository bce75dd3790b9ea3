"""Imports MXNet for the other modules, or says what to install so that it can be imported."""

from __future__ import annotations

from backends.contract import Unsupported

try:
    import mxnet as mx
    from mxnet import gluon, optimizer
    from mxnet.gluon import nn
except AttributeError as error:
    raise Unsupported(
        f"MXNet does not work with this NumPy ({error}): pip install numpy==1.23.5"
    ) from error
except OSError as error:
    raise Unsupported(
        f"MXNet does not find a library of the system ({error}): on Debian and Ubuntu, apt-get"
        " install libgomp1 libquadmath0"
    ) from error

__all__ = ["gluon", "mx", "nn", "optimizer"]
