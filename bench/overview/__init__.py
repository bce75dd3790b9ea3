"""The framework-overview section of a course: slides from the records of a run."""

import contextlib
from pathlib import Path

# Matplotlib reads `matplotlibrc` in the current folder, which may be somebody else's file.
with contextlib.chdir(Path(__file__).parent):
    import matplotlib as mpl

__all__ = ("mpl",)
