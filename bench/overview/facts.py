"""The facts of the frameworks, from `facts.json`: each with its source and the day it was checked.

To correct a fact, edit the file; a fact without a source is null, and shows as "-".
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

_FILE = Path(__file__).with_name("facts.json")
Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Url = Annotated[str, Meta(pattern=r"^https://[^\s/]+/.*$|^https://[^\s/]+$")]


class Fact(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fact.

    Attributes:
        value: the value, a short text.
        source: the address of a page.
        checked: the day on which this page was read.
        meaning: what the value is, if that is not clear: "first commit".
    """

    value: str
    source: Url
    checked: Day
    meaning: str = ""


class Facts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The facts of one framework; None without a source."""

    origin: Fact | None
    first_release: Fact | None
    last_release: Fact | None
    licence: Fact | None
    languages: Fact | None
    state: Fact | None
    successor: Fact | None


class Framework(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A framework; `family` is the name of our package with its adapters, present or planned."""

    name: str
    family: str
    facts: Facts

    @property
    def is_maintained(self) -> bool | None:
        """Whether it is developed today; None if that is not known."""
        state = self.facts.state
        return None if state is None else state.value.startswith("maintained")


class Descent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An arrow of the family tree: what `child` took from `parent`."""

    parent: str
    child: str
    relation: str
    source: Url
    checked: Day


class Mentions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often papers on machine learning name the frameworks.

    Attributes:
        date: the month of the count.
        papers: the number of papers, from the six years before.
        percent: framework -> share of the papers that name it, in percent.
        under_one: frameworks below one percent, whose share was not published.
    """

    date: str
    papers: int
    percent: dict[str, float]
    under_one: tuple[str, ...]
    source: Url | None
    checked: Day


class AllFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of the file."""

    frameworks: tuple[Framework, ...]
    tree: tuple[Descent, ...]
    mentions: Mentions


def read_facts() -> AllFacts:
    """The facts of the file."""
    return msgspec.json.decode(_FILE.read_bytes(), type=AllFacts)


def year_of(fact: Fact | None) -> float | None:
    """The date in a fact's value ("2017-04-15" or "1.0, 2017-04") in years: 2017.3; or None."""
    if fact is None:
        return None
    for word in fact.value.replace(",", " ").split():
        parts = word.split("-")
        if len(parts[0]) == 4 and all(part.isdecimal() for part in parts):  # noqa: PLR2004 - a year
            month, day = ([int(part) for part in parts[1:]] + [6, 15])[:2]
            return int(parts[0]) + (month - 1) / 12 + (day - 1) / 365
    return None
