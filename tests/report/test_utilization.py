"""Hardware utilization in the report: shares, findings, and reasons for missing figures."""

from __future__ import annotations

import msgspec

from bench.records.stored import write
from bench.report.form.blocks import Chart, Table, Text
from bench.report.form.markdown import to_markdown
from bench.report.page import write_report
from bench.report.section import utilization
from tests.support.records import blocks_of as in_order
from tests.support.records import made_limits, make_record, reached, run_of


def blocks_of(tmp_path, *records, limits=None):
    run = run_of(*records, folder=tmp_path)
    run.limits = [made_limits()] if limits is None else limits
    return utilization.section(run)


def test_the_report_says_shares_and_the_finding_and_draws_the_roofline(tmp_path):
    record = make_record("a", batch_size=100, times=(1.0, 0.01, 0.01), accuracies=(0.9,) * 3)
    blocks = blocks_of(tmp_path, record, limits=[made_limits(memory=((10**9, 1e13),))])
    table, limits = in_order(Table, blocks)
    assert limits.rows[0][1] == "100 GFLOP/s, 128 x 128"
    [row] = table.rows
    # 1,000 images of 31,360 FLOP in 10 ms are 3.136 GFLOP/s
    assert row[:6] == ("softmax", "reference", "1.00 ms", "3.14 GFLOP/s", "3.1 %", "-")
    assert row[-1] == "per-step overhead"
    text = to_markdown(blocks)
    assert (
        "softmax: bound by per-step overhead in reference (3.1 % of the attainable, 1.00 ms per"
        " step). Seen in one" in text
    )
    [chart] = in_order(Chart, blocks)
    [[panel]] = [chart.panels]
    points = [row for row in panel.spec["datasets"]["rows"] if "workload" in row]
    assert [(row["backend"], row["text"], row["share"]) for row in points] == [
        ("reference", "3.14 GFLOP/s", "3.1 %")
    ]


def test_a_share_above_the_limit_is_printed_and_explained_not_clipped(tmp_path):
    record = make_record("a", batch_size=100, times=(1.0, 1e-4, 1e-4), accuracies=(0.9,) * 3)
    blocks = blocks_of(tmp_path, record)
    table, _ = in_order(Table, blocks)
    assert table.rows[0][4] == "314 %"
    assert any(
        isinstance(b, Text) and b.text.startswith("Above 100 %: softmax reference.") for b in blocks
    )


def test_limits_that_failed_are_shown_with_their_reason_and_runs_without_limits_have_no_such_part(
    tmp_path,
):
    failed = made_limits(
        status="failed", reason="no memory", reached=(reached("matmul", 128, 1000, 1e9),)
    )
    blocks = blocks_of(tmp_path, make_record("a"), limits=[failed])
    [table] = in_order(Table, blocks)
    assert table.rows[0][1:] == (
        "1 GFLOP/s, 128 x 128",
        *["unavailable"] * 3,
        "-",
        "failed: no memory",
    )
    assert not in_order(Chart, blocks)
    assert blocks_of(tmp_path, make_record("a"), limits=[]) == []


def test_a_job_that_did_not_end_well_has_no_row_and_stops_no_report(tmp_path):
    for record in (make_record("a"), make_record("b", workload="mlp-relu", status="failed")):
        write(tmp_path / "jobs", record)
    (tmp_path / "limits").mkdir()
    (tmp_path / "limits" / "k.json").write_bytes(msgspec.json.encode(made_limits()))
    write_report(tmp_path)
    page = (tmp_path / "report.md").read_text()
    assert page.count("## Bottlenecks") == 1
    assert "bound by" in page
