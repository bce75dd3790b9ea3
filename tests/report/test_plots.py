"""The report's plots."""

from __future__ import annotations

import re

from bench.report.frame.epochs import epochs_frame
from bench.report.plot.results import write_plots
from tests.support.records import make_record


def test_plots_leave_out_what_was_not_measured_and_make_room_for_long_names(tmp_path):
    frame = epochs_frame([make_record("a", backend="pytorch"), make_record("b", backend="jax")])
    assert write_plots(frame, tmp_path / "plain") == [
        "curves",
        "epoch-time",
        "throughput",
        "memory",
    ]
    frame.loc[frame["backend"] == "jax", "train_peak_rss_bytes"] = (
        None  # a system that does not tell
    )
    sites = frame["backend"].map("on a node of {} with a name of some length".format)
    write_plots(frame.assign(site=sites), tmp_path / "named")
    plain, named = ((tmp_path / folder / "memory.svg").read_text() for folder in ("plain", "named"))
    assert (plain.count("MB -->"), named.count("MB -->")) == (2, 1)  # what stands at a bar's end
    assert _width(named) > _width(plain) + 100


def _width(svg: str) -> float:
    return float(re.search(r'<svg [^>]*width="([0-9.]+)pt"', svg)[1])
