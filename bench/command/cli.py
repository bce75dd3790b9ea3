"""The command line: runs a command, and turns its errors into messages and exit codes."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from backends.registry import LEFT_OUT
from bench.command import say
from bench.command.parser import make_parser
from specs.errors import UserError

_RUN_COMMAND = "bench.command.run:run"
_RESUMED = (_RUN_COMMAND, "bench.command.calibrate:command")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    0: fine. 1: a job failed, results disagree, a check failed, or an operating system error. 2: a
    `UserError` or wrong usage. 130: interrupted.
    """
    signal.signal(signal.SIGTERM, _interrupt)  # a scheduler sends it before it kills
    parser = make_parser()
    options = parser.parse_args(arguments)
    options.arguments = [*(sys.argv[1:] if arguments is None else arguments)]
    if "command" not in options:
        parser.print_help()
        return 0
    for sentence in LEFT_OUT:
        say(f"bench: {sentence}", error=True)
    try:
        module, _, name = options.command.partition(":")
        return int(getattr(importlib.import_module(module), name)(options))
    except UserError as error:
        say(f"bench: {error}", error=True)
        return 2
    except KeyboardInterrupt:
        resumed = options.command in _RESUMED
        kept = "the same command resumes" if resumed else "finished tasks are kept"
        say(f"\nbench: interrupted; {kept}", error=True)
        return 130
    except BrokenPipeError:  # the reader of our output has ended, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # For example a full disk, or a folder that was removed while a run wrote to it.
        say(f"bench: {error}\n  hint: is the disk full, or was a folder removed?", error=True)
        return 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
