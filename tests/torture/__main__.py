"""Runs the campaigns for some time: `python -m tests.torture --budget 1h`; see `nox -s torture`.

Figures are kept after every attempt, so that a killed campaign goes on where it was. A campaign
that has ended, or was of other code, makes place for a new one with new seeds.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from bench.command import arguments
from bench.records.files import PROJECT
from tests.torture.campaign import CAMPAIGNS, Fault, Tried
from tests.torture.figures import Figures, of_campaign, read_figures, write_figures

_ATTEMPT_SECONDS = 1200  # one that takes longer is given up, and told as a fault
RESULTS = PROJECT / "results" / "torture"


def main() -> int:
    """Run campaigns; returns 1 if a promise did not hold."""
    parser = argparse.ArgumentParser(prog="nox -s torture --", description=__doc__)
    parser.add_argument("--budget", type=arguments.duration, default=3600.0, metavar="1h")
    parser.add_argument("--only", type=arguments.words, default=tuple(CAMPAIGNS), metavar="A,B")
    parser.add_argument(
        "--seed", type=int, help="repeat this attempt of the one campaign of --only"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args()
    if unknown := {*options.only} - {*CAMPAIGNS}:
        parser.error(f"no campaign {', '.join(unknown)}; expected {', '.join(CAMPAIGNS)}")
    # A campaign that is ended in order ends its processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.seed is not None:
        if len(options.only) != 1:
            parser.error("--seed needs --only with one campaign")
        return _repeat(options.only[0], options.seed)
    figures = read_figures(options.results, options.budget, _commit())
    _run(figures, options.only, options.results)
    print((options.results / "README.md").read_text(encoding="utf-8"))
    return 1 if any(campaign.faults for campaign in figures.campaigns.values()) else 0


def _repeat(name: str, seed: int) -> int:
    tried = _attempt(_module(name), seed)
    for fault in tried.faults:
        print(f"{fault.oracle}: {fault.text}\n")
    print(f"{name}, seed {seed}: {tried.tries} tries, {len(tried.faults)} faults")
    return 1 if tried.faults else 0


def _run(figures: Figures, names: tuple[str, ...], results: Path) -> None:
    """Run attempts until the time is over or every campaign has reached its goal."""
    modules = {name: _module(name) for name in names}
    for name, module in modules.items():
        of_campaign(figures, name, module.GOAL, module.UNIT)
    while figures.spent_seconds < figures.budget_seconds:
        unfinished = [name for name in names if not figures.campaigns[name].is_done]
        if not unfinished:
            break
        name = min(unfinished, key=lambda each: figures.campaigns[each].seconds / CAMPAIGNS[each])
        campaign, started = figures.campaigns[name], time.monotonic()
        seed = campaign.next_seed
        tried = _attempt(modules[name], seed)
        seconds = time.monotonic() - started
        figures.spent_seconds += seconds
        campaign.add(tried, seconds)
        write_figures(results, figures)
        for fault in tried.faults:
            first = fault.text.partition("\n")[0][:150]
            print(f"{name}, seed {seed}: {fault.oracle}: {first!a}", flush=True)
    reached = {name for name, campaign in figures.campaigns.items() if campaign.is_done}
    figures.is_ended = figures.spent_seconds >= figures.budget_seconds or {*CAMPAIGNS} <= reached
    write_figures(results, figures)


def _attempt(module: ModuleType, seed: int) -> Tried:
    """One attempt in a folder of its own; whatever happens in it is told."""
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    try:
        with _in_time():
            tried: Tried = module.attempt(seed, folder)
    except Exception:  # noqa: BLE001 - the other attempts go on
        tried = Tried(0, [Fault("attempt", traceback.format_exc()[-3000:])])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return tried


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"an attempt took more than {_ATTEMPT_SECONDS} s")

    before = signal.signal(signal.SIGUSR1, late)
    main_thread = threading.main_thread().ident or 0
    timer = threading.Timer(_ATTEMPT_SECONDS, signal.pthread_kill, (main_thread, signal.SIGUSR1))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGUSR1, before)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"tests.torture.{name}")


def _commit() -> str:
    """The commit of the code, "+" if it was changed after that; "" without git."""
    git = ("git", "-C", str(PROJECT))
    try:
        said = subprocess.run(
            [*git, "describe", "--always", "--dirty=+", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return said.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
