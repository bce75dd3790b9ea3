"""An honest job is inside its band, a broken one is not, and the bands follow from what is kept."""

from __future__ import annotations

from collections import defaultdict
from math import log, sqrt

import pytest
from msgspec.structs import replace

from bench.records.files import PROJECT
from bench.records.run import read_run
from bench.statistics.learning import band_of, suspicion
from specs.bands import _bands, find_band
from specs.loading import find_suite, find_workload
from tests.support.bands import make_bands, scatter_of
from tests.support.jobs import named
from tests.support.records import make_record
from tests.support.trainings import checksum_of, read_trainings, trainings_of

COURSE = [entry.workload for entry in find_suite("course").workloads]
SIZES = {"mnist": 60_000, "mnist-5k": 4_000}
TRAININGS = read_trainings()
# Native jobs have no band, see `bench.statistics.native`.
KEPT = [
    folder
    for folder in sorted((PROJECT / "results").glob("**/jobs"))
    if folder.parent.name != "native"
]


def trained(workload, dataset, losses, accuracies, **job):
    """The record of a training."""
    made = make_record(
        workload=workload,
        dataset=dataset,
        times=(1.0,) * len(losses),
        accuracies=accuracies,
        **{"batch_size": 128, "data": dataset, **job},
    )
    epochs = [
        replace(epoch, running_loss=loss) for epoch, loss in zip(made.epochs, losses, strict=True)
    ]
    data = replace(made.data, train_examples=SIZES[dataset], test_examples=10_000)
    return replace(made, epochs=tuple(epochs), data=data)


def outside(training, bands):
    """The epochs in which a training is outside the band of its workload and data set."""
    place = (training.workload, training.dataset, training.train_examples)
    [band] = [band for band in bands if (band.workload, band.dataset, band.train_examples) == place]
    figures = enumerate(zip(training.losses, training.accuracies, strict=True), start=1)
    return [
        epoch
        for epoch, (loss, accuracy) in figures
        if not band.loss(epoch)[0] <= loss <= band.loss(epoch)[1]
        or not band.accuracy(epoch)[0] <= accuracy <= band.accuracy(epoch)[1]
    ]


@pytest.mark.parametrize("dataset", SIZES)
@pytest.mark.parametrize("workload", COURSE)
def test_every_workload_of_the_course_has_a_band(workload, dataset):
    band = find_band(find_workload(workload), dataset, SIZES[dataset])
    assert len(band.losses) == len(band.accuracies) >= 1
    assert all(0 <= low < high for low, high in (*band.losses, *band.accuracies))
    assert all(high <= 1 for _, high in band.accuracies)


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.parent.name)
def test_every_kept_record_is_inside_its_band(folder):
    records, left_out = read_run(folder.parent)
    assert records
    assert left_out == []
    for record in records:
        assert band_of(record) is not None, record.key
        assert suspicion(record, compared=False) == "", record.key


def test_the_bands_are_those_of_the_kept_trainings():
    """Else: `python -m tests.support.bands`."""
    assert {
        (band.workload, band.dataset, band.train_examples): band for band in make_bands(TRAININGS)
    } == _bands()


def test_the_kept_trainings_are_of_the_packaged_workloads():
    """Else their bands are of another model: train it again."""
    for training in TRAININGS:
        assert training.checksum == checksum_of(named(training.workload)), training.workload


def seeds_of_sets():
    seeds = defaultdict(set)
    for training in TRAININGS:
        seeds[training.workload, training.dataset].add(training.seed)
    return [(*place, seed) for place, known in seeds.items() if len(known) > 1 for seed in known]


@pytest.mark.parametrize(("workload", "dataset", "seed"), seeds_of_sets())
def test_a_seed_that_was_left_out_is_inside_the_band_of_the_others(workload, dataset, seed):
    left_out = [
        training
        for training in TRAININGS
        if (training.workload, training.dataset, training.seed) == (workload, dataset, seed)
    ]
    bands = make_bands(training for training in TRAININGS if training not in left_out)
    assert [outside(training, bands) for training in left_out] == [[]] * len(left_out)


