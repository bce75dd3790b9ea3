"""Starts a worker: `PYTHON .../bench/worker/start.py ASSIGNMENT LINES MARK PARENT`, in any folder.

PARENT is the ID of the process that starts it. The worker ends with it, also in the middle of an
import or of an epoch.

Our packages are imported from where this file is, and nothing that lies beside them: in an
installed wheel those are the packages of the bench's own Python. Nothing is imported from the
current folder, which may have a `specs` or a `bench` of the user. This file itself keeps to what
Python 3.6 can read.
"""

import importlib.util
import os
import signal
import sys
from pathlib import Path

_HERE = Path(__file__).absolute().parent
_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with(parent: int) -> None:
    """Let Linux kill this process when the thread that started it ends, however it ends.

    It is left to `bench.machine.guard` on other systems, and where a program starts Python for the
    parent: its ID then says nothing.
    """
    if not sys.platform.startswith("linux") or os.getppid() != parent:
        return
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (ImportError, OSError, AttributeError):  # a Python without ctypes, or a C library
        return
    if os.getppid() != parent:  # it ended before the call
        sys.exit("the parent has ended")


def import_package(name: str, folder: Path) -> None:
    """Import one package from its folder, unless it is imported already.

    The folder above is not put on the path: the other packages there are for another Python.
    """
    spec = importlib.util.spec_from_file_location(name, str(folder / "__init__.py"))
    if name in sys.modules or spec is None or spec.loader is None:
        return
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


if __name__ == "__main__":
    end_with(int(sys.argv[4]))
    # Python puts the folder of a script on the path, and a module there is none of its own.
    sys.path = [entry for entry in sys.path if Path(entry) != _HERE]
    for ours in ("specs", "backends", "bench"):
        import_package(ours, _HERE.parents[1] / ours)
    from bench.worker.main import main

    main(*sys.argv[1:4])
