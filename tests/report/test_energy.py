"""Energy in the report: joules computed by hand, and the reasons for missing figures."""

from __future__ import annotations

from msgspec.structs import replace

from bench.records.run import read_run
from bench.records.stored import write
from bench.report.form.blocks import Items, Table, Text
from bench.report.page import write_report
from bench.report.section import energy
from bench.worker.energy import Counter
from tests.support.records import blocks_of, make_record, on_gpu, run_of

RAPL = Counter(name="RAPL: package-0", window_seconds=0.05)
NVML = Counter(name="NVML: the whole GPU board", window_seconds=5.0)
REACHES = (0.5, 0.9, 0.92, 0.91)  # softmax's target is 91.7 %


def measured(
    record, energies, *, counter=RAPL, why="too short for this counter, which needs 5 s", host=None
):
    """The record with these joules in its epochs' trainings; None: no figure, and the reason."""
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
    [table] = blocks_of(Table, energy.section(run_of(*records)))
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def told(*records):
    """All texts and items of the section, if it has no table."""
    blocks = energy.section(run_of(*records))
    assert not any(isinstance(block, Table) for block in blocks)
    texts = [block.text for block in blocks if isinstance(block, Text)]
    return texts + [line for block in blocks if isinstance(block, Items) for line in block.lines]


def test_joules_by_hand():
    """1,000 images; epochs of 4, 1, 3 and 2 s with 40, 10, 36 and 30 J.

    The first epoch is left out; the third reached the target.
    """
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
    """Otherwise only long epochs would count.

    The first epoch counts only for the target.
    """
    record = make_record(accuracies=REACHES)
    other = measured(make_record("o", backend="pytorch"), (1.0, 1.0, 1.0, 1.0))
    row = table_of(measured(record, (40.0, None, 36.0, 30.0)), other)[0]
    assert (row["energy per epoch, median"], row["images per joule"], row["energy to target"]) == (
        "-",
        "-",
        "-",
    )
    row = table_of(measured(record, (None, 10.0, 36.0, 30.0)), other)[0]
    assert (row["energy per epoch, median"], row["energy to target"]) == ("30 J", "-")
    row = table_of(measured(record, (40.0, 10.0, 36.0, None)), other)[0]
    assert (row["energy per epoch, median"], row["energy to target"]) == ("-", "86 J")
    run = run_of(measured(record, (40.0, None, 36.0, 30.0)), other)
    [[line]] = [items.lines for items in blocks_of(Items, energy.section(run))]
    assert line == (
        "softmax reference: 1 of 3 epochs (median 1.00 s) without a figure: too short for this"
        " counter, which needs 5 s."
    )


def test_where_all_are_too_short_it_says_how_short_and_what_the_counter_needs():
    text, line = told(measured(make_record(), (None,) * 4, counter=NVML))
    assert text == "No figures, though there is a counter (NVML: the whole GPU board):"
    assert line.startswith(
        "softmax reference: 3 of 3 epochs (median 2.00 s) without a figure: too short"
    )
    assert "which needs 5 s" in line


def test_without_a_counter_one_line_says_why():
    record = measured(
        make_record(), (None,) * 4, counter=Counter(reason="no RAPL under `/sys`"), why=""
    )
    assert told(record) == ["No counter could be read: no RAPL under `/sys`."]
    assert told(make_record()) == ["No counter could be read: not measured."]
    assert energy.section(run_of(make_record(status="failed"))) == []


def test_a_gpus_table_has_the_cpus_beside_it():
    records = [measured(make_record(), (500.0,) * 4, counter=NVML, host=80.0)]
    [row] = table_of(*records)
    assert (row["energy per epoch, median"], row["CPUs beside it, per epoch"]) == ("500 J", "80 J")
    [text] = [block.text for block in blocks_of(Text, energy.section(run_of(*records)))]
    assert "NVML: the whole GPU board" in text
    assert "RAPL" not in text


def test_what_was_measured_survives_the_disk_and_stands_in_the_page(tmp_path):
    record = measured(on_gpu("a", 700_000_000, by="device"), (40.0, 10.0, 36.0, 30.0), host=2.0)
    write(tmp_path / "jobs", record)
    assert read_run(tmp_path) == ([record], [])
    write_report(tmp_path)
    page = (tmp_path / "report.md").read_text()
    assert "## Energy\n\n| workload" in page
    assert "Measured by RAPL: package-0" in page
    assert "| 700 MB, whole GPU |" in page
    assert "40.0" in (tmp_path / "epochs.csv").read_text()
