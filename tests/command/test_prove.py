"""`bench prove`: what it shows and keeps, and that two never write to one folder."""

from __future__ import annotations

from bench.machine.host import this_machine
from bench.records.run import claim


def test_a_proof_that_another_process_is_making_is_refused(bench, tmp_path):
    with claim(tmp_path / "results" / "proofs", this_machine().name):
        code, _, errors = bench("prove", "--backend", "reference")
    assert code == 2
    assert "another `bench` on this machine is writing to it" in errors


def test_the_command_proves_shows_keeps_and_the_report_of_a_run_takes_the_proof_with_it(
    bench, tmp_path
):
    code, out, err = bench("prove", "--backend", "reference", "--threads", "1")
    assert code == 0, err
    assert "1 of 1 proven equal on " in out
    assert "reference cpu: proven, " in err
    [kept] = (tmp_path / "results" / "proofs").glob("reference.matched.cpu.*.json")
    code, out, err = bench(
        *(
            "run",
            "softmax",
            "--backend",
            "reference",
            "--dataset",
            "mnist-5k",
            "--epochs",
            "1",
            "--threads",
            "1",
        )
    )
    assert code == 0, err
    assert "Proven equal to the float64 reference on this machine: all backends." in out
    assert (tmp_path / "results" / "softmax" / "proofs" / kept.name).is_file()
    page = (tmp_path / "results" / "softmax" / "report.html").read_text()
    assert "Why the comparison is fair" in page
    assert "it is the reference" in page
