"""Writes the files of an overview: the document, and the pictures beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from bench.overview.picture.style import file_of
from bench.overview.slides import Deck, Picture
from bench.overview.write import beamer, html, markdown
from bench.overview.write.kept import Document, Keeper, Kept, Marks, digest_of
from bench.records.files import RunError, inside, write_atomically
from specs.files import read_regular

_MOST_BYTES = 50_000_000  # of a document; an HTML document holds its pictures
Format = Literal["markdown", "beamer", "html"]


class _Writer(NamedTuple):
    """How a format is written: its file, marks, and kind of pictures ("": inside the file)."""

    file: str
    marks: Marks
    write: Callable[[Deck, Keeper], str]
    pictures: str


_WRITERS: dict[Format, _Writer] = {
    "markdown": _Writer("overview.md", markdown.MARKS, markdown.to_markdown, "svg"),
    "beamer": _Writer("overview.tex", beamer.MARKS, beamer.to_beamer, "pdf"),
    "html": _Writer("overview.html", html.MARKS, html.to_html, ""),
}


class Written(NamedTuple):
    """The files that were written.

    Attributes:
        document: the file with the slides.
        kept: the pieces that keep a teacher's text.
        copy: the copy of the earlier document, if it was edited outside of these pieces; or None.
    """

    document: Path
    kept: list[Kept]
    copy: Path | None


def write_overview(deck: Deck, form: Format, folder: Path) -> Written:
    """Write the deck into a folder; a teacher's edits of an earlier document are kept.

    Args:
        deck: the slides.
        form: the format.
        folder: the folder; it is created if needed.

    Raises:
        RunError: the folder cannot be written, or its document was not made by this command, or
            has damaged marks.
    """
    writer = _WRITERS[form]
    path = folder / writer.file
    text = _read(path)
    earlier = _parsed(path, text, writer.marks)
    keeper = Keeper(writer.marks, earlier.pieces)
    new = writer.write(deck, keeper)
    # Everything is drawn before anything is written, so an error does not change earlier files.
    drawn = _pictures(deck) if writer.pictures else []
    pictures = {part.name: file_of(part, writer.pictures) for part in drawn}
    copy = None
    if text and earlier.outside != earlier.told:
        copy = path.with_name(f"{path.stem}.earlier-{digest_of(text)}{path.suffix}")
        write_atomically(copy, text.encode())
    for name, content in pictures.items():
        write_atomically(inside(folder, "pictures") / f"{name}.{writer.pictures}", content)
    last = writer.marks.begin("document", writer.marks.read(new).outside)
    write_atomically(path, f"{new}{last}\n".encode())
    return Written(path, keeper.kept, copy)


def _pictures(deck: Deck) -> list[Picture]:
    return [part for slide in deck.slides for part in slide.parts if isinstance(part, Picture)]


def _read(path: Path) -> str:
    """The text of the existing document; "" if there is none."""
    try:
        return read_regular(path, _MOST_BYTES).decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read: {error}", expected="UTF-8") from error


def _parsed(path: Path, text: str, marks: Marks) -> Document:
    hint = "move it away, or name another folder with --output"
    try:
        document = marks.read(text)
    except ValueError as error:
        raise RunError(
            f"{path}, {error}", expected="the marks as they were written", hint=hint
        ) from error
    if text and not document.told:
        raise RunError(
            f"{path}: was not made by `bench overview`", expected="a file of its own", hint=hint
        )
    return document