# See `tests.support.agreement`: no gradient passed the max-pool, and the rest of the model learnt.
@pytest.mark.parametrize(
    ("loss", "accuracy", "reason"),
    [
        (0.4317, 0.9598, "loss 0.432 in epoch 1"),
        (0.4317, 0.983, "loss 0.432 in epoch 1"),
        (0.22, 0.9598, "accuracy 95.98 % after epoch 1"),
    ],
)
def test_a_cnn_whose_convolutions_do_not_learn_is_outside(loss, accuracy, reason):
    record = trained("cnn", "mnist", [loss], [accuracy])
    assert suspicion(record, compared=False).startswith(reason)
    assert suspicion(record, compared=True).startswith(reason)


def test_a_model_that_learns_nothing_is_outside():
    record = trained("cnn", "mnist", [2.30, 2.30], [0.1135, 0.1135])
    assert "loss 2.3 in epoch 1" in suspicion(record, compared=True)


def test_a_model_that_has_not_learnt_after_an_epoch_is_inside_if_it_never_has():
    record = trained("mlp-sigmoid", "mnist-5k", [2.32], [0.1])
    assert suspicion(record, compared=False) == ""


def test_a_model_that_forgets_is_outside_after_the_last_known_epoch():
    band = find_band(find_workload("cnn"), "mnist-5k", 4000)
    epochs = len(band.losses)
    assert band.loss(epochs + 20) == (0.0, band.losses[-1][1])
    assert band.accuracy(epochs + 20) == (band.accuracies[-1][0], 1.0)
    assert band.losses[-1][1] < log(10)


def test_another_batch_size_workload_or_data_set_has_no_band():
    record = trained("softmax", "mnist", [0.6], [0.9])
    assert band_of(record) is not None
    assert band_of(trained("softmax", "mnist", [0.6], [0.9], batch_size=64)) is None
    assert band_of(replace(record, data=replace(record.data, name="fashion-mnist"))) is None
    assert band_of(replace(record, data=replace(record.data, train_examples=59_999))) is None
    softmax = find_workload("softmax")
    slower = replace(softmax, optimizer=replace(softmax.optimizer, learning_rate=1e-4))
    assert find_band(slower, "mnist", 60_000) is None
    assert find_band(replace(softmax, name="mine"), "mnist", 60_000) is None


def test_what_is_no_honest_job_of_a_packaged_workload_makes_no_band():
    honest = trained("softmax", "mnist", [0.6], [0.9])
    assert len([*trainings_of([honest])]) == 1
    softmax = find_workload("softmax")
    slower = replace(softmax, optimizer=replace(softmax.optimizer, learning_rate=1e-4))
    others = [
        replace(honest, status="failed"),
        trained("softmax", "mnist", [0.6], [0.9], mode="native"),
        trained("softmax", "mnist", [0.6], [0.9], batch_size=64),
        trained(slower, "mnist", [0.6], [0.9]),
        replace(honest, data=replace(honest.data, name="fashion-mnist")),
    ]
    assert [*trainings_of(others)] == []


def test_the_scatter_is_that_of_the_seeds_and_of_the_backends():
    assert scatter_of([{0: [1.0]}]) == 0
    assert scatter_of([{0: [1.0], 1: [3.0]}]) == pytest.approx(sqrt(2))
    assert scatter_of([{0: [0.0, 2.0], 1: [3.0]}]) == pytest.approx(sqrt(2 + 2))
    assert scatter_of([{0: [1.0], 1: [3.0]}, {0: [2.0], 1: [2.0]}]) == pytest.approx(1)


def test_a_band_is_as_wide_as_the_rule_says():
    """Two seeds, 0.2 apart in the logarithm of the loss, and equal in accuracy."""
    first, *_ = [t for t in TRAININGS if (t.workload, t.dataset) == ("softmax", "mnist")]
    low = replace(first, losses=(1.0,), accuracies=(0.9,), test_examples=10_000)
    high = replace(low, seed=low.seed + 1, losses=(1.2214,))
    [band] = make_bands([low, high])
    assert band.runs == 2
    assert band.losses[0] == pytest.approx((1 * 0.2799, 1.2214 * 3.573), abs=0.02)
    assert band.accuracies[0] == pytest.approx((0.9 - 6 * 0.003, 0.9 + 6 * 0.003), abs=1e-4)
