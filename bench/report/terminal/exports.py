"""Prints exported models as a table: how far their predictions are from the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console

from backends.exports.formats import ENVIRONMENT
from bench.report.form import words
from bench.report.terminal.plain import plain_table
from bench.runner.exports import Exported

_PACKAGE = "opencv-python-headless"


def print_exports(
    models: Sequence[Exported], versions: Mapping[str, str], console: Console
) -> None:
    """Print a row per model and format, then what is wrong or was not checked.

    Args:
        models: the exported models.
        versions: the versions of the packages in the reader's environment.
        console: where to print.
    """
    titles = ("workload", "backend", "format", "images", "deviation", "tolerance", "other class")
    table = plain_table(titles, titles[:3])
    table.title = "inference of the exported model: largest deviation"
    for model in models:
        job, check = model.record.job, model.found
        is_usual = job.batch_size == job.workload.recipe.batch_size
        name = job.workload.name if is_usual else f"{job.workload.name} batch {job.batch_size}"
        cells = [words.ABSENT] * 4
        if check is not None:
            numbers = f"{check.deviation:.1e}", f"{check.tolerance:.1e}"
            cells = [f"{check.images:,}", *numbers, str(check.other_classes)]
        style = "bold red" if model.passed is False else ""
        place = "" if job.device == "cpu" else f" {job.device}"
        table.add_row(name, f"{job.backend}{place}", model.form, *cells, style=style)
    console.print(table)
    for model in models:
        if model.passed is False:
            reason = model.problem or "its predictions differ from the reference"
            files = ", ".join(map(str, model.files))
            console.print(f"WRONG: {files}: {reason}", style="bold red", soft_wrap=True)
    if any(model.passed is None for model in models):
        console.print(
            f"not checked: OpenCV is not installed; type `bench environment create {ENVIRONMENT}`,"
            " then the same command again",
            soft_wrap=True,
        )
        return
    passed = sum(model.passed is True for model in models)
    console.print(
        f"Test images are predicted by OpenCV {versions.get(_PACKAGE, '?')} and by the float64"
        f" reference, from the same weights: {passed} of {len(models)} models give equal"
        " probabilities within rounding",
        style="green" if passed == len(models) else "bold red",
        soft_wrap=True,
    )
