"""The commands, one file each: they read the user's options, do the work, and print the result.

Tables and reports are printed by `bench.report`.
"""

import sys

from bench.report.form.visible import visible


def say(text: str = "", *, error: bool = False) -> None:
    """Print lines; control characters in the text cannot control the terminal.

    Each call is one write, as several threads may print.

    Args:
        text: the lines.
        error: print on standard error.
    """
    lines = "\n".join(map(visible, text.split("\n")))
    print(f"{lines}\n", end="", flush=True, file=sys.stderr if error else sys.stdout)
