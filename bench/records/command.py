"""The command that made a run, kept in its folder for the reader of its report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from bench.records.files import write_atomically
from specs.files import read_regular

_FILE, _MOST = "command.txt", 1000  # characters


def write_command(folder: Path, arguments: Sequence[str]) -> None:
    """Write the command with these arguments into a run's folder, if it has none yet.

    Raises:
        RunError: the folder cannot be written.
    """
    if not (folder / _FILE).exists():
        line = f"bench {shlex.join(arguments)}\n"
        # An argument may contain bytes that are not text; the report does not show that command.
        write_atomically(folder / _FILE, line.encode(errors="surrogateescape"))


def read_command(folder: Path) -> str:
    """The command in a run's folder; "" if there is none, or it is not a single line of text."""
    try:
        text = read_regular(folder / _FILE, 4 * _MOST).decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    is_one_line = len(text) <= _MOST and text.isprintable() and "`" not in text
    return text if is_one_line else ""
