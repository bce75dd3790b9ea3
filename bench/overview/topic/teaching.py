"""The first and the last slides: title, sameness, advice, exercises with answers, sources."""

from __future__ import annotations

from collections import defaultdict
from math import ceil, isfinite

from bench.overview.material import Images, Material
from bench.overview.results import Results
from bench.overview.slides import Missing, Slide
from bench.overview.topic.accuracy import run_hint
from bench.overview.topic.mistakes import best_learned, confusion_of, most_confused, thing
from bench.records.job import Record, group_of, without_labels
from bench.report.form import words
from bench.report.form.blocks import Table
from bench.report.section.opening import believed
from bench.report.section.trust import verification_line
from specs.bands import find_band
from specs.loading import find_workload

TITLE = "Deep-learning frameworks: an overview"
_ADVICE = Table(
    ("you want", "begin with"),
    (
        ("a first model in few lines", "Keras"),
        ("to change the training loop, or to follow new papers", "PyTorch"),
        ("gradients of any function, compiled", "JAX"),
        ("tables, and models without deep layers", "scikit-learn"),
    ),
)
_EPOCHS = 5
_MOST_CONFUSED = 3  # pairs of classes that are confused equally often


def opening(material: Material) -> list[Slide | Missing]:
    """The title, and what was the same in all frameworks."""
    return [_title(material.results), _matched(material.results)]


def closing(material: Material) -> list[Slide | Missing]:
    """Advice, exercises, answers and sources."""
    questions = _questions(material)
    return [
        Slide(
            key="which",
            title="Which one should I learn?",
            own=_ADVICE,
            notes=("This table is the teacher's: it is kept when the slides are made again.",),
        ),
        Slide(
            key="exercises",
            title=f"{len(questions)} exercises",
            items=tuple(question for question, _ in questions),
        ),
        Slide(
            key="answers",
            title="Answers",
            items=tuple(answer for _, answer in questions),
            notes=("Made from the records: another machine has other answers.",),
        ),
        _sources(material),
    ]


def provenance(results: Results) -> str:
    """One sentence on where and when the figures were measured."""
    where, name = results.where, results.run.folder.resolve().name
    threads = words.threads(where["threads"])
    return f"{name}: {where['device_name']}, {threads}, {_days(results)}; made by `bench overview`"


def _days(results: Results) -> str:
    """The days on which the run was made."""
    days = sorted(record.started[:10] for record in results.run.records)
    return days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def _title(results: Results) -> Slide:
    return Slide(
        key="title",
        title=TITLE,
        items=(
            f"{len(results.backends)} backends: {', '.join(results.backends)}",
            f"{len(results.workloads)} models, {len(results.run.records)} trainings",
            f"{results.where['device_name']}, {words.threads(results.where['threads'])}",
            f"Measured {_days(results)} with framework-bench",
        ),
        notes=(f"{results.run.folder.resolve().name}: {believed(results.run)}.",),
    )


def _matched(results: Results) -> Slide | Missing:
    records = [r for r in results.run.records if r.job.mode == "matched" and r.status == "ok"]
    if not records:
        return Missing("matched", "no matched job ended ok", run_hint(results, "quick"))
    verified = [r for r in records if r.verification is not None and r.verification.passed]
    groups: dict[object, list[Record]] = defaultdict(list)
    for record in records:
        place = group_of(record.job, record.data.checksum, record.machine.name)
        groups[place, record.job.seed].append(record)
    weights = sum(len({_weights(r) for r in of_group}) == 1 for of_group in groups.values())
    orders = sum(len({_orders(r) for r in of_group}) == 1 for of_group in groups.values())
    title = "Same weights, same batches, same formulas"
    if len(verified) == len(records):
        title = f"The same training in every framework: verified in all {len(records)} jobs"
    return Slide(
        key="matched",
        title=title,
        items=(
            f"Same initial weights, by checksum: in {weights} of {len(groups)} comparisons",
            f"Same order of the images in every epoch: in {orders} of {len(groups)}",
            "Optimizers use the same formula with the same constants",
            f"First steps compared with NumPy: {len(verified)} of {len(records)} jobs passed",
        ),
        notes=(verification_line(results.run) or "No verification is kept beside this run.",),
    )


def _weights(record: Record) -> str:
    return record.startup.weights_checksum if record.startup else ""


def _orders(record: Record) -> tuple[str, ...]:
    return tuple(epoch.order_checksum for epoch in record.epochs)


