"""Slides on frameworks: what they do, their history, and facts about each."""

from __future__ import annotations

from functools import partial

from bench.overview.facts import AllFacts, Fact, Facts, Framework
from bench.overview.material import Material
from bench.overview.picture import history
from bench.overview.slides import Missing, Picture, Slide
from bench.report.form.blocks import Table

_LAYERS = (
    ("model and training", ("Keras", "torch.nn", "your code")),
    ("gradients", ("tf.GradientTape", "torch.autograd", "jax.grad")),
    ("compiler (optional)", ("XLA", "TorchInductor")),
    ("kernels", ("oneDNN, Eigen, MKL", "cuDNN, cuBLAS")),
    ("device", ("CPU", "GPU")),
)
NO_SOURCE = "–"  # noqa: RUF001 - the sign on slides
_TABLE = ("framework", "first", "last release", "licence", "languages", "state", "successor")


def slides(material: Material) -> list[Slide | Missing]:
    """What a framework does, time line, family tree, two tables of facts, and mentions."""
    facts = material.facts
    return [
        Slide(
            key="layers",
            title="A framework is four layers between your model and the device",
            parts=(
                Picture("layers", "The layers of frameworks", partial(history.layers, _LAYERS)),
            ),
            notes=(
                (
                    "Keras runs on TensorFlow, JAX or PyTorch. A compiler joins many small"
                    " operations into few large ones; TensorFlow and PyTorch also work without it."
                ),
            ),
        ),
        _time_line(facts),
        _tree(facts),
        *_tables(facts),
        _mentions(facts),
    ]


def _time_line(facts: AllFacts) -> Slide:
    known = [framework for framework in facts.frameworks if framework.is_maintained is not None]
    retired = [framework.name for framework in known if not framework.is_maintained]
    last = max(fact.checked for framework in facts.frameworks for fact in _facts(framework))
    today = int(last[:4]) + (int(last[5:7]) - 1) / 12
    return Slide(
        key="time-line",
        title=f"Of {len(known)} frameworks in courses, {len(retired)} are no longer developed",
        parts=(
            Picture(
                "time-line",
                "A bar per framework from its first to its last release",
                partial(history.time_line, facts.frameworks, today),
            ),
        ),
        notes=(
            f"No longer developed: {', '.join(retired)}. Facts checked up to {last}.",
            "First: " + "; ".join(_first(framework) for framework in facts.frameworks) + ".",
        ),
    )


def _first(framework: Framework) -> str:
    fact = framework.facts.first_release
    if fact is None:
        return f"{framework.name} {NO_SOURCE}"
    return f"{framework.name} {fact.value}" + (f" ({fact.meaning})" if fact.meaning else "")


def _tree(facts: AllFacts) -> Slide:
    children = [edge.child for edge in facts.tree]
    most = max(children, key=children.count)
    parents = [edge.parent for edge in facts.tree if edge.child == most]
    return Slide(
        key="family-tree",
        title=f"{most} has {len(parents)} ancestors: {', '.join(parents[:-1])} and {parents[-1]}",
        parts=(
            Picture(
                "family-tree",
                "Which framework took something from which",
                partial(history.family_tree, facts.tree),
            ),
        ),
        notes=tuple(
            f"{edge.parent} to {edge.child}: {edge.relation} ({edge.source}, checked"
            f" {edge.checked})."
            for edge in facts.tree
        ),
    )


def _tables(facts: AllFacts) -> list[Slide]:
    maintained = [framework for framework in facts.frameworks if framework.is_maintained]
    retired = [framework for framework in facts.frameworks if not framework.is_maintained]
    days = sorted({fact.checked for framework in facts.frameworks for fact in _facts(framework)})
    checked = days[-1] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    return [
        Slide(
            key=key,
            title=title,
            parts=(Table(_TABLE, tuple(map(_row, frameworks))),),
            text=f"Checked {checked}; sources in the notes. {NO_SOURCE}: no source found.",
            notes=tuple(
                f"{framework.name}, {name.replace('_', ' ')}: {fact.value}"
                + (f", {fact.meaning}" if fact.meaning else "")
                + f" ({fact.source}, checked {fact.checked})."
                for framework in frameworks
                for name, fact in _named(framework.facts).items()
            ),
        )
        for key, title, frameworks in (
            ("facts-maintained", f"{len(maintained)} frameworks are developed today", maintained),
            ("facts-retired", f"{len(retired)} frameworks have stopped", retired),
        )
        if frameworks
    ]


def _named(facts: Facts) -> dict[str, Fact]:
    facts_by_name = {name: getattr(facts, name) for name in facts.__struct_fields__}
    return {name: fact for name, fact in facts_by_name.items() if fact is not None}


def _facts(framework: Framework) -> list[Fact]:
    return list(_named(framework.facts).values())


def _row(framework: Framework) -> tuple[str, ...]:
    facts = framework.facts
    cells = (facts.first_release, facts.last_release, facts.licence, facts.languages, facts.state)
    texts = (NO_SOURCE if fact is None else fact.value for fact in (*cells, facts.successor))
    return (framework.name, *texts)


def _mentions(facts: AllFacts) -> Slide:
    counted = facts.mentions
    first, share = max(counted.percent.items(), key=lambda item: item[1])
    source = counted.source or "no source found"
    return Slide(
        key="mentions",
        title=f"Counted in {_month(counted.date)}: {share:g} % of papers name {first}",
        parts=(
            Picture(
                "mentions",
                "The share of papers on arXiv that name each framework",
                partial(history.mentions, counted),
            ),
        ),
        text=f"{counted.papers:,} papers on arXiv, of six years. Newer frameworks had less time.",
        notes=(f"Source: {source}, checked {counted.checked}.",),
    )


def _month(date: str) -> str:
    names = "January February March April May June July August September October November December"
    return f"{names.split()[int(date[5:7]) - 1]} {date[:4]}"
