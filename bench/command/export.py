"""`bench export` and `bench overview`: write a run in another format, or as slides."""

from __future__ import annotations

import argparse
import sys

from bench.command.report import warn_left_out
from bench.command.setup import places_of
from bench.records.files import write_atomically
from bench.report.form.visible import visible

_MOST_SHOWN = 60  # characters of a text that a teacher has written
# What to do with slides of each format.
_NEXT = {
    "markdown": "`marp overview.md --pdf --allow-local-files` makes a PDF (https://marp.app)",
    "beamer": "`pdflatex overview.tex`, in that folder, makes the PDF",
    "html": "open it in a browser: arrow keys go from slide to slide, printing makes a PDF",
}


def export(options: argparse.Namespace) -> int:
    """`bench export`: write a run in another format, to standard output or a file."""
    from bench.report.export.run import export  # see bench.command.report.write_run_report

    content, left_out, disagreement = export(options.run, options.format)
    warn_left_out(left_out)
    if disagreement:
        print(f"bench: {disagreement}", file=sys.stderr)
    if options.output:
        write_atomically(options.output, content)
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    return 0


def overview(options: argparse.Namespace) -> int:
    """`bench overview`: write slides; say which are missing, and what a teacher's text keeps."""
    # With them come pandas and Matplotlib, 2 s.
    from bench.overview.deck import make_deck
    from bench.overview.facts import read_facts
    from bench.overview.material import Material, images_in
    from bench.overview.results import Results
    from bench.overview.write.files import write_overview
    from bench.report.run import Run

    run = Run.read(options.run)
    material = Material(Results(run), read_facts(), images_in(places_of(options)))
    deck = make_deck(material)
    folder = options.output or options.run / "overview"
    written = write_overview(deck, options.format, folder)
    warn_left_out(run.left_out)
    for missing in deck.missing:
        hint = f"; `{missing.hint}` adds it" if missing.hint else ""
        print(f"bench: no slide '{missing.key}': {missing.reason}{hint}", file=sys.stderr)
    for kept in written.kept:
        print(f"kept {kept.piece}: {_short(kept.content)}")
        if kept.is_outdated:
            now = "is not made any more" if kept.made is None else f"would be: {_short(kept.made)}"
            print(f"  look at it again: the records have changed, and it {now}")
    if written.copy:
        print(f"changed outside of titles, texts and notes; your version is kept: {written.copy}")
    print(f"{len(deck.slides)} slides: {written.document}")
    print(_NEXT[options.format])
    return 0


def _short(text: str) -> str:
    line = " ".join(visible(text).split())
    return line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 3]}..."
