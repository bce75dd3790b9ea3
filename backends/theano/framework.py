"""Imports Theano with the flags of the bench. The other files of this package take it from here.

Theano reads its flags from the environment variable THEANO_FLAGS, once, when it is imported. So no
other file may import it: that import might come first.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from backends.contract import Unsupported
from backends.theano import blas

# A flag of the user replaces one of these.
_DEFAULTS = {"blas.ldflags": blas.link_flags()}
# These replace the flags of the user.
_REQUIRED = {
    "device": "cpu",
    "floatX": "float32",
    "mode": "Mode",
    "optimizer": "fast_run",
    # Arrays between two operations are kept for the next step, as Theano's guide to faster
    # functions says.
    "allow_gc": "False",
    # With this optimization a gradient `g = dot(x, y)` that the formula of an optimizer uses two or
    # three times, as in `0.1 * g * g`, is computed as often, each time with another factor. A step
    # of the course's MLP then has 24 products instead of 14, and takes 1.2 times the CPU time.
    "optimizer_excluding": "local_dot22_to_dot22scalar",
}
NEEDS = (
    "Theano compiles its functions: it needs the C++ compiler g++ (Debian: apt install g++) and the"
    " header files of this Python (Debian: apt install python3-dev)"
)


def _set_flags() -> None:
    """Set THEANO_FLAGS, with a folder for compiled functions that only this process uses.

    In Theano's own folder, ~/.theano, a second job would find the functions of the first one and
    would start faster; two jobs at the same time would wait for a lock; and functions that another
    compiler or another NumPy has made might be found.
    """
    folder = tempfile.mkdtemp(prefix="theano-")
    # Registered before Theano is imported, so it is called after Theano's own function, which reads
    # the folder.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    flags = [f"{name}={value}" for name, value in _DEFAULTS.items()]
    flags.append(os.environ.get("THEANO_FLAGS", ""))  # noqa: TID251 - Theano has no other way
    flags += [f"{name}={value}" for name, value in _REQUIRED.items()]
    flags.append(f"base_compiledir='{folder}'")
    os.environ["THEANO_FLAGS"] = ",".join(filter(None, flags))  # noqa: TID251 - see above
    # g++ looks there for the library that `link_flags` names.
    folders = [blas.folder(), os.environ.get("LIBRARY_PATH", "")]  # noqa: TID251 - g++ reads it
    os.environ["LIBRARY_PATH"] = os.pathsep.join(filter(None, folders))  # noqa: TID251 - see above


_set_flags()
try:
    import theano
    import theano.sandbox.rng_mrg  # these two are not imported by Theano itself
    import theano.tensor.signal.pool
    from theano import tensor
except Exception as error:
    # Theano compiles a part of itself when it is imported, and raises plain exceptions.
    if "ompilation failed" not in str(error):
        raise
    reason = str(error).strip().partition("\n")[0]
    raise Unsupported(f"{NEEDS}; here: {reason}") from error

__all__ = ["NEEDS", "tensor", "theano"]
