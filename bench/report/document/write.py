"""Writes a report (a list of blocks) into a folder, as Markdown, HTML and charts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.records.files import inside, write_atomically
from bench.report.chart.files import svgs_of, vega, write_chart
from bench.report.document.html import page_script, to_html
from bench.report.form.blocks import Block, Chart, Folded
from bench.report.form.markdown import to_markdown


def write_document(blocks: Sequence[Block], folder: Path) -> None:
    """Write `report.md`, `report.html`, and the charts in `plots/`, as SVG, PNG and PDF.

    Raises:
        RunError: the folder cannot be written.
    """
    drawn = {}
    for chart in charts_of(blocks):
        drawn[chart.name] = svgs_of(chart)
        write_chart(chart, drawn[chart.name], inside(folder, "plots"))
    write_atomically(folder / "report.md", to_markdown(blocks).encode())
    script = f"{vega()}\n{page_script()}" if drawn else page_script()
    page = to_html(blocks, drawn, script)
    write_atomically(folder / "report.html", page.encode())


def charts_of(blocks: Sequence[Block]) -> list[Chart]:
    """All charts among the blocks, including folded ones."""
    charts: list[Chart] = []
    for block in blocks:
        if isinstance(block, Chart):
            charts.append(block)
        elif isinstance(block, Folded):
            charts += charts_of(block.blocks)
    return charts
