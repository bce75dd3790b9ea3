"""The parts of slides. `bench.overview.write` writes them in every format."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure
from msgspec import Struct

from bench.report.form.blocks import Table

# The most words beside a slide's chart or table.
MOST_WORDS = 25


class Picture(Struct, frozen=True):
    """A picture; its file is `pictures/NAME.svg`, or `.pdf` for LaTeX.

    Attributes:
        name: the name of the file, without its ending.
        caption: what it shows, for readers who do not see it.
        draw: the function that makes the figure.
    """

    name: str
    caption: str
    draw: Callable[[], Figure]


class Code(Struct, frozen=True):
    """A listing, by default in Python."""

    text: str
    language: str = "python"


Part = Picture | Code | Table


class Slide(Struct, frozen=True):
    """One slide, with one claim.

    Attributes:
        key: its name, which never changes, as a teacher's text is found by it.
        title: the claim.
        parts: pictures, tables and listings, side by side.
        text: at most `MOST_WORDS` words below the parts, in our own markup (`form.markdown`).
        items: a list instead of other parts.
        notes: what a speaker should know: caveats, sources, commands.
        own: the table that a new file shows in the teacher's place of the slide.
    """

    key: str
    title: str
    parts: tuple[Part, ...] = ()
    text: str = ""
    items: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    own: Table | None = None


class Missing(Struct, frozen=True):
    """A slide for which records are missing, and how to make them."""

    key: str
    reason: str
    hint: str = ""


class Deck(Struct, frozen=True):
    """All slides of an overview.

    Attributes:
        title: the title of the deck.
        provenance: where and when the figures were measured, in one line for every slide.
        slides: the slides in order.
        missing: the slides that are left out.
    """

    title: str
    provenance: str
    slides: tuple[Slide, ...]
    missing: tuple[Missing, ...] = ()
