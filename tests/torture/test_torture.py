"""A slice of each campaign, with fixed seeds: the same code as `nox -s torture`."""

from __future__ import annotations

import importlib

import pytest

from tests.torture.campaign import CAMPAIGNS

MODULES = {name: importlib.import_module(f"tests.torture.{name}") for name in CAMPAIGNS}
SLICES = [(name, seed) for name, module in MODULES.items() for seed in module.SLICE]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed"), SLICES, ids=str)
def test_every_promise_holds(name, seed, tmp_path):
    tried = MODULES[name].attempt(seed, tmp_path)
    assert tried.tries > 0
    said = "\n\n".join(f"{fault.oracle}: {fault.text}" for fault in tried.faults)
    assert not said, f"repeat with: nox -s torture -- --only {name} --seed {seed}\n{said}"
