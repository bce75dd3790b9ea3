"""Draws charts: as SVG for the page, and as files."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import vl_convert

from bench.records.files import RunError, write_atomically
from bench.report.chart.style import FILE_INK, INK
from bench.report.form.blocks import Chart
from bench.report.form.visible import visible
from bench.runner.environments import cache_folder
from specs.errors import UserError
from specs.files import is_own, open_regular

_MOST_SCRIPT = 20_000_000  # bytes
_COLUMNS = 3  # panels side by side in a file
_SCALE = 1.5  # pixels of a PNG per pixel of the chart
_TITLE, _BELOW, _GAP = 16, 24, 20  # pixels of a title, of the space below it, between panels
_TITLE_FONT = 'font-family="sans-serif" font-size="14" font-weight="bold"'
# Parts that an SVG does not need: descriptions of single marks, default values, further digits.
_NEEDLESS = re.compile(
    r' (?:aria-[a-z]+|role|pointer-events)="[^"]*"| (?:opacity="1"|stroke-width="1")'
    r'|<path class="(?:back|fore)ground"[^>]*d="(?:M0,0h0v0h0Z)?"[^>]*>(?:</path>)?'
)
_TAG = re.compile(r"<[^>]*>")
_LONG_NUMBER = re.compile(r"(\d\.\d\d)\d+")
_SIZE = re.compile(r'<svg [^>]*?width="([0-9.]+)" height="([0-9.]+)"')


def svgs_of(chart: Chart) -> list[str]:
    """Each panel of a chart as SVG; its texts stay texts, and it loads nothing."""
    return [_for_page(_svg(p.spec), f"{chart.name}-{n}") for n, p in enumerate(chart.panels)]


def _for_page(svg: str, prefix: str) -> str:
    """The SVG at half its size, with names that are unique on a page.

    Screen readers skip it, as the page describes the whole chart.
    """
    named = re.sub(r'(id="|url\(#)(clip|gradient)', rf"\1{prefix}-\2", svg)
    small = _TAG.sub(lambda tag: _LONG_NUMBER.sub(r"\1", tag[0]), _NEEDLESS.sub("", named))
    return small.replace("<svg ", '<svg aria-hidden="true" ', 1)


def write_chart(chart: Chart, svgs: Sequence[str], folder: Path) -> None:
    """Write all panels of a chart as FOLDER/NAME.svg, .png and .pdf, on white.

    Args:
        chart: the chart.
        svgs: its panels, see `svgs_of`.
        folder: the folder.

    Raises:
        RunError: the folder cannot be written.
    """
    svg = _together(chart, svgs)
    write_atomically(folder / f"{chart.name}.svg", svg.encode())
    write_atomically(folder / f"{chart.name}.png", vl_convert.svg_to_png(svg, scale=_SCALE))
    write_atomically(folder / f"{chart.name}.pdf", vl_convert.svg_to_pdf(svg))


def together(chart: Chart) -> dict[str, Any]:
    """The Vega-Lite specification of all panels of a chart, side by side."""
    panels: list[dict[str, Any]] = []
    datasets: dict[str, Any] = {}
    params: dict[str, Any] = {}
    for number, panel in enumerate(chart.panels):
        names = {name: f"{name}{number}" for name in panel.spec["datasets"]}
        datasets |= {names[name]: rows for name, rows in panel.spec["datasets"].items()}
        params |= {param["name"]: param for param in panel.spec.get("params", ())}
        left_out = ("$schema", "config", "datasets", "params")
        spec = {name: part for name, part in panel.spec.items() if name not in left_out}
        panels.append({"title": panel.title, **_renamed(spec, names)})
    first = _on_white(chart.panels[0].spec["config"])
    return {
        "$schema": chart.panels[0].spec["$schema"],
        "config": {**first, "background": "white"},
        "params": [*params.values()],
        "datasets": datasets,
        "concat": _on_white(panels),
        "columns": _COLUMNS,
        "resolve": {"scale": {"color": "independent", "shape": "independent"}},
    }


def _on_white(part: Any) -> Any:
    """The specification with dark text, as the chart is white even in a dark notebook."""
    if isinstance(part, list):
        return [_on_white(item) for item in part]
    if isinstance(part, dict):
        return {key: _on_white(value) for key, value in part.items()}
    return FILE_INK if part == INK else part


def _renamed(part: Any, names: Mapping[str, str]) -> Any:
    """The specification with other names of its data."""
    if isinstance(part, list):
        return [_renamed(item, names) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        key: {"name": names[value["name"]]} if key == "data" else _renamed(value, names)
        for key, value in part.items()
    }


def vega() -> str:
    """Vega-Lite for a page: JavaScript that sets `window.vegaEmbed`.

    Bundling takes seconds, so the result is cached. A cached file that another user owns or may
    write is not used, because a page runs it.
    """
    file_in_cache = None
    with suppress(UserError, OSError, UnicodeDecodeError):
        file_in_cache = cache_folder() / "page" / f"vega-{version('vl-convert-python')}.js"
        with open_regular(file_in_cache, _MOST_SCRIPT) as file:
            if is_own(os.fstat(file.fileno())):
                return file.read().decode()
    script = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))
    with suppress(RunError, OSError):  # without a file, the next call makes it again
        if file_in_cache:
            write_atomically(file_in_cache, script.encode())
            file_in_cache.chmod(0o644)  # whatever the umask is
    return script


def _svg(spec: dict[str, Any]) -> str:
    return str(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]))


def _together(chart: Chart, svgs: Sequence[str]) -> str:
    """All panels with their titles, on white, in rows of `_COLUMNS`."""
    sizes = [tuple(map(float, _SIZE.findall(svg)[0])) for svg in svgs]
    column = max(width for width, _ in sizes) + _GAP
    parts, y = [], 0.0
    for first in range(0, len(svgs), _COLUMNS):
        row = range(first, min(first + _COLUMNS, len(svgs)))
        for number in row:
            x, title = (
                _GAP / 2 + (number - first) * column,
                html.escape(visible(chart.panels[number].title)),
            )
            place = f'x="{x:g}" y="{y + _TITLE:g}"'
            parts.append(f"<text {place} {_TITLE_FONT}>{title}</text>")
            parts.append(svgs[number].replace("<svg ", f'<svg x="{x:g}" y="{y + _BELOW:g}" ', 1))
        y += _BELOW + max(sizes[number][1] for number in row) + _GAP
    width = min(len(svgs), _COLUMNS) * column
    size = f'width="{width:g}" height="{y:g}"'
    body = "\n".join(parts).replace("currentColor", FILE_INK)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width:g} {y:g}">'
        f'<rect {size} fill="white"/>\n<g fill="{FILE_INK}">{body}</g></svg>\n'
    )