def _questions(material: Material) -> list[tuple[str, str]]:
    """Exercises, each with its answer."""
    results = material.results
    largest = max(results.workloads, key=results.parameters)
    exercises = [
        (
            f"How many weights has `{largest}`? Count first, then try `bench show {largest}`.",
            f"`{largest}` has {results.parameters(largest):,} weights.",
        ),
        _updates(results),
        _expected(),
        _fastest(results),
        _confused(material),
    ]
    return [pair for pair in exercises if pair is not None]


def _updates(results: Results) -> tuple[str, str] | None:
    rows = next((rows for name in results.workloads if (rows := results.rows(name))), None)
    if rows is None:
        return None
    examples, size = rows[0]["train_examples"], rows[0]["batch_size"]
    return (
        f"How many updates has an epoch of {examples:,} images in batches of {size}?",
        f"{examples:,} / {size}, rounded up: {ceil(examples / size):,} updates.",
    )


def _expected() -> tuple[str, str] | None:
    """The exercise of training a model, with the range of stored runs as the answer."""
    workload = find_workload("mlp-relu")
    band = find_band(without_labels(workload), "mnist", 60_000)
    if band is None:
        return None
    low, high = band.accuracy(_EPOCHS)
    expected = f"at least {words.percent(low)}"
    if high < 1:
        expected = f"{words.percent(low)} to {words.percent(high)}"
    return (
        (
            f"Predict the accuracy, then run `bench run mlp-relu --epochs {_EPOCHS} --backend"
            " pytorch,jax`."
        ),
        f"On full MNIST {expected}; so it was in {band.runs} kept trainings.",
    )


def _fastest(results: Results) -> tuple[str, str] | None:
    """The exercise whether one of the two backends with the closest times is really faster."""
    pairs = [
        pair
        for name in results.workloads
        for pair in results.pairs(name)
        if isfinite(pair.comparison.ratio)
    ]
    if not pairs:
        return None
    pair = min(pairs, key=lambda p: abs(p.comparison.ratio - 1))
    result = pair.comparison
    interval = (
        f", interval {result.sure_low:.2f} to {result.sure_high:.2f}"
        if result.sure_low is not None and result.sure_high is not None
        else ""
    )
    verdict = {
        "undecided": "undecided",
        "same": "equally fast, within the margin",
    }.get(result.outcome, f"{pair.backend} is {result.outcome}")
    return (
        f"Is {pair.backend} faster than {pair.other} on {pair.workload}? How sure are you?",
        (
            f"{pair.backend} takes {result.ratio:.2f} of the time of {pair.other}{interval}:"
            f" {verdict}."
        ),
    )


def _confused(material: Material) -> tuple[str, str] | None:
    results = material.results
    name = best_learned(results)
    if name is None:
        return None
    backend, learned = next(iter(results.learned(name).items()))
    images = material.images_of(results.record(name, backend))
    if not isinstance(images, Images):
        return None
    worst = most_confused(confusion_of(learned, images))
    if not worst or len(worst) > _MOST_CONFUSED:
        return None
    pairs = "; ".join(f"a {label} for a {predicted}" for label, predicted, _ in worst)
    return (
        f"Which {thing(results, name)} does `{name}` take for another most often? Guess first.",
        f"{pairs}: {worst[0][2]} times ({backend}).",
    )


def _sources(material: Material) -> Slide:
    run = material.results.run
    versions: dict[str, set[str]] = defaultdict(set)
    for record in run.records:
        for package, version in record.versions.items():
            versions[package].add(version)
    checked = max(
        (
            fact.checked
            for framework in material.facts.frameworks
            for name in framework.facts.__struct_fields__
            if (fact := getattr(framework.facts, name)) is not None
        ),
        default=words.ABSENT,
    )
    machine = run.records[0].machine
    named = ", ".join(
        f"{package} {' and '.join(sorted(numbers))}"
        for package, numbers in sorted(versions.items())
    )
    return Slide(
        key="sources",
        title="How these slides were made",
        items=(
            f"Machine: {machine.cpu}, {material.results.where['device']}",
            f"Versions: {named or words.ABSENT}",
            f"Run: `{run.command or 'not recorded'}`",
            f"Slides: `bench overview {run.folder.resolve().name}`",
            f"Facts of frameworks: checked {checked}; corrections are welcome",
        ),
        notes=("framework-bench is under the MIT licence.",),
    )
