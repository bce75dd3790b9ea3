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
# A closed terminal, Ctrl-\, a scheduler's time limits, and `kill`. Python itself handles Ctrl-C.
_ENDING = ("SIGHUP", "SIGQUIT", "SIGXCPU", "SIGUSR1", "SIGUSR2", "SIGTERM")


class Interrupted(KeyboardInterrupt):
    """A signal that ends the process was sent.

    Attributes:
        number: the number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    0: fine. 1: a job failed, results disagree, a check failed, or an operating system error. 2: a
    `UserError` or wrong usage. 128 + N: interrupted by signal N.
    """
    parser = make_parser()
    options = parser.parse_args(arguments)
    options.arguments = [*(sys.argv[1:] if arguments is None else arguments)]
    if "command" not in options:
        parser.print_help()
        return 0
    for sentence in LEFT_OUT:
        say(f"bench: {sentence}", error=True)
    received = _handle_signals()
    try:
        module, _, name = options.command.partition(":")
        return int(getattr(importlib.import_module(module), name)(options))
    except UserError as error:
        say(f"bench: {error}", error=True)
        return 2
    except KeyboardInterrupt as interrupt:
        return _say_interrupted(options.command, getattr(interrupt, "number", signal.SIGINT))
    except BrokenPipeError:  # the reader of our output has ended (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if received:  # a closed terminal accepts no more output
            return _say_interrupted(options.command, received[0])
        # For example a full disk, or a folder that was removed while a run wrote to it.
        say(f"bench: {error}\n  hint: is the disk full, or was a folder removed?", error=True)
        return 1


def _handle_signals() -> list[int]:
    """Let each signal that ends the process raise `Interrupted`, so that it cleans up first.

    A signal that is ignored stays ignored (`nohup`). After the first signal all others except
    Ctrl-C are ignored, so that nothing interrupts the cleanup: a closed terminal sends several.

    Returns:
        A list to which each signal from now on is added.
    """
    received: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            raise Interrupted(number)

    for name in _ENDING:
        number = getattr(signal, name, None)  # Windows has few of them
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    return received


def _say_interrupted(command: str, number: int) -> int:
    """Print what is kept, if there is still a terminal; returns the exit code."""
    what_stays = "the same command resumes" if command in _RESUMED else "finished tasks are kept"
    try:
        say(f"\nbench: interrupted; {what_stays}", error=True)
        sys.stdout.flush()
    except OSError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nothing, stream.fileno())
    return 128 + number


if __name__ == "__main__":
    sys.exit(main())
