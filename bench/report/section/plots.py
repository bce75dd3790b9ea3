"""Makes the section with the plots of all results."""

from __future__ import annotations

from bench.report.form.document import Block, Heading, Plot
from bench.report.plot.results import CAPTIONS, names_of, write_plots
from bench.report.run import Run


def section(run: Run) -> list[Block]:
    """Write the plots of curves, time, throughput and memory; nothing if no job ended ok."""
    summary, epochs = (frame.assign(name=names_of(frame)) for frame in (run.ok, run.epochs))
    plots = write_plots(summary, epochs, run.folder / "plots")
    return [Heading("Plots", 2), *(Plot(plot, CAPTIONS[plot]) for plot in plots)] if plots else []
