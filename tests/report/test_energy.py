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

RAPL = Counter(name="RAPL: package-0", step_seconds=0.001)
NVML = Counter(name="NVML: the whole GPU board", step_seconds=0.1)
REACHES = (0.5, 0.9, 0.92, 0.91)  # softmax's target is 91.7 %


def measured(record, energies, *, counter=RAPL, why="the counter did not move", host=None):
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

    The first epoch is left out: 76 J in 6 s. The third reached the target.
    """
    [row] = table_of(measured(make_record(accuracies=REACHES), (40.0, 10.0, 36.0, 30.0)))
    assert row == {
        "workload": "softmax",
        "backend": "reference",
        "energy per epoch": "25.3 J",
        "error of the counter": "±0.029 %",  # sqrt(3) steps of 1 ms, of 6 s
        "epochs counted": "3 of 3",
        "mean power": "12.7 W",
        "images per joule": "39.5",
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
    assert (row["energy per epoch"], row["images per joule"], row["energy to target"]) == (
        "-",
        "-",
        "-",
    )
    row = table_of(measured(record, (None, 10.0, 36.0, 30.0)), other)[0]
    assert (row["energy per epoch"], row["energy to target"]) == ("25.3 J", "-")
    row = table_of(measured(record, (40.0, 10.0, 36.0, None)), other)[0]
    assert (row["energy per epoch"], row["energy to target"]) == ("-", "86 J")
    run = run_of(measured(record, (40.0, None, 36.0, 30.0)), other)
    [[line]] = [items.lines for items in blocks_of(Items, energy.section(run))]
    assert line == (
        "softmax reference: 1 of 3 epochs (median 1.00 s) without a figure: the counter did"
        " not move."
    )


def test_sums_that_are_too_short_for_the_steps_have_no_figure_and_the_error_that_says_so():
    """Three epochs of 0.1 s, and steps of 0.1 s: sqrt(3) steps of 3."""
    short = make_record(times=(0.4, 0.1, 0.1, 0.1), accuracies=REACHES)
    text, line = told(measured(short, (40.0, 10.0, 10.0, 10.0), counter=NVML))
    assert text == "There is a counter (NVML: the whole GPU board), but no figure:"
    assert line == (
        "softmax reference: 3 epochs are too short for this counter: its steps cause an error of"
        " ±58 %. Run more epochs or rounds."
    )


def test_more_epochs_of_the_same_length_have_a_figure():
    """The sum of 300 epochs of 0.1 s is off by 5.8 %, and of 600 by 4.1 %."""
    found = []
    for epochs in (300, 600):
        record = make_record(times=(0.1,) * (epochs + 1), accuracies=(0.95,) * (epochs + 1))
        beside = measured(make_record("o", times=(9.0,) * 3, accuracies=(0.95,) * 3), (1.0,) * 3)
        run = (measured(record, (10.0,) * (epochs + 1), counter=NVML), beside)
        rows = {row["energy per epoch"]: row for row in table_of(*run)}
        found.append("10 J" in rows)
        if epochs == 600:
            assert rows["10 J"]["error of the counter"] == "±4.1 %"
            assert rows["10 J"]["mean power"] == "100 W"
    assert found == [False, True]


def test_the_energy_to_a_target_has_an_error_too():
    """The target is reached after one epoch of 1 s, 10 % off; or after one of 4 s, 2.5 % off."""
    for first, text in ((1.0, "-"), (4.0, "40 J")):
        record = make_record(times=(first, *[4.0] * 3), accuracies=(0.95,) * 4)
        [row] = table_of(measured(record, (40.0,) * 4, counter=NVML))
        assert row.get("energy to target", "-") == text
        assert row["energy per epoch"] == "40 J"


def test_the_epochs_of_all_rounds_are_one_sum():
    """Each job is too short: sqrt(2) steps in 2 s. Three of them: sqrt(6) in 6 s."""
    jobs = [
        measured(
            make_record(str(n), round=n, times=(1.0,) * 3, accuracies=(0.9,) * 3),
            joules,
            counter=NVML,
        )
        for n, joules in enumerate([(1.0, 10.0, 20.0), (1.0, 30.0, 40.0), (1.0, 10.0, 10.0)])
    ]
    assert table_of(*jobs)[0]["energy per epoch"] == "20 J"
    assert table_of(*jobs)[0]["error of the counter"] == "±4.1 %"
    assert "error of ±7.1 %" in told(jobs[0])[1]


def test_a_record_of_an_earlier_version_has_its_figure_and_an_unknown_error():
    old = Counter(name="RAPL: package-0")
    [row] = table_of(measured(make_record(), (40.0, 10.0, 36.0, 30.0), counter=old))
    assert row["energy per epoch"] == "25.3 J"
    assert "error of the counter" not in row  # no row has one


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
    assert (row["energy per epoch"], row["CPU energy per epoch"]) == ("500 J", "80 J")
    [text] = [block.text for block in blocks_of(Text, energy.section(run_of(*records)))]
    assert "NVML: the whole GPU board" in text
    assert "25 % of the time" in text
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
