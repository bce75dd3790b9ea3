"""The slides of `bench overview`: what they claim, what they leave out, and their golden files."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from msgspec.structs import replace

from backends.reference.updates import build_update
from backends.registry import script
from bench.overview.deck import make_deck
from bench.overview.facts import read_facts, year_of
from bench.overview.material import Material
from bench.overview.picture.style import file_of
from bench.overview.results import Results
from bench.overview.slides import MOST_WORDS, Picture
from bench.overview.topic import accuracy, differences, speed
from bench.overview.topic.model import DICTIONARY, TITLES, columns_of
from bench.overview.write.files import write_overview
from bench.report.run import Run
from specs.loading import find_workload
from specs.model import Adadelta, Adam, BatchNorm, RmsProp, Sgd
from tests.support.overview import (
    ACCURACIES,
    GOLDEN,
    MACHINE,
    data_of,
    deck_of,
    made_records,
    write_run,
)

OPTIMIZERS = {
    "sgd": Sgd(learning_rate=0.1, momentum=0.0, nesterov=False),
    "rmsprop": RmsProp(learning_rate=0.1, rho=0.9, epsilon=1e-7, epsilon_form="outside_root"),
    "adam": Adam(
        learning_rate=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-7, epsilon_form="after_correction"
    ),
    "adadelta": Adadelta(learning_rate=0.1, rho=0.9, epsilon=1e-7),
}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, mnist_5k):
    return write_run(tmp_path_factory.mktemp("run") / "course", mnist_5k)


@pytest.fixture(scope="module")
def deck(run_folder, mnist_5k):
    return deck_of(run_folder, mnist_5k)


def slide(deck, key):
    return next(slide for slide in deck.slides if slide.key == key)


@pytest.mark.parametrize(
    ("form", "file"), [("markdown", "overview.md"), ("beamer", "overview.tex")]
)
def test_slides_of_fixed_records_are_the_golden_ones(deck, tmp_path, form, file):
    written = write_overview(deck, form, tmp_path)
    assert written.document.read_text() == (GOLDEN / file).read_text(), (
        "if this is meant: python -m tests.support.overview FOLDER, then look at git diff"
    )


@pytest.mark.parametrize("form", ["markdown", "beamer", "html"])
def test_the_same_records_give_the_same_bytes(run_folder, mnist_5k, tmp_path, form):
    for name in ("one", "two"):
        write_overview(deck_of(run_folder, mnist_5k), form, tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) == (
        1
        if form == "html"
        else 1
        + sum(
            isinstance(part, Picture)
            for s in deck_of(run_folder, mnist_5k).slides
            for part in s.parts
        )
    )
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), (
            file
        )


def test_every_slide_has_a_claim_and_few_words(deck):
    assert len({slide.key for slide in deck.slides}) == len(deck.slides)
    for each in deck.slides:
        assert 0 < len(each.title) <= 90, each.key
        assert not each.title.endswith("."), each.key
        if each.parts:
            assert len(each.text.split()) <= MOST_WORDS, each.key
        assert each.parts or each.items or each.own, each.key


def test_no_slide_is_missing_but_that_of_a_gpu(deck):
    assert [missing.key for missing in deck.missing] == ["devices"]


def test_a_run_without_predictions_says_which_slides_are_missing(tmp_path, mnist_5k):
    deck = deck_of(write_run(tmp_path / "old", mnist_5k, learned=False), mnist_5k)
    missing = {each.key for each in deck.missing}
    assert missing == {"digits", "mistakes", "confusion", "templates", "filters", "devices"}
    assert all(each.hint.startswith("bench run") for each in deck.missing)


def test_damaged_predictions_are_left_out_and_named(tmp_path, mnist_5k, run_folder):
    folder = tmp_path / "course"
    shutil.copytree(run_folder, folder)
    for file in (folder / "learned").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    run = Run.read(folder)
    deck_results = Results(run)
    assert deck_results.learned("cnn") == {}
    assert len(run.left_out) == 2
    assert all("damaged" in str(each) for each in run.left_out)


def test_pictures_count_what_the_predictions_say(deck):
    # Two backends are wrong on 28 or 29 images each, at different places, and on two more in both.
    assert slide(deck, "mistakes").title == (
        "cnn gets 30 of 1,000 test images wrong; 2 of them in all 2 backends"
    )


def made(mnist_5k, **changes):
    return list(made_records(data_of(mnist_5k), **changes))


def test_who_is_faster_is_claimed_only_with_a_verdict(mnist_5k, tmp_path):
    equal = made(mnist_5k, seconds={"pytorch": 1.0, "jax": 1.0})
    one_round = [record for record in made(mnist_5k) if record.job.round == 0]
    for records in (equal, one_round):
        first, *_ = speed.slides(material_of(records, tmp_path))
        assert first.title == "Who is faster? No backend is clearly the fastest"
    first, *_ = speed.slides(material_of(made(mnist_5k), tmp_path))
    assert first.title.startswith("Fastest: jax on")


def material_of(records, folder):
    return Material(Results(Run(records, folder)), read_facts(), lambda record: "no images")


def test_a_wrong_result_is_in_the_title_and_not_in_the_picture(mnist_5k, tmp_path):
    records = made(mnist_5k)
    wrong = [
        replace(
            record,
            verification=replace(record.verification, deviations={"loss": 1e6}),
        )
        if (record.job.backend, record.job.workload.name) == ("jax", "cnn")
        else record
        for record in records
    ]
    material = material_of(wrong, tmp_path)
    first, *_ = accuracy.slides(material)
    assert first.title.startswith("20 of ")
    assert "wrong or suspect" in first.title
    assert [row["backend"] for row in material.results.rows("cnn")] == ["pytorch"]


@pytest.mark.parametrize(
    ("key", "claim", "without"),
    [
        ("over-fitting", "With dropout the gap is", {"mlp-relu": (0.82, 0.99)}),
        ("cost", "Cross-entropy cost reaches more", {"mlp-relu-quadratic": (0.6, 0.94)}),
        ("activations", "tanh and ReLU are better", {"mlp-sigmoid": (0.4, 0.93)}),
    ],
)
def test_a_difference_within_chance_is_not_claimed(mnist_5k, tmp_path, key, claim, without):
    for changes, claimed in (({}, True), (without, False)):
        records = made(mnist_5k, accuracies={**ACCURACIES, **changes})
        if key == "over-fitting" and changes:  # a gap of 0.1 points, as with dropout
            records = [
                replace(
                    r, epochs=tuple(replace(e, train_accuracy=e.test_accuracy) for e in r.epochs)
                )
                for r in records
            ]
        found = {each.key: each for each in accuracy.slides(material_of(records, tmp_path))}
        assert found[key].title.startswith(claim) is claimed, found[key].title


def test_models_that_were_trained_differently_are_not_compared(mnist_5k, tmp_path):
    """The sigmoid has one epoch, the others have two."""
    records = [
        replace(r, job=replace(r.job, epochs=1), epochs=r.epochs[:1])
        if r.job.workload.name == "mlp-sigmoid"
        else r
        for r in made(mnist_5k)
    ]
    found = {each.key: each for each in accuracy.slides(material_of(records, tmp_path))}
    assert found["activations"].title == "Three activation functions and their derivatives"


def test_slides_are_about_one_machine_and_name_the_others(mnist_5k, tmp_path):
    elsewhere = replace(MACHINE, name="other", cpu="Another CPU")
    poor = dict.fromkeys(("softmax", "cnn"), (0.1, 0.2))
    others = [
        replace(r, key=f"other.{r.key}", job=replace(r.job, seed=1))
        for r in made(mnist_5k, machine=elsewhere, accuracies=poor)
        if r.job.round < 3
    ]
    material = material_of([*made(mnist_5k), *others], tmp_path)
    assert material.results.where["machine"] == "lab"
    [row] = [r for r in material.results.rows("cnn") if r["backend"] == "jax"]
    reached = accuracy._accuracy(material.results, row)
    assert reached.value == pytest.approx(0.98)
    assert reached.low > 0.9
    deck = make_deck(material)
    assert "left out: other cpu" in {each.key: each.reason for each in deck.missing}["elsewhere"]
    said = " ".join(str((s.title, s.text, s.items)) for s in deck.slides)
    assert "Another CPU" not in said
    assert deck.provenance.startswith(f"{tmp_path.name}: A CPU of 8 cores")


def test_a_failed_job_with_more_epochs_hides_no_results(mnist_5k, tmp_path):
    first = made(mnist_5k)[-3]
    failed = replace(
        first, key="failed", status="failed", epochs=(), job=replace(first.job, epochs=9)
    )
    results = material_of([*made(mnist_5k), failed], tmp_path).results
    assert len(results.rows(first.job.workload.name)) == 2


@pytest.mark.parametrize(
    "keep",
    [
        lambda record: record.job.workload.name == "cnn",
        lambda record: record.job.backend == "jax",
        lambda record: record.job.round == 0 and record.job.workload.name == "softmax",
    ],
)
def test_a_small_run_makes_a_deck_too(mnist_5k, tmp_path, keep):
    deck = make_deck(material_of([r for r in made(mnist_5k) if keep(r)], tmp_path))
    assert len(deck.slides) > 12
    for form in ("markdown", "beamer", "html"):
        write_overview(deck, form, tmp_path / form)


def test_a_run_of_failed_jobs_makes_a_deck_too(mnist_5k, tmp_path):
    failed = [replace(r, status="failed", epochs=()) for r in made(mnist_5k)[:3]]
    deck = make_deck(material_of(failed, tmp_path))
    assert {"accuracy", "speed", "ladder", "matched"} <= {each.key for each in deck.missing}


def test_an_accuracy_of_100_percent_is_drawn(mnist_5k, tmp_path):
    perfect = made(mnist_5k, accuracies={**ACCURACIES, "cnn": (0.99, 1.0)})
    for each in accuracy.slides(material_of(perfect, tmp_path)):
        for part in each.parts:
            assert b"<svg" in file_of(part, "svg")


def test_a_users_matplotlibrc_changes_nothing(deck):
    import matplotlib as mpl

    [part] = slide(deck, "activations").parts
    before = file_of(part, "svg")
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "black", "lines.linewidth": 9}):
        assert file_of(part, "svg") == before


def test_the_exhibits_name_what_was_not_measured(deck):
    [table] = slide(deck, "causes").parts
    effects = {row[0]: row[2] for row in table.rows}
    assert effects["own input pipeline"] == "not measured in this run"
    assert effects["place of epsilon in RMSprop"] == "97 times as long outside the root"


def test_the_first_step_of_rmsprop_is_that_of_the_reference():
    """`first_step` against the reference's own update, for both forms of epsilon."""
    for form in ("inside_root", "outside_root"):
        optimizer = replace(find_workload("softmax").optimizer, epsilon_form=form)
        after = build_update(optimizer)("w", np.zeros(3), np.full(3, 1e-5))
        expected = differences.first_step(1e-5, inside=form == "inside_root")
        assert -after == pytest.approx(expected * optimizer.learning_rate, rel=1e-9)


