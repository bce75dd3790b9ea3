"""`bench environment`: lists the environments of the frameworks, and makes them."""

from __future__ import annotations

import argparse

from backends.registry import ENVIRONMENTS
from bench.machine.nvml import gpus
from bench.runner.environments import Environments


def environment(options: argparse.Namespace) -> int:
    """`bench environment`: list what is installed; with `create`, install it.

    Raises:
        InstallError: see `Environments.create`.
    """
    environments = Environments()
    if options.action == "create":
        cuda = bool(gpus(None)) and not options.cpu
        for name in options.names or ENVIRONMENTS:
            made = environments.create(name, cuda=cuda, say=lambda line: print(line, flush=True))
            print(f"{name}: {'ready' if made else 'already there'}", flush=True)
        return 0
    for name, spec in ENVIRONMENTS.items():
        python = environments.python(name)
        versions = ", ".join(f"{key} {value}" for key, value in environments.versions(name).items())
        print(f"{name:<12} {python or 'not made: bench environment create ' + name}")
        print(f"{'':<12} {versions or ', '.join(spec.requirements)}")
    return 0
