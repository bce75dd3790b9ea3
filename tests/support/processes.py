"""Fresh interpreters."""

from __future__ import annotations

import subprocess
import sys


def run_python(code: str, *, python: str = sys.executable) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout
