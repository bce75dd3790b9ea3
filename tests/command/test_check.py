"""`bench check`: what it names, what it writes and how it ends."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace

from bench.records.stored import write
from bench.statistics.gate import check
from tests.support.agreement import verified
from tests.support.gate import result


def test_the_command_names_the_cells_writes_both_files_and_says_it_by_its_exit_code(
    bench, tmp_path
):
    for name, accuracy in (("good", 0.98), ("bad", 0.95)):
        write(tmp_path / name / "jobs", result(accuracy))
    code, output, _ = bench("check", "good", "--against", "good")
    assert code == 0
    assert "the result passes" in output
    code, output, _ = bench("check", "bad", "--against", "good")
    assert code == 1
    assert "softmax pytorch cpu: REGRESSED" in output
    assert "REGRESSED" in (tmp_path / "bad" / "check.md").read_text()
    assert 'failures="1"' in (tmp_path / "bad" / "check.xml").read_text()
    code, _, errors = bench("check", "bad", "--against", "nowhere")
    assert code == 2
    assert "nowhere: is not a results folder" in errors
    code, _, errors = bench("check", "bad", "--against", "good", "--level", "2")
    assert code == 2
    assert "a probability" in errors


def test_what_has_no_baseline_passes_only_where_that_is_allowed(bench, tmp_path):
    for record in (result(0.98), result(0.97, backend="jax")):
        write(tmp_path / "run" / "jobs", record)
    write(tmp_path / "old" / "jobs", result(0.98))
    code, output, _ = bench("check", "run", "--against", "old")
    assert code == 1
    assert (
        "softmax jax cpu: NOT CHECKED, the baseline has no such job (--allow-new lets it pass)"
        in output
    )
    assert "1 of 2 results did not pass" in output
    code, output, _ = bench("check", "run", "--against", "old", "--allow-new")
    assert code == 0
    assert "the result passes, 1 not checked" in output
    suite = ET.fromstring((tmp_path / "run" / "check.xml").read_bytes())
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "0", "1")


@pytest.mark.parametrize("allow", [(), ("--allow-new",)])
def test_a_job_that_failed_never_passes_for_want_of_a_baseline(bench, tmp_path, allow):
    for record in (result(0.98), result(0.97, backend="jax", status="failed")):
        write(tmp_path / "run" / "jobs", record)
    write(tmp_path / "old" / "jobs", result(0.98))
    code, output, _ = bench("check", "run", "--against", "old", *allow)
    assert code == 1
    assert "softmax jax cpu: FAILED, seed 0: failed: why" in output


def test_doubts_are_a_case_of_their_own_that_takes_no_baseline(bench, tmp_path):
    """The backend is wrong in the baseline, too, so its accuracy did not fall."""
    run = [result(0.98, backend=name) for name in ("pytorch", "jax", "tensorflow")] + [
        result(0.95, backend="x")
    ]
    for folder in ("run", "old"):
        for record in run:
            write(tmp_path / folder / "jobs", record)
    code, output, _ = bench("check", "run", "--against", "old", "--allow-new")
    assert code == 1
    assert "doubts on softmax cpu: x, batch size 32, seed 0: disagrees, accuracy 95.00 %" in output
    assert output.splitlines()[-1] == "results of 1 of 1 workloads are in doubt"
    assert "disagrees, accuracy 95.00 %" in (tmp_path / "run" / "check.md").read_text()
    suite = ET.fromstring((tmp_path / "run" / "check.xml").read_bytes())
    [failed] = [case for case in suite if case.find("failure") is not None]
    assert (failed.get("classname"), failed.get("name")) == ("doubts.softmax", "cpu")
    code, output, _ = bench("check", "run", "--against", "old", "--backend", "jax")
    assert code == 0
    assert "doubts on softmax cpu: none (jax)" in output
    code, output, _ = bench("check", "run", "--against", "old", "--backend", "x,jax", "--allow-new")
    assert code == 1


def test_the_threshold_is_shown(bench, tmp_path):
    """One seed, one result: 2.33 standard errors, of 0.21 points each, below 98 %."""
    write(tmp_path / "run" / "jobs", result(0.98))
    code, output, _ = bench("check", "run", "--against", "run")
    assert code == 0
    assert "fails below" in output
    assert "97.51 %" in output
    assert check([result(0.9751)], [result(0.98)])[0].status == "regressed"
    assert check([result(0.9753)], [result(0.98)])[0].status == "ok"
    # Two backends: one alone with this accuracy would be suspect, and no baseline.
    nothing_learnt = [result(0.0), result(0.0, backend="jax")]
    assert check(nothing_learnt, nothing_learnt)[0].fails_below is None


def test_a_row_whose_backend_disagrees_by_its_loss_says_so(bench, tmp_path):
    wrong = result(0.98, backend="x")
    wrong = replace(wrong, epochs=tuple(replace(epoch, running_loss=2.0) for epoch in wrong.epochs))
    for record in (*(result(0.98, backend=name) for name in "abc"), wrong):
        write(tmp_path / "run" / "jobs", record)
    for record in (result(0.98, backend=name) for name in "abcx"):
        write(tmp_path / "old" / "jobs", record)
    code, output, _ = bench("check", "run", "--against", "old")
    assert code == 1
    assert "ok, IN DOUBT" in output
    assert "ok, IN DOUBT |" in (tmp_path / "run" / "check.md").read_text()


def test_one_backend_alone_that_is_wrong_fails_the_check(bench, tmp_path):
    """Its accuracy did not fall, and there is no other backend to compare it with."""
    write(tmp_path / "old" / "jobs", result(0.98))
    write(tmp_path / "run" / "jobs", verified(result(0.98), **{"1.kernel": 3.0, "loss": 0.5}))
    code, output, _ = bench("check", "run", "--against", "old")
    assert code == 1
    assert (
        "doubts on softmax cpu: pytorch, batch size 32, seed 0: wrong, the change of 1.kernel in"
        " its first steps differs from the reference by 3 times its tolerance" in output
    )
    assert "ok, IN DOUBT" in output
    assert output.splitlines()[-1] == "results of 1 of 1 workloads are in doubt"
    assert "wrong, the change of 1.kernel" in (tmp_path / "run" / "check.md").read_text()
    suite = ET.fromstring((tmp_path / "run" / "check.xml").read_bytes())
    [failed] = [case for case in suite if case.find("failure") is not None]
    assert (failed.get("classname"), failed.get("name")) == ("doubts.softmax", "cpu")
    assert "wrong, the change of 1.kernel" in failed.find("failure").get("message")


def test_an_unconfirmed_result_passes_the_check_and_is_named(bench, tmp_path):
    write(tmp_path / "old" / "jobs", result(0.98, device="cuda:0"))
    write(tmp_path / "run" / "jobs", verified(result(0.98, device="cuda:0"), loss=3.0))
    code, output, _ = bench("check", "run", "--against", "old")
    assert code == 0
    assert "doubts on softmax cuda: none (pytorch)" in output
    remark = "pytorch, batch size 32, seed 0: unconfirmed, the loss in its first steps differs"
    assert f"remark on softmax cuda: {remark}" in output
    assert f"remark on softmax cuda: {remark}" in (tmp_path / "run" / "check.md").read_text()
    assert output.splitlines()[-1] == "the result passes; 1 remark"
    suite = ET.fromstring((tmp_path / "run" / "check.xml").read_bytes())
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("2", "0", "0")
    assert suite[1].find("system-out").text.startswith(remark)
