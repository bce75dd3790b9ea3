"""The report's page, the terminal's table and the table in the README."""

from __future__ import annotations

import csv
import html
import io
import re
import shutil
from html.parser import HTMLParser
from importlib.metadata import version

import pandas as pd
import pytest

from bench.records.files import PROJECT, RunError
from bench.records.stored import write
from bench.report.chart.files import vega
from bench.report.document.html import to_html
from bench.report.form.blocks import Alarm, Folded, Heading, Items, Table, Text
from bench.report.form.csv import comma_separated
from bench.report.form.latex import latex_table
from bench.report.form.markdown import to_markdown
from bench.report.page import blocks_of, write_report
from bench.report.readme import fill_table
from bench.report.section import figures
from bench.report.section.glance import accuracy_overview, published_overview
from bench.report.terminal.plain import plain_console, plain_table
from bench.report.terminal.results import print_table
from bench.report.terminal.summary import print_summary
from specs.loading import find_suite
from tests.support.clusters import on_node
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


def test_a_run_of_many_machines_shows_some_and_says_what_is_wrong_on_all(monkeypatch):
    monkeypatch.setattr("bench.report.page.TOPICS", (("All figures", (figures.section,)),))
    records = [on_node(number, workload="softmax", round=0, backend="jax") for number in range(6)]
    records.append(on_node(5, workload="softmax", seed=1, backend="jax", status="diverged"))
    run = run_of(*records)
    text = to_markdown(blocks_of(run))
    page, figures_of_it = text.split("## All figures")
    for number in range(6):
        assert (f"gpu00{number}" in figures_of_it) == (number < 4)
    assert "show 4 of 6 machines; `summary.csv` has all, and `bench nodes run` compares" in page
    assert "diverged" in page
    assert set(run.summary["machine"]) == {f"gpu00{number}" for number in range(6)}
    console = plain_console(width=100, file=io.StringIO())
    print_summary(run, console)
    print_table(run, console)
    assert console.file.getvalue().count("NVIDIA H100, gpu003") == 2
    assert "gpu004" not in console.file.getvalue()
    assert run_of(*records[:4]).shown.summary["machine"].nunique() == 4


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


BLOCKS = [
    Heading("a < b", 1),
    Heading("Part", 2),
    Text("see `x & y`"),
    Items(("one",)),
    Table(("k", "v"), (("<b>", "1.5 s"),)),
]


def test_the_page_is_one_file_that_loads_nothing_and_markup_in_names_is_text():
    page = to_html(BLOCKS, {}, "alert()")
    assert "<title>a &lt; b</title>" in page
    assert "<code>x &amp; y</code>" in page
    assert '<td>&lt;b&gt;</td><td class="number">1.5 s</td>' in page
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "default-src 'none'; script-src 'sha256-" in html.unescape(page)
    assert "script-src 'none'" in html.unescape(to_html(BLOCKS, {}, ""))


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self):
        super().__init__()
        self.elements = []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, attrs))


HOSTILE = (
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![x](http://a.b/c.png)",
    r"\input{/etc/passwd}",
    "\x1b[31mred\x1b[0m",
    "abc\u202egpj.exe",
    "a|b",
    "line\n# heading",
    "`code` **bold**",
    "&lt;script&gt;",
    '"><img src=x onerror=alert(1)>',
)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_a_record_is_text_in_the_page_and_in_markdown(text):
    blocks = [Heading(text, 1), Text(text), Items((text,)), Table((text, "v"), ((text, "1"),))]
    page = to_html([*blocks, Heading("Part", 2), Alarm(text, text, (text,))], {}, "")
    found = Elements()
    found.feed(page)
    assert not {"script", "img", "iframe"} & {tag for tag, _ in found.elements}
    assert all(
        not name.startswith("on") and (name not in ("href", "src") or value.startswith("#"))
        for _, attributes in found.elements
        for name, value in attributes
    )
    markdown = to_markdown([*blocks, Alarm(text, text, (text,)), Folded(text, [])])
    assert not re.search(r"(?<!\\)[<\[](script|img|x\])", markdown)
    for written in (page, markdown):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", written)
    assert len(re.findall("^#", markdown, re.MULTILINE)) == 1
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 3 for row in rows)


@pytest.mark.parametrize("text", [*HOSTILE, "=1+1", "@x", "-1", "\t=1+1", "\uff1d1+1"])
def test_text_of_a_record_is_text_in_a_table_of_csv_latex_and_in_a_terminal(text):
    [_, row] = csv.reader(io.StringIO(comma_separated(pd.DataFrame({"k": [text]})).decode()))
    assert not row[0].lstrip().startswith(("=", "+", "-", "@", "\uff1d"))
    latex = latex_table(Table(("k",), ((text,),)))
    assert not re.search(
        r"(?<!\\)[&%$#_^~<>|\"]", latex.partition("midrule")[2].replace(" \\\\", "")
    )
    assert "\\input" not in latex
    console = plain_console(width=80, file=io.StringIO())
    table = plain_table((text,))
    table.add_row(text)
    console.print(text, table)
    for written in (*row, latex, console.file.getvalue()):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", written)