def test_every_fact_has_a_source_and_a_day():
    facts = read_facts()
    assert len(facts.frameworks) == 12
    for framework in facts.frameworks:
        assert year_of(framework.facts.first_release), framework.name
        for name in framework.facts.__struct_fields__:
            fact = getattr(framework.facts, name)
            if fact is not None:
                assert len(fact.value) <= 32, fact
                assert fact.source.startswith("https://")
    assert facts.mentions.percent["TensorFlow"] == 14.3


def test_names_of_the_dictionary_are_those_of_the_scripts():
    """Each name is in the script of a workload that has the thing."""
    for concept, calls in DICTIONARY.items():
        assert set(calls) == set(TITLES) - {"numpy"}, concept
        for name, call in calls.items():
            if call is not None:
                workload = "softmax" if concept == "RMSprop" else "cnn"
                assert call in script(name, find_workload(workload)), (concept, name)


@pytest.mark.parametrize("setting", differences.ARGUMENTS)
def test_names_of_arguments_are_those_of_the_scripts(setting):
    """With a value that is nobody's default, both scripts pass it by the name on the slide."""
    subject, _, name = setting.partition("'s ")
    field = {"learning rate": "learning_rate"}.get(name, name)
    workload = find_workload("softmax")
    if subject == "batch norm":
        norm = BatchNorm(**{"momentum": 0.9, "epsilon": 0.125, field: 0.125})
        workload = replace(workload, layers=(workload.layers[0], norm, workload.layers[1]))
    else:
        optimizer = OPTIMIZERS[subject]
        workload = replace(workload, optimizer=replace(optimizer, **{field: 0.125}))
    for framework, argument in zip(
        ("keras", "pytorch"), differences.ARGUMENTS[setting], strict=True
    ):
        text = script(framework, workload)
        value = 0.875 if (framework, setting) == ("pytorch", "batch norm's momentum") else 0.125
        assert f"{argument}={value}" in text, text


def test_a_listing_has_the_model_and_the_step_and_no_data():
    program = (
        '"""Doc."""\n\nimport numpy as np\n\nSIZE = 3\n\n\ndef load_data():\n    return 1\n\n\n'
        "# About the model.\ndef model():\n    return 2\n\n\n@jit\ndef step():\n    return 3\n\n\n"
        'def main():\n    step()\n\n\nif __name__ == "__main__":\n    main()\n'
    )
    assert columns_of(program) == [
        "# About the model.\ndef model():\n    return 2",
        "@jit\ndef step():\n    return 3",
    ]
