"""The report's plots."""

from __future__ import annotations

import pytest

from bench.report.plot.results import bars, names_of, write_plots
from tests.support.records import make_record, run_of


def test_plots_leave_out_what_was_not_measured_and_make_room_for_long_names(tmp_path):
    run = run_of(make_record("a", backend="pytorch"), make_record("b", backend="jax"))
    frames = [frame.assign(name=names_of(frame)) for frame in (run.summary, run.epochs)]
    names = ["curves", "epoch-time", "throughput", "memory"]
    assert write_plots(*frames, tmp_path / "plain") == names
    for frame in frames:  # a system that does not tell the memory of a process
        frame.loc[frame["backend"] == "jax", "train_peak_rss_bytes"] = None
        frame["name"] = frame["backend"].map("on a node of {} with a name of some length".format)
    write_plots(*frames, tmp_path / "named")
    plain, named = ((tmp_path / folder / "memory.svg").read_text() for folder in ("plain", "named"))
    assert (plain.count(" MB -->"), named.count(" MB -->")) == (2, 1)  # at a bar's end
    assert named.count("with a name of some length") == 2


@pytest.mark.parametrize("slowest", [1.0, 1.44, 9.99, 1234.5])
@pytest.mark.parametrize("name", ["pytorch", "a backend with a name of forty characters"])
def test_no_text_of_a_plot_is_cut_off(slowest, name):
    """Margins are fixed; the last number of an axis may stand at its very end."""
    times = (slowest, 0.9 * slowest, 0.8 * slowest, 0.7 * slowest)
    run = run_of(make_record("a", times=times), make_record("b", times=(1.0,) * 4, backend="jax"))
    frames = [frame.assign(name=names_of(frame) + name) for frame in (run.summary, run.epochs)]
    figure = bars(*frames, "epoch-time")
    drawn = figure.get_tightbbox()
    assert drawn.x0 >= 0
    assert drawn.y0 >= 0
    assert drawn.x1 <= figure.get_figwidth()
    assert drawn.y1 <= figure.get_figheight()
