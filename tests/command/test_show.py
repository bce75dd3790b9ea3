"""`bench defaults`: the default, what the spec says and what is enforced."""

from __future__ import annotations


def test_the_contract_command_shows_default_spec_and_what_is_enforced(bench):
    code, out, _ = bench("defaults", "--backend", "jax,reference")
    assert code == 0
    assert "the spec says" in out
    assert "gap: native mode (never): JAX has no layers" in out.replace("\n", " ")
    assert "reference defines what the spec says" in out
