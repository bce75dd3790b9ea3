"""Starts a worker: `PYTHON .../bench/worker/start.py ASSIGNMENT LINES MARK PARENT`, in any folder.

PARENT is the ID of the process that starts it. The worker ends with the parent, also in the middle
of an import or an epoch.

Only our packages are imported from the folder where they are installed: the other packages there
are for the bench's own Python. Nothing is imported from the current folder, where the user may have
another `specs` or `bench`. Python 3.6 must be able to read this file.
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

    On other systems, and if another program started Python for the parent, `bench.machine.guard`
    does this instead.
    """
    if not sys.platform.startswith("linux") or os.getppid() != parent:
        return
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (ImportError, OSError, AttributeError):  # no ctypes, or no prctl
        return
    if os.getppid() != parent:  # the parent ended before the call
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
    # Python puts this script's folder on the path, but its files are modules of `bench.worker`.
    sys.path = [entry for entry in sys.path if Path(entry) != _HERE]
    for ours in ("specs", "backends", "bench"):
        import_package(ours, _HERE.parents[1] / ours)
    from bench.worker.main import main

    main(*sys.argv[1:4])
