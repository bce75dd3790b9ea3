"""Writes a report as one HTML file, which contains style, charts and script, and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from bench.report.chart.style import looks_of
from bench.report.form.blocks import Block, Chart, Folded, Heading, Table
from bench.report.form.visible import visible

_LONG_CELL = 45  # a cell of at least this number of characters is broken into lines
_NUMBER = re.compile(
    r"[-+~]?[\d.,]+ ?(%|s|ms|µs|x|MB|GB|J|kJ|W|points)?(,? .*)?$|-$|none$|not |reached|disagrees$"
)
_MARKERS = {
    "circle": "●",
    "square": "■",
    "triangle-up": "▲",
    "triangle-down": "▼",
    "triangle-left": "◀",
    "triangle-right": "▶",
    "cross": "✚",
    "diamond": "◆",
}
_COMMAND = re.compile(r"(bench|nox|python|pip) ")


def to_html(blocks: Sequence[Block], drawn: Mapping[str, Sequence[str]], script: str) -> str:
    """The report as a page.

    Args:
        blocks: the report.
        drawn: name of a chart -> its panels as SVG.
        script: the page's script with everything that it needs; "" for a page without one.
    """
    title = next((block.text for block in blocks if isinstance(block, Heading)), "report")
    page = _templates().get_template("page.html.j2")
    style = _read("page.css")
    charts = [block for block in _all(blocks) if isinstance(block, Chart)]
    backends = {
        row["backend"]: None
        for chart in charts
        for panel in chart.panels
        for row in _rows_of(panel.spec)
    }
    return page.render(
        title=title,
        blocks=blocks,
        style=Markup(style),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - files of this package and of Vega
        policy=policy(script),
        contents=[block for block in blocks if isinstance(block, Heading) and block.level == 2],  # noqa: PLR2004 - the topics
        backends=[
            (name, shade, _MARKERS[shape]) for name, (shade, shape) in looks_of(backends).items()
        ],
        drawn={
            name: [Markup(svg) for svg in svgs]  # noqa: S704 - Vega escapes texts
            for name, svgs in drawn.items()
        },
    )


def fragment(blocks: Sequence[Block]) -> str:
    """Blocks without charts as HTML for a notebook, with a separate style."""
    body = _templates().get_template("fragment.html.j2").render(blocks=blocks)
    return f"<div class='framework-bench'><style>{_read('fragment.css')}</style>{body}</div>"


def policy(script: str) -> str:
    """The content security policy: nothing is loaded, and no other script runs."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"'sha256-{digest}'" if script else "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:;"
        " base-uri 'none'; form-action 'none'"
    )


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("bench.report.document", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        inline=inline,
        slug=slug,
        numbers=_numbers,
        long=lambda cell: len(cell) >= _LONG_CELL,
        json=_json,
    )
    environment.tests.update(kind=lambda block, name: type(block).__name__ == name)
    return environment


def _read(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def page_script() -> str:
    """The page's script, without Vega."""
    return _read("page.js")


def inline(text: str) -> Markup:
    """Text as HTML: a word in backquotes is code, in ** is bold, in * is pale."""
    marked = str(escape(visible(text)))
    marked = re.sub(r"`([^`]+)`", _code, marked)
    marked = re.sub(r"\*\*([\w ,-]+)\*\*", r"<strong>\1</strong>", marked)
    return Markup(re.sub(r"\*(\w+)\*", r"<em>\1</em>", marked))  # noqa: S704 - escaped above


def slug(text: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"


def _code(match: re.Match[str]) -> str:
    kind = ' class="command"' if _COMMAND.match(match[1]) else ""
    return f"<code{kind}>{match[1]}</code>"


def _numbers(table: Table) -> list[bool]:
    """For each column, whether all its cells are numbers."""
    columns = zip(*table.rows, strict=True)
    return [all(_NUMBER.match(cell) for cell in column) for column in columns]


def _json(value: Any) -> Markup:
    """JSON for a script element, with numbers to five digits; a `<` could end the element."""
    text = json.dumps(_short(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704 - escaped here


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_short(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _all(blocks: Sequence[Block]) -> list[Block]:
    """The blocks, and the blocks in folded ones."""
    all_blocks: list[Block] = []
    for block in blocks:
        all_blocks += [block, *(_all(block.blocks) if isinstance(block, Folded) else ())]
    return all_blocks


def _rows_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The data rows of a panel that belong to a backend."""
    return [row for rows in spec["datasets"].values() for row in rows if "backend" in row]