def test_a_text_that_begins_with_spaces_is_no_code():
    blocks = [Text("    a"), Items(("\n    b",)), Alarm("c", "    d", ("    e",))]
    markdown = to_markdown(blocks)
    assert markdown == "a\n\n- b\n\n> [!CAUTION]\n> **c**\n>\n> d\n>\n> - e\n"


def test_a_script_that_another_user_may_have_written_is_not_put_into_a_page(tmp_path, monkeypatch):
    monkeypatch.setenv("FRAMEWORK_BENCH_CACHE", str(tmp_path))
    kept = tmp_path / "page" / f"vega-{version('vl-convert-python')}.js"
    kept.parent.mkdir()
    kept.write_text("evil()")
    kept.chmod(0o666)
    script = vega()
    assert "evil()" not in script
    assert kept.read_text() == script
    assert kept.stat().st_mode & 0o777 == 0o644
    kept.write_text("own()")
    assert vega() == "own()"


def test_our_own_markup_stays_markup_in_markdown():
    blocks = [Text("see `a_b|c` and **wrong**, *pale*"), Items(("- no list", "1. none"))]
    assert to_markdown(blocks) == (
        "see `a_b|c` and **wrong**, *pale*\n\n- \\- no list\n- \\1. none\n"
    )


def test_a_table_of_several_data_sets_or_machines_is_never_filled_in(tmp_path):
    for record in (make_record("a"), make_record("b", data="e")):
        write(tmp_path / "jobs", record)
    with pytest.raises(RunError, match="holds several data sets, machines or devices"):
        fill_table(tmp_path / "page.md", tmp_path, ())


def test_the_distance_to_a_published_accuracy_is_told_in_standard_errors_over_seeds():
    """Seeds of 0.90, 0.92 and 0.94, each with two backends 0.01 above and below."""
    rows = [
        {"label": label, "seed": seed, "test_accuracy": mean + sign * 0.01, "status": "ok"}
        | {"mode": mode, "course_accuracy": published, "backend": str(sign)}
        for label, published in (("a", 0.95), ("b", None))
        for seed, mean in enumerate((0.90, 0.92, 0.94))
        for sign in (-1, 1)
        for mode in ("matched", "native")
    ]
    rows.append({**rows[0], "backend": "of one seed", "test_accuracy": 0.5})
    [line] = published_overview(pd.DataFrame(rows)).rows
    # The seeds' means have the variance 4e-4, jobs of one seed 2e-4. So a run has 4e-4 + 1e-4, and
    # the mean over the seeds 4e-4 / 3.
    error = "-1.2 (one is 2.52 points)"
    assert line == ("a", "95.00 %", "92.00 %", "3", "-3.00 points", error)
    [line] = published_overview(pd.DataFrame([row for row in rows[:-1] if not row["seed"]])).rows
    assert line[3:] == ("1", "-5.00 points", "-")


def test_a_table_never_drops_one_of_two_numbers_of_threads(tmp_path):
    for record in (make_record("a", threads=1), make_record("b", threads=2)):
        write(tmp_path / "jobs", record)
    with pytest.raises(RunError, match="softmax has several rows of reference"):
        fill_table(tmp_path / "page.md", tmp_path, ())


@pytest.mark.slow
def test_the_report_of_the_reference_run_is_what_the_command_makes_of_its_records(tmp_path):
    kept = PROJECT / "results" / "reference"
    made = tmp_path / "reference"  # the report begins with this name
    for folder in ("jobs", "turns", "limits", "noise"):
        shutil.copytree(kept / folder, made / folder)
    write_report(made)
    for name in ("report.html", "report.md", "epochs.csv", "summary.csv"):
        is_equal = (made / name).read_bytes() == (kept / name).read_bytes()
        assert is_equal, f"{name}: bench report results/reference, and keep what git knows of it"


@pytest.mark.parametrize("name", ["README.md", "docs/findings.md"])
def test_the_tables_of_the_documents_are_what_the_command_makes_of_the_reference_run(
    name, tmp_path
):
    copy = tmp_path / "page.md"
    copy.write_bytes((PROJECT / name).read_bytes())
    wanted = [part.workload for part in find_suite("course").workloads]
    fill_table(copy, PROJECT / "results" / "reference", wanted)
    hint = f"bench report results/reference --suite course --into {name}"
    assert copy.read_text() == (PROJECT / name).read_text(), hint
