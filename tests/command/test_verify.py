"""`bench verify`: what it shows and keeps; two of them never write to the same folder."""

from __future__ import annotations

import pytest

from bench.machine.host import this_machine
from bench.records.run import claim


def test_a_verification_that_another_process_is_making_is_refused(bench, tmp_path):
    with claim(tmp_path / "results" / "verifications", this_machine().name):
        code, _, errors = bench("verify", "--backend", "reference")
    assert code == 2
    assert "another `bench` on this machine is writing to it" in errors


@pytest.mark.framework
def test_a_workload_that_a_backend_cannot_have_is_left_out_with_the_reason(bench, environments):
    python = ("--python", f"scikit-learn={environments.require('scikit-learn')}")
    chosen = ("verify", "--backend", "scikit-learn", "--threads", "1", *python)
    reason = "scikit-learn: cnn is left out: scikit-learn has dense layers only, and this model has"
    code, out, errors = bench(*chosen, "--workload", "softmax,cnn")
    assert code == 0, errors
    assert reason in " ".join(errors.split())
    assert "1 of 1 verified equal" in out
    code, _, errors = bench(*chosen, "--workload", "cnn")
    assert code == 2
    assert f"nothing to verify: {reason}" in errors


@pytest.mark.framework
def test_a_precision_or_ranks_that_a_backend_has_not_are_left_out_with_the_reason(
    bench, environments
):
    python = ("--python", f"scikit-learn={environments.require('scikit-learn')}")
    for option, reason in (
        (("--precision", "bfloat16"), "scikit-learn on cpu in bfloat16 is left out: NumPy has no"),
        (("--device", "2xcpu"), "scikit-learn on 2xcpu in float32 is left out: it does not train"),
    ):
        code, _, errors = bench("verify", "--backend", "scikit-learn", *option, *python)
        assert code == 2
        assert "nothing to verify" in errors
        assert reason in " ".join(errors.split())
