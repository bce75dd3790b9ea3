"""What the report says of energy and of a device's memory: by hand, and whatever is missing with its reason."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from test_report import make_record

from backends.contract import DeviceMemory
from bench.energy import Counter
from bench.record import write_record
from bench.report.document import Items, Table, Text
from bench.report.energy import energy_blocks
from bench.report.frame import epochs_frame
from bench.report.memory import allocator_peak, device_peak, memory_notes
from bench.report.page import write_report
from bench.report.summary import summarise
from bench.report.words import joules, three_digits, watts
from bench.runs import read_run

RAPL = Counter(name="RAPL: package-0", window_seconds=0.05)
NVML = Counter(name="NVML: the whole GPU board", window_seconds=5.0)
REACHES = (0.5, 0.9, 0.92, 0.91)  # softmax's target is 91.7 %


def measured(record, energies, *, counter=RAPL, why="too short for this counter, which needs 5 s", host=None):
    """The record with so many joules in its epochs' trainings, None: none and why."""
    epochs = tuple(
        replace(
            epoch,
            training=replace(
                epoch.training,
                energy_joules=energy,
                no_energy=why if energy is None else "",
                host_energy_joules=host,
            ),
        )
        for epoch, energy in zip(record.epochs, energies, strict=True)
    )
    return replace(record, epochs=epochs, startup=replace(record.startup, energy=counter))


def table_of(*records):
    [table] = [block for block in energy_blocks(epochs_frame(records)) if isinstance(block, Table)]
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def told(*records):
    """All that is said without a table."""
    blocks = energy_blocks(epochs_frame(records))
    assert not any(isinstance(block, Table) for block in blocks)
    texts = [block.text for block in blocks if isinstance(block, Text)]
    return texts + [line for block in blocks if isinstance(block, Items) for line in block.lines]


def test_joules_by_hand():
    """1,000 images; epochs of 4, 1, 3 and 2 s at 40, 10, 36 and 30 J; the first is left out; the third reached it."""
    [row] = table_of(measured(make_record(accuracies=REACHES), (40.0, 10.0, 36.0, 30.0)))
    assert row == {
        "workload": "softmax",
        "backend": "reference",
        "energy per epoch, median": "30 J",
        "epochs counted": "3 of 3",
        "mean power": "12 W",
        "images per joule": "33.3",
        "energy to target": "86 J",
    }


def test_a_target_counts_over_all_jobs_or_not_at_all():
    one = measured(make_record("a", accuracies=REACHES), (40.0, 10.0, 36.0, 30.0))
    later = measured(make_record("b", seed=1, accuracies=(0, 0, 0, 0.95)), (1.0, 1.0, 1.0, 1.0))
    never = measured(make_record("c", seed=1), (1.0, 1.0, 1.0, 1.0))
    for others, text in (
        ([later], "45 J"),  # the median of 86 and 4
        ([never], "reached by 1 of 2"),
        ([make_record("d", seed=1, status="diverged")], "reached by 1 of 2"),
    ):
        assert table_of(one, *others)[0]["energy to target"] == text
    assert table_of(never)[0]["energy to target"] == "not reached"


def test_an_epoch_without_a_figure_is_never_left_out_of_a_median():
    """Else only the long ones would count. The first epoch counts for the target alone."""
    record = make_record(accuracies=REACHES)
    other = measured(make_record("o", backend="pytorch"), (1.0, 1.0, 1.0, 1.0))
    row = table_of(measured(record, (40.0, None, 36.0, 30.0)), other)[0]
    assert (row["energy per epoch, median"], row["images per joule"], row["energy to target"]) == ("-", "-", "-")
    row = table_of(measured(record, (None, 10.0, 36.0, 30.0)), other)[0]
    assert (row["energy per epoch, median"], row["energy to target"]) == ("30 J", "-")
    row = table_of(measured(record, (40.0, 10.0, 36.0, None)), other)[0]
    assert (row["energy per epoch, median"], row["energy to target"]) == ("-", "86 J")
    lines = energy_blocks(epochs_frame([measured(record, (40.0, None, 36.0, 30.0)), other]))[-1].lines
    assert lines == (
        "softmax reference: 1 of 3 epochs (median 1 s) without a figure: too short for this counter, which needs 5 s.",
    )


