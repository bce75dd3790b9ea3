"""A small disk, to be filled: a tmpfs, which only root can mount, and not everywhere."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mounted(place: Path, kilobytes: int) -> Iterator[bool]:
    """A disk of this size at a place; False if it cannot be mounted."""
    is_mounted = mount(place, f"size={kilobytes}k")
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", place], check=True)


def mount(place: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "torture", place]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
