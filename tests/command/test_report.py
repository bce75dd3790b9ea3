"""`bench report`: from records alone, and into a Markdown file of the user."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.command import QUICK


def test_the_accuracy_table_goes_between_two_marks_of_a_file(bench, tmp_path):
    bench("run", *QUICK, "--run", "mine")
    begin, end = "<!-- accuracy table: begin -->", "<!-- accuracy table: end -->"
    (tmp_path / "page.md").write_text(f"before\n\n{begin}\nold\n{end}\n\nafter\n")
    code, *_ = bench("report", "results/mine", "--into", "page.md", "--suite", "smoke")
    assert code == 0
    text = (tmp_path / "page.md").read_text()
    assert text.startswith(f"before\n\n{begin}\n\n| workload |")
    assert "| cnn | - | not run |" in text
    assert text.endswith(f"|\n\n{end}\n\nafter\n")
    assert "old" not in text
    other = "<!-- results table: begin -->\n<!-- results table: end -->\n"
    (tmp_path / "page.md").write_text(f"{text}{other}")
    code, *_ = bench("report", "results/mine", "--into", "page.md", "--suite", "smoke")
    assert code == 0
    both = (tmp_path / "page.md").read_text()
    assert both.startswith(text)
    assert "| workload | epochs | accuracy | reference |" in both
    assert "| cnn | - | - | not run |" in both
    assert re.search(r"\| softmax \| 2 \| \d\d\.\d\d % \| alone \|", both)
    (tmp_path / "page.md").write_text(text + other.partition("\n")[0])
    code, _, errors = bench("report", "results/mine", "--into", "page.md")
    assert code == 2
    assert "<!-- results table: begin --> without the end" in errors
    (tmp_path / "page.md").write_bytes(b"\xff\xfe")
    code, _, errors = bench("report", "results/mine", "--into", "page.md")
    assert code == 2
    assert "a Markdown file in UTF-8" in errors
    code, _, errors = bench("report", "results/mine", "--suite", "smoke")
    assert code == 2
    assert "--suite needs --into" in errors
    (tmp_path / "page.md").write_text("no marks")
    code, _, errors = bench("report", "results/mine", "--into", "page.md")
    assert code == 2
    assert begin in errors
    assert (tmp_path / "page.md").read_text() == "no marks"


@pytest.mark.slow
@pytest.mark.usefixtures("whole")
def test_a_report_is_a_pure_function_of_its_records(bench):
    bench("run", *QUICK, "--run", "mine")
    files = [
        "report.html",
        "report.md",
        "epochs.csv",
        "summary.csv",
        "plots/curves.svg",
        "plots/speed.svg",
    ]
    before = {name: Path("results/mine", name).read_bytes() for name in files}
    for name in files:
        Path("results/mine", name).unlink()
    code, *_ = bench("report", "results/mine")
    assert code == 0
    assert {name: Path("results/mine", name).read_bytes() for name in files} == before