def test_where_all_are_too_short_it_says_how_short_and_what_the_counter_needs():
    text, line = told(measured(make_record(), (None,) * 4, counter=NVML))
    assert text == "No figures, though there is a counter (NVML: the whole GPU board):"
    assert line.startswith("softmax reference: 3 of 3 epochs (median 2 s) without a figure: too short")
    assert "which needs 5 s" in line


def test_without_a_counter_one_line_says_why():
    record = measured(make_record(), (None,) * 4, counter=Counter(reason="no RAPL under `/sys`"), why="")
    assert told(record) == ["No counter could be read: no RAPL under `/sys`."]
    assert told(make_record()) == ["No counter could be read: nobody asked."]
    assert energy_blocks(epochs_frame([make_record(status="failed")])) == []


def test_a_gpus_table_has_the_cpus_beside_it():
    records = [measured(make_record(), (500.0,) * 4, counter=NVML, host=80.0)]
    [row] = table_of(*records)
    assert (row["energy per epoch, median"], row["CPUs beside it, per epoch"]) == ("500 J", "80 J")
    [text] = [block.text for block in energy_blocks(epochs_frame(records)) if isinstance(block, Text)]
    assert "NVML: the whole GPU board" in text
    assert "RAPL" not in text


def on_gpu(key, peak, *, by="process", anew=True, **job):
    memory = DeviceMemory(allocator_peak_bytes=300_000_000, began_anew=anew)
    return replace(make_record(key, **job), device_memory=memory, device_peak_bytes=peak, device_peak_by=by)


@pytest.mark.parametrize(
    ("record", "allocator", "driver", "notes"),
    [
        (on_gpu("a", 700_000_000), "300 MB", "700 MB", 3),
        (on_gpu("a", 700_000_000, by="device"), "300 MB", "700 MB, whole GPU", 3),
        (on_gpu("a", 700_000_000, anew=False), "300 MB, from the start", "700 MB", 4),
        (on_gpu("a", None, by=None), "300 MB", "-", 2),
        (make_record("a"), "-", "-", 1),
    ],
)
def test_every_figure_of_a_device_says_what_it_is_of(record, allocator, driver, notes):
    table = summarise(epochs_frame([record]))
    [row] = table.to_dict("records")
    assert (allocator_peak(row), device_peak(row)) == (allocator, driver)
    lines = memory_notes(table).lines
    assert len(lines) == notes
    for word in ("whole GPU", "from the start"):
        assert any(line.startswith(f"`{word}`") for line in lines) == (word in allocator + driver)


def test_of_two_jobs_the_weaker_instrument_names_the_figure():
    table = summarise(epochs_frame([on_gpu("a", 700_000_000), on_gpu("b", 1, by="device", anew=False, seed=1)]))
    [row] = table.to_dict("records")
    assert (allocator_peak(row), device_peak(row)) == ("300 MB, from the start", "700 MB, whole GPU")


def test_what_was_measured_survives_the_disk_and_stands_in_the_page(tmp_path):
    record = measured(on_gpu("a", 700_000_000, by="device"), (40.0, 10.0, 36.0, 30.0), host=2.0)
    write_record(tmp_path / "jobs", record)
    assert read_run(tmp_path) == ([record], [])
    write_report(tmp_path)
    page = (tmp_path / "report.md").read_text()
    assert "### Energy\n\nCounted by RAPL: package-0" in page
    assert "| 700 MB, whole GPU |" in page
    assert "40.0" in (tmp_path / "epochs.csv").read_text()


def test_energies_are_written_as_people_read_them():
    assert [joules(value) for value in (0.01234, 12.34, 999.7, 45_678.0, None)] == [
        *("0.0123 J", "12.3 J", "1 kJ", "45.7 kJ", "-"),
    ]
    assert (watts(61.27), watts(float("nan"))) == ("61.3 W", "-")
    assert [three_digits(value) for value in (0.5, 999.6, 12_345.0)] == ["0.5", "1,000", "12,300"]
