"""What every command that runs workers sets up first: interpreters, machine, choices, folders."""

from __future__ import annotations

import argparse
import os
from typing import NamedTuple

from rich.console import Console

from bench.command.choices import (
    choose_backends,
    choose_devices,
    choose_threads,
    places_of,
    say_without_native,
)
from bench.data.dataset import Places
from bench.machine.host import Machine, this_machine
from bench.runner import plan
from bench.runner.environments import Environments


class Setup(NamedTuple):
    """What a command runs with.

    Attributes:
        environments: the interpreters of the frameworks.
        machine: this one.
        choices: the backends, devices, threads, seeds, rounds and modes that the user chose, or
            their defaults.
        places: where data sets may be.
        console: for progress, on standard error.
    """

    environments: Environments
    machine: Machine
    choices: plan.Options
    places: Places
    console: Console


def set_up(options: argparse.Namespace) -> Setup:
    """Set up a command with the options of `bench.command.cli`.

    Raises:
        UserError: a choice is not known, not installed or not available.
    """
    environments = Environments(dict(options.python))
    machine = this_machine(os.environ.get("CUDA_VISIBLE_DEVICES"))
    choices = plan.Options(
        backends=choose_backends(options.backend, environments, tuned=options.tuned),
        devices=choose_devices(options.device, machine),
        threads=choose_threads(options.threads),
        seeds=getattr(options, "seeds", None),
        rounds=getattr(options, "rounds", None),
        modes=options.mode,
    )
    say_without_native(choices.backends, choices.modes)
    return Setup(environments, machine, choices, places_of(options), Console(stderr=True))
