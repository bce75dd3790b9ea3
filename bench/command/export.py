"""`bench export` and `bench overview`: write a run, its models, or slides about it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from backends.exports.formats import ENVIRONMENT, FORMATS
from bench.command import say
from bench.command.report import private_words, warn_left_out
from bench.command.setup import places_of
from bench.machine.host import WITHOUT_GPUS, this_machine
from bench.records.files import inside, write_atomically
from bench.records.job import Record
from bench.records.stored import LeftOut
from bench.records.weights import without_weights
from bench.report.form.visible import visible
from bench.report.terminal.plain import plain_console
from bench.runner.environments import Environments
from bench.runner.exports import check_models, write_models
from specs.errors import UserError

_MOST_SHOWN = 60  # characters of a teacher's text
# What to do next with the slides, by format.
_NEXT = {
    "markdown": "`marp overview.md --pdf --allow-local-files` makes a PDF (https://marp.app)",
    "beamer": "`pdflatex overview.tex`, in that folder, makes the PDF",
    "html": "open it in a browser: arrow keys go from slide to slide, printing makes a PDF",
}


def export(options: argparse.Namespace) -> int:
    """`bench export`: write a run in another format, to standard output or a file.

    For models, write files, and return 1 if a prediction by one of them deviates too far.
    """
    forms = [form for form in options.format.split(",") if form in FORMATS]
    if forms and options.anonymous:
        raise UserError("--anonymous: models contain no names of machines or users", hint="omit it")
    if forms:
        return _export_models(options, forms)
    if options.workload or options.backend:
        raise UserError(
            "--workload and --backend are only for models",
            expected=f"--format {' or '.join(FORMATS)}",
        )
    if options.format == "otava":
        if options.anonymous:
            raise UserError(
                "--anonymous does not work with --format otava", expected="another --format"
            )
        return _export_series(options)
    if options.more:
        raise UserError(
            f"--format {options.format} exports one run", expected="one run, or --format otava"
        )
    from bench.report.export.run import export  # see bench.command.report.write_run_report

    if options.anonymous:
        content, left_out, disagreement = _export_anonymously(options)
    else:
        content, left_out, disagreement = export(options.run, options.format)
    warn_left_out(left_out)
    if disagreement:
        say(f"bench: {disagreement}", error=True)
    if options.output:
        write_atomically(options.output, content)
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    return 0


def _export_anonymously(options: argparse.Namespace) -> tuple[bytes, list[LeftOut], str]:
    from bench.report.anonymous import copy_anonymously  # as in `export`
    from bench.report.export.run import export
    from bench.report.run import Run

    run = Run.read(options.run)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        copy_anonymously(run, Path(folder) / "run", private_words())
        content, _, disagreement = export(Path(folder) / "run", options.format)
    return content, run.left_out, disagreement


def _export_series(options: argparse.Namespace) -> int:
    from bench.report.export.otava import write_otava  # see bench.command.report.write_run_report

    folder = options.output or options.run / "otava"
    config, series, left_out = write_otava([options.run, *options.more], folder)
    warn_left_out(left_out)
    say(
        f"{series} series in {config}: `otava list-tests --config-file ...` lists them, and\n"
        "`otava analyze NAME --config-file ...` finds where a series changed"
    )
    return 0


def _export_models(options: argparse.Namespace, forms: Sequence[str]) -> int:
    from bench.report.frame.doubts import headline  # imports pandas
    from bench.report.run import Run
    from bench.report.terminal.exports import print_exports

    if not (options.run / "jobs").is_dir():
        raise without_weights(options.run)
    run = Run.read(options.run)
    warn_left_out(run.left_out)
    if disagreement := headline(run.jobs):
        say(f"bench: {disagreement}", error=True)
    chosen = _chosen(run.records, options.workload, options.backend)
    folder = options.output or inside(options.run, "exported")
    written, refused = write_models(options.run, chosen, forms, folder)
    if not written:
        raise UserError("; ".join(refused)) if refused else without_weights(options.run)
    for sentence in refused:
        say(f"bench: {sentence}", error=True)
    environments, machine = Environments(), this_machine(WITHOUT_GPUS)
    checked = []
    for model in check_models(written, environments, machine, places_of(options)):
        checked.append(model)
        say(f"[{len(checked)}/{len(written)}] {model.files[0]}", error=True)
    print_exports(checked, environments.versions(ENVIRONMENT), plain_console())
    return 1 if any(model.passed is False for model in checked) else 0


def _chosen(
    records: Sequence[Record],
    workloads: Sequence[str] | None,
    backends: Sequence[str] | None,
) -> list[Record]:
    """The records of these workloads and backends; None stands for all.

    Raises:
        UserError: a name is not in the run.
    """
    choices = [
        ("workload", workloads, {record.job.workload.name for record in records}),
        ("backend", backends, {record.job.backend for record in records}),
    ]
    for kind, wanted, names in choices:
        for name in wanted or ():
            if name not in names:
                raise UserError(
                    f"the run has no {kind} '{name}'", expected=f"one of {', '.join(sorted(names))}"
                )
    return [
        record
        for record in records
        if (workloads is None or record.job.workload.name in workloads)
        and (backends is None or record.job.backend in backends)
    ]


def overview(options: argparse.Namespace) -> int:
    """`bench overview`: write slides; print which are missing, and which edited texts are kept."""
    # These import pandas and Matplotlib, 2 s.
    from bench.overview.deck import make_deck
    from bench.overview.facts import read_facts
    from bench.overview.material import Material, images_in
    from bench.overview.results import Results
    from bench.overview.write.files import write_overview
    from bench.report.run import Run

    run = Run.read(options.run)
    material = Material(Results(run), read_facts(), images_in(places_of(options)))
    deck = make_deck(material)
    folder = options.output or inside(options.run, "overview")
    written = write_overview(deck, options.format, folder)
    warn_left_out(run.left_out)
    for missing in deck.missing:
        hint = f"; `{missing.hint}` adds it" if missing.hint else ""
        say(f"bench: no slide '{missing.key}': {missing.reason}{hint}", error=True)
    for piece in written.kept:
        say(f"kept {piece.piece}: {_short(piece.content)}")
        if piece.is_outdated:
            now = (
                "is no longer made" if piece.made is None else f"would now be: {_short(piece.made)}"
            )
            say(f"  check it: the records have changed, and this text {now}")
    if written.copy:
        say(f"you changed more than titles, texts and notes; your version is kept: {written.copy}")
    say(f"{len(deck.slides)} slides: {written.document}")
    say(_NEXT[options.format])
    return 0


def _short(text: str) -> str:
    line = " ".join(visible(text).split())
    return line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 3]}..."
