"""`bench verify`: what it shows and keeps; two of them never write to the same folder."""

from __future__ import annotations

from bench.machine.host import this_machine
from bench.records.run import claim


def test_a_verification_that_another_process_is_making_is_refused(bench, tmp_path):
    with claim(tmp_path / "results" / "verifications", this_machine().name):
        code, _, errors = bench("verify", "--backend", "reference")
    assert code == 2
    assert "another `bench` on this machine is writing to it" in errors
