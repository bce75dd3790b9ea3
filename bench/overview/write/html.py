"""Writes slides as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
from pathlib import Path

from markupsafe import escape

from bench.overview.picture.style import file_of
from bench.overview.slides import Code, Deck, Part, Picture, Slide
from bench.overview.write.kept import OWN, Keeper, Marks
from bench.report.document.html import inline, policy
from bench.report.form.blocks import Table

MARKS = Marks("<!-- ", " -->")
_HERE = Path(__file__).parent
_SHORT = 14  # a cell of at most this number of letters stays in one line


def to_html(deck: Deck, keeper: Keeper) -> str:
    """The deck as one page: a slide fills the window, and a printed page."""
    slides = [_slide(slide, keeper, deck.provenance) for slide in deck.slides]
    left_over = keeper.left_over()
    if left_over:
        title = "<h2>Kept from slides that are not made any more</h2>"
        slides.append("\n".join(("<section>", title, *left_over.values(), "</section>")))
    style, script = (
        (_HERE / f"overview.{kind}").read_text(encoding="utf-8") for kind in ("css", "js")
    )
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy(script)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(deck.title)}</title>",
            f"<style>\n{style}</style>",
            "</head>",
            "<body>",
            "<main>",
            *slides,
            "</main>",
            f"<script>{script}</script>",
            "</body>",
            "</html>",
            "",
        )
    )


def _slide(slide: Slide, keeper: Keeper, provenance: str) -> str:
    parts = "\n".join(map(_part, slide.parts))
    items = "\n".join(f"<li>{inline(item)}</li>" for item in slide.items)
    notes = "\n".join(f"<li>{inline(note)}</li>" for note in slide.notes)
    lines = (
        f'<section id="{slide.key}">',
        keeper.piece(slide.key, "title", f"<h2>{inline(slide.title)}</h2>"),
        f'<div class="parts">\n{parts}\n</div>' if parts else "",
        f"<ul>\n{items}\n</ul>" if items else "",
        keeper.piece(slide.key, "text", f"<p>{inline(slide.text)}</p>") if slide.text else "",
        keeper.piece(slide.key, OWN, _table(slide.own) if slide.own else ""),
        keeper.piece(
            slide.key,
            "notes",
            f"<details><summary>notes</summary><ul>\n{notes}\n</ul></details>",
        )
        if notes
        else "",
        f"<footer>{inline(provenance)}</footer>",
        "</section>",
    )
    return "\n".join(filter(None, lines))


def _part(part: Part) -> str:
    match part:
        case Picture(_, caption):
            content = base64.b64encode(file_of(part, "svg")).decode()
            return f'<img alt="{escape(caption)}" src="data:image/svg+xml;base64,{content}">'
        case Code(text):
            return f"<pre><code>{escape(text)}</code></pre>"
        case table:
            return _table(table)


def _table(table: Table) -> str:
    head = "".join(f"<th>{inline(cell)}</th>" for cell in table.columns)
    rows = ("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows)
    body = "\n".join(rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _cell(text: str) -> str:
    """A cell; a short cell, such as a date, is not broken into lines."""
    whole = ' class="whole"' if len(text) <= _SHORT else ""
    return f"<td{whole}>{inline(text)}</td>"
