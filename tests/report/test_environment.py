"""The section on machines and settings: what it says of a framework in a Python of its own."""

from __future__ import annotations

from msgspec.structs import replace

from bench.report.form.blocks import Table, Text
from bench.report.section.environment import section, transports
from tests.support.records import blocks_of, make_record, run_of


def far(record, *seconds):
    """The record, with these transports of its epochs."""
    epochs = [
        replace(epoch, training=replace(epoch.training, transport_seconds=value))
        for epoch, value in zip(record.epochs, seconds, strict=True)
    ]
    return replace(record, epochs=tuple(epochs))


def test_the_time_of_a_transport_is_said_once_per_backend_and_of_no_other():
    old = {"backend": "cntk", "round": 1}
    records = [
        make_record(),
        far(
            make_record(key="a", times=(3.0, 4.0), accuracies=(0.5, 0.6), backend="cntk"),
            0.01,
            0.03,
        ),
        far(make_record(key="b", times=(5.0,), accuracies=(0.5,), **old), 0.02),
    ]
    [text] = blocks_of(Text, section(run_of(*records)))
    assert "`cntk` works in an old Python" in text.text
    assert "All its epochs took 12.0 s there." in text.text
    assert "took 60.0 ms more" in text.text


def test_nothing_is_said_of_frameworks_in_the_worker_itself():
    assert transports([make_record()]) == []


def test_variables_that_were_given_and_those_that_were_left_out_are_told():
    record = replace(make_record(), variables=("XLA_FLAGS=--a",), dropped=("OMP_PROC_BIND",))
    made = section(run_of(record, make_record(key="b", round=1)))
    [text] = blocks_of(Text, made)
    assert "did not reach the frameworks, as they change what is measured: `OMP_PROC_BIND`" in (
        text.text
    )
    versions = blocks_of(Table, made)[1]
    assert any("XLA_FLAGS --a" in row[1] for row in versions.rows)
