"""The report's page, the terminal's table and the table in the README."""

from __future__ import annotations

import io
import re

import pytest

from bench.records.files import PROJECT, RunError
from bench.records.stored import write
from bench.report.form.document import Heading, Items, Plot, Table, Text, to_html, to_markdown
from bench.report.readme import fill_table
from bench.report.section.glance import accuracy_overview
from bench.report.terminal.plain import plain_console
from bench.report.terminal.results import print_table
from specs.loading import find_suite
from tests.support.records import make_record, run_of, summary


def test_the_accuracy_table_has_a_column_per_backend_and_names_what_was_not_run():
    records = [
        make_record("a"),
        make_record("b", seed=1, accuracies=(0, 0, 0, 0.9)),
        make_record("c", backend="pytorch"),
    ]
    records.append(make_record("d", backend="keras-jax", status="diverged"))
    table = accuracy_overview(summary(*records), wanted=("cnn", "softmax"))
    assert table.columns == ("workload", "epochs", "reference", "pytorch", "keras-jax")
    assert table.rows == (
        ("cnn", "-", "not run", "not run", "not run"),
        ("softmax", "4", "80.00 % (70.00 to 90.00)", "70.00 %", "diverged"),
    )


def test_the_terminal_table_leaves_out_columns_before_it_cuts_names():
    name = "mlp-relu-dropout-sgd"
    run = run_of(make_record("a", workload=name, backend="keras-tensorflow"))
    all_three = {"start", "memory", "images/s"}
    for width, columns in (
        (80, all_three - {"start"}),
        (88, all_three),
        (70, {"images/s"}),
        (62, set()),
    ):
        console = plain_console(width=width, file=io.StringIO())
        print_table(run, console)
        text = console.file.getvalue()
        assert name in text
        assert "keras-tensorflow" in text
        assert {column for column in ("start", "memory", "images/s") if column in text} == columns


def test_the_page_is_one_file_with_everything_in_it_and_markup_in_names_is_text(tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "curves.svg").write_text("<svg/>")
    blocks = [
        Heading("a < b", 1),
        Text("see `x & y`"),
        Items(("one",)),
        Table(("k", "v"), (("<b>", "1.5 s"),)),
        Plot("curves", "c"),
    ]
    page = to_html(blocks, tmp_path)
    assert "<title>a &lt; b</title>" in page
    assert "<code>x &amp; y</code>" in page
    assert '<td>&lt;b&gt;</td><td class="number">1.5 s</td>' in page
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    markdown = to_markdown(blocks)
    assert (
        "# a < b\n\nsee `x & y`\n\n- one\n\n| k | v |\n| --- | --- |\n| <b> | 1.5 s |" in markdown
    )


def test_a_table_of_several_data_sets_or_machines_is_never_filled_in(tmp_path):
    for record in (make_record("a"), make_record("b", data="e")):
        write(tmp_path / "jobs", record)
    with pytest.raises(RunError, match="holds several data sets, machines or devices"):
        fill_table(tmp_path / "page.md", tmp_path, ())


def test_the_table_of_the_findings_is_what_the_command_makes_of_the_reference_run(tmp_path):
    findings = PROJECT / "docs" / "findings.md"
    page = tmp_path / "findings.md"
    page.write_bytes(findings.read_bytes())
    wanted = [part.workload for part in find_suite("course").workloads]
    fill_table(page, PROJECT / "results" / "reference", wanted)
    hint = "bench report results/reference --suite course --into docs/findings.md"
    assert page.read_text() == findings.read_text(), hint
