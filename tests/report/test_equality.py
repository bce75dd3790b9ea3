"""The table of equal accuracies: intervals, differences and verdicts of records."""

from __future__ import annotations

from msgspec.structs import replace

from bench.report.form.blocks import Table, Text
from bench.report.section import equality
from bench.statistics.accuracy import equivalence
from tests.support.records import blocks_of, make_record, run_of

IMAGES = 10_000
DIFFERENCE = "minus the median of the others, percentage points"


def run(backend, accuracies, *, start=0, **job):
    """A backend's records, one per seed; an accuracy of None is a job that diverged."""
    status = job.pop("status", "ok")
    made = [
        make_record(
            accuracies=(0.1, 0.2, 0.9999, accuracy or 0.0),
            backend=backend,
            seed=seed,
            status=status if accuracy else "diverged",
            **job,
        )
        for seed, accuracy in enumerate(accuracies, start=start)
    ]
    return [replace(record, data=replace(record.data, test_examples=IMAGES)) for record in made]


def whole(*backends):
    """The records of several backends as one run, in this order."""
    records = [record for made in backends for record in made]
    return run_of(*(replace(record, key=f"{n:03}") for n, record in enumerate(records)))


def table(*backends):
    """The rows of the table as dictionaries, and all text of the section."""
    blocks = equality.section(whole(*backends))
    [found] = blocks_of(Table, blocks)
    text = " ".join(block.text for block in blocks_of(Text, blocks))
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows], text


def test_a_row_says_accuracy_interval_difference_and_verdict_of_the_last_epoch():
    """The differences are those of the example computed by hand above."""
    rows, text = table(
        run("reference", (0.981, 0.983, 0.982)), run("pytorch", (0.980, 0.980, 0.980))
    )
    first = (
        "softmax",
        "reference",
        "3",
        "98.20 %",
        "97.95 to 98.45 %",
        "+0.20",
        "+0.03 to +0.37",
        "equal",
    )
    assert tuple(rows[0].values()) == first
    assert rows[1]["95 % interval, or error"] == "97.98 to 98.02 %"
    assert rows[1]["90 % interval, points"] == "-0.37 to -0.03"
    assert "the median of the others: 2 equal, 0 different, 0 undecided." in text
    assert "lies within 0.5 points" in text
    assert "for 2 tests" in text
    assert "one seed" not in text


def test_one_seed_has_the_error_of_its_images_and_no_verdict():
    rows, text = table(run("reference", (0.99,)), run("pytorch", (0.98,)))
    assert rows[0]["95 % interval, or error"] == "±0.10 points"
    assert (rows[0][DIFFERENCE], rows[0]["90 % interval, points"]) == ("+1.00", "-")
    assert {row["verdict"] for row in rows} == {"not tested: 1 seed"}
    assert "Equality is not tested: that needs several seeds" in text
    assert "With one seed, equality is not tested" in text
    assert "`equal`" not in text


def test_the_difference_is_to_the_median_of_the_others_seed_by_seed():
    """Seeds differ by points, backends by nothing: without pairs, nothing could be decided."""
    seeds = (0.95, 0.96, 0.97, 0.98)
    rows, _ = table(
        run("reference", seeds), run("pytorch", seeds), run("keras-jax", [s - 0.01 for s in seeds])
    )
    found = [(row[DIFFERENCE], row["verdict"]) for row in rows]
    assert found == [("+0.50", "different"), ("+0.50", "different"), ("-1.00", "different")]
    rows, _ = table(run("reference", seeds), run("pytorch", seeds))
    assert {row["verdict"] for row in rows} == {"equal"}


def test_a_difference_that_would_do_alone_does_not_among_many_tests():
    """Alone, p = 0.03; a table has it twice, once in each backend's row."""
    differences = (0.0069, 0.0100, 0.0131)
    assert equivalence(differences, IMAGES).outcome == "different"
    rows, _ = table(
        run("reference", [0.98 + d for d in differences]), run("pytorch", (0.98, 0.98, 0.98))
    )
    assert [row["verdict"] for row in rows] == ["undecided", "undecided"]


def test_rounds_of_a_seed_are_averaged_first():
    twice = [*run("reference", (0.97, 0.98)), *run("reference", (0.99, 0.98), round=1)]
    rows, _ = table(twice, run("pytorch", (0.98, 0.98)))
    assert (rows[0]["seeds"], rows[0][DIFFERENCE]) == ("2", "+0.00")


def test_a_failed_seed_is_left_out_and_what_is_not_paired_is_told():
    rows, _ = table(
        run("reference", (0.98, 0.98, 0.98)),
        run("pytorch", (0.98, None, 0.98)),
        run("keras-jax", (None,)),
    )
    assert [row["seeds"] for row in rows] == ["3, 2 of them paired", "2"]
    rows, _ = table(run("reference", (0.98, 0.98)), run("pytorch", (0.98, 0.98), start=2))
    assert {row["verdict"] for row in rows} == {"not tested: no seed in common"}
    assert rows[0][DIFFERENCE] == "-"


def test_a_backend_alone_has_an_interval_and_no_verdict_and_a_run_without_an_accuracy_no_table():
    rows, text = table(run("reference", (0.98, 0.981)))
    assert (rows[0][DIFFERENCE], rows[0]["verdict"]) == (
        "-",
        "no other backend",
    )
    assert "comparisons" not in text
    assert equality.section(whole(run("reference", (None, None)))) == []


def test_what_differs_in_more_than_the_backend_is_never_compared():
    rows, _ = table(run("reference", (0.98, 0.98)), run("pytorch", (0.98, 0.98), batch_size=64))
    assert {row["verdict"] for row in rows} == {"no other backend"}
    assert [row["workload"] for row in rows] == ["softmax batch 32", "softmax batch 64"]


def test_only_matched_training_counts():
    rows, _ = table(run("reference", (0.98, 0.98)), run("pytorch", (0.975, 0.975), mode="native"))
    assert [row["backend"] for row in rows] == ["reference"]


def test_each_place_has_a_table_of_its_own():
    made = whole(run("reference", (0.98, 0.98)), run("pytorch", (0.98, 0.98), data="e"))
    tables = [blocks_of(Table, equality.section(place)) for place in made.places]
    assert [[row[1] for row in found.rows] for [found] in tables] == [["reference"], ["pytorch"]]


def test_a_backend_far_off_does_not_move_what_the_others_are_compared_with():
    """With a mean, three correct backends would be +0.33 points off for a wrong one's -1."""
    good = (0.98, 0.98)
    rows, _ = table(
        run("reference", good),
        run("pytorch", good),
        run("jax", good),
        run("keras-jax", (0.97,) * 2),
    )
    assert [row[DIFFERENCE] for row in rows] == ["+0.00", "+0.00", "+0.00", "-1.00"]
