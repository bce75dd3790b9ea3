"""Tests which environments a command makes."""

from __future__ import annotations

from bench.command.environment import environments_of


def test_only_the_environments_of_the_named_backends_are_made():
    assert environments_of(("pytorch", "keras-torch", "reference")) == ["torch"]
    assert environments_of(("jax", "tensorflow")) == ["jax", "tensorflow"]
