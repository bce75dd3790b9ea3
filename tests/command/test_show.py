"""`bench defaults`: the framework's default, the workload's value and what we set."""

from __future__ import annotations


def test_the_command_shows_default_workload_and_what_we_set(bench):
    code, out, _ = bench("defaults", "--backend", "jax,reference")
    assert code == 0
    assert "what we set" in out
    assert "gap: native mode (never): JAX has no layers" in out.replace("\n", " ")
    assert "reference is the reference" in out
