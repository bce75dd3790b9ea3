"""The promises that all campaigns check, each once. An oracle returns faults, none if all is well.

MARK stands in every hostile text. Found where it has an effect (as a tag, an attribute, a command
or a formula) it tells that a text was not only shown.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from markdown_it import MarkdownIt

from bench.records.job import Record
from tests.torture.campaign import Fault

MARK = "zqx7"
_MOST_SHOWN = 1500  # characters of an output in a fault
# C0 without tab and newline, DEL and C1; lone surrogates; what changes the direction of text.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# Progress bars of downloads begin their line again, or go up one.
_PROGRESS = re.compile("\r(?= *[0-9.]+[%B kMGTP]| *$)|\x1b\\[A")
_OF_EPOCH = (
    *("number", "running_loss", "test_loss", "test_accuracy", "train_loss", "train_accuracy"),
    "order_checksum",
)
# What a worker leaves only while it runs; a log stays if its job did not end ok.
_PASSING = ("*.tmp", "*.assignment", "*.progress.jsonl", "*.probe")


def tail(text: str) -> str:
    """The end of an output, as a fault shows it."""
    return text if len(text) <= _MOST_SHOWN else f"...{text[-_MOST_SHOWN:]}"


def no_traceback(text: str) -> list[Fault]:
    """No error of ours ends as a traceback on the terminal."""
    if "Traceback (most recent call last)" not in text:
        return []
    last = [line for line in text.splitlines() if line.strip()][-1]
    return [Fault("traceback", f"{last[:200]}\n{tail(text)}")]


def plain_terminal(text: str) -> list[Fault]:
    """No character reaches the terminal that does more than to show something."""
    lines = [_PROGRESS.sub("", line) for line in text.split("\n")]
    wrong = [line for line in lines if _CONTROL.search(line)]
    if not wrong:
        return []
    found = sorted({f"U+{ord(one):04X}" for line in wrong for one in _CONTROL.findall(line)})
    return [Fault("terminal", f"{', '.join(found)} in {wrong[0][:300]!a}")]


def whole_files(folder: Path) -> list[Fault]:
    """Every file with the name of a record is whole JSON, at any moment."""
    faults = []
    for path in sorted(folder.rglob("[!.]*.json")):
        try:
            json.loads(path.read_bytes())
        except FileNotFoundError:  # it was replaced or removed just now
            continue
        except ValueError as error:
            faults.append(Fault("half a file", f"{path}: {error}"))
    return faults


def nothing_left(folder: Path) -> list[Fault]:
    """A run that has ended leaves no passing file behind."""
    left = sorted(f"{p.relative_to(folder)}" for glob in _PASSING for p in folder.rglob(glob))
    return [Fault("left behind", ", ".join(left))] if left else []


def facts(record: Record) -> dict[str, Any]:
    """What a repeated job must have again, bit by bit."""
    return {
        "status": record.status,
        "weights": record.weights_checksum,
        "epochs": [[getattr(epoch, name) for name in _OF_EPOCH] for epoch in record.epochs],
    }


def same_records(
    found: Mapping[str, Mapping[str, Any]], expected: Mapping[str, Mapping[str, Any]]
) -> list[Fault]:
    """The records are those of an undisturbed run; none is lost, doubled or different."""
    faults = []
    if lost := sorted(expected.keys() - found.keys()):
        faults.append(Fault("lost record", ", ".join(lost)))
    if more := sorted(found.keys() - expected.keys()):
        faults.append(Fault("doubled record", ", ".join(more)))
    for key in sorted(found.keys() & expected.keys()):
        wrong = [name for name in expected[key] if found[key][name] != expected[key][name]]
        if wrong:
            what = [f"{name}: {found[key][name]} for {expected[key][name]}" for name in wrong]
            faults.append(Fault("different record", tail(f"{key}: {'; '.join(what)}")))
    return faults


def inert_html(text: str, where: str) -> list[Fault]:
    """No hostile text has become a tag, an attribute, or an address that is loaded."""
    page = _Page()
    page.feed(text)
    page.close()
    if f"<!--{MARK}" in text:  # also in a script, where it may hide the script's end
        page.found.append("comment")
    return [Fault("markup", f"{where}: {found}") for found in page.found[:3]]


def inert_markdown(text: str, where: str) -> list[Fault]:
    """The same of Markdown, as its renderers make HTML of it."""
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    return inert_html(html, where)


def inert_csv(text: str, where: str) -> list[Fault]:
    """No cell of a hostile text is a formula for spreadsheets."""
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    formulas = [cell for cell in cells if cell[:1] in "=+-@\t\r" and MARK in cell]
    return [Fault("formula", f"{where}: {formulas[0][:200]!r}")] if formulas else []


def inert_latex(text: str, where: str) -> list[Fault]:
    """No hostile text is a command, mathematics or a comment of LaTeX."""
    # A line that begins with % is a comment of ours, and nothing has an effect in it.
    effective = re.sub(r"^%.*\n", "", text, flags=re.MULTILINE)
    wrong = rf"\\{MARK}|(?<!\\)\${MARK}|[^\\\n]% {MARK}|\^\^41{MARK}|\\frac|\\input"
    found = re.search(wrong, effective)
    return [Fault("LaTeX", f"{where}: {tail(found[0])!r}")] if found else []


def sound_xml(text: bytes, where: str) -> list[Fault]:
    """XML can be read, and no hostile text is an element of it."""
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        return [Fault("XML", f"{where}: {error}")]
    names = [name for node in root.iter() for name in (node.tag, *node.attrib) if MARK in name]
    return [Fault("XML", f"{where}: {names}")] if names else []


def healthy_reported(lines: Iterator[str], healthy: Counter[str], where: str) -> list[Fault]:
    """Each healthy record is in a report as often as it is without the others."""
    found = Counter(lines)
    lost = sorted(name for name in healthy if found[name] < healthy[name])
    return [Fault("healthy records lost", f"{where}: {', '.join(lost)[:300]}")] if lost else []


class _Page(HTMLParser):
    """Collects where MARK has an effect in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if MARK in tag:
            self.found.append(f"element <{tag}>")
        for name, value in attrs:
            loads = name in {"href", "src", "srcset", "action", "style"} and MARK in (value or "")
            # A plot's file may be named after a machine; a picture of elsewhere may not be loaded.
            elsewhere = loads and re.match(r"\s*(\w+:|//)", value or "") is not None
            if MARK in name or elsewhere:
                self.found.append(f"<{tag} {name}={(value or '')[:100]!r}>")
