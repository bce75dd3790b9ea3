"""Writes the files of an overview: the document, and the pictures beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from bench.overview.picture.style import file_of
from bench.overview.slides import Deck, Picture
from bench.overview.write import beamer, html, markdown
from bench.overview.write.kept import Keeper, Kept, Marks, digest_of
from bench.records.files import RunError, write_atomically

Format = Literal["markdown", "beamer", "html"]


class _Writer(NamedTuple):
    """How a format is written: its file, its marks, and the kind of its pictures ("": inside)."""

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
    """What was written.

    Attributes:
        document: the file with the slides.
        kept: what stays as a teacher has written it.
        copy: the copy of the earlier document, if it was changed outside of what is kept; or None.
    """

    document: Path
    kept: list[Kept]
    copy: Path | None


def write_overview(deck: Deck, form: Format, folder: Path) -> Written:
    """Write the deck into a folder; what a teacher has written there before stays.

    Args:
        deck: the slides.
        form: the format.
        folder: it is made if needed.

    Raises:
        RunError: the folder cannot be written, or it has a document that was not made here.
    """
    writer = _WRITERS[form]
    document = folder / writer.file
    earlier = _earlier(document, writer.marks)
    keeper = Keeper(writer.marks, earlier)
    text = writer.write(deck, keeper)
    copy = None
    if earlier and _outside(earlier, writer.marks) != _told(earlier, writer.marks):
        copy = document.with_name(f"{document.stem}.earlier{document.suffix}")
        write_atomically(copy, earlier.encode())
    last = writer.marks.begin("document", _outside(text, writer.marks))
    write_atomically(document, f"{text}{last}\n".encode())
    for slide in deck.slides if writer.pictures else ():
        for part in slide.parts:
            if isinstance(part, Picture):
                path = folder / "pictures" / f"{part.name}.{writer.pictures}"
                write_atomically(path, file_of(part, writer.pictures))
    return Written(document, keeper.kept, copy)


def _earlier(document: Path, marks: Marks) -> str:
    """The document that is there; "" if there is none."""
    try:
        text = document.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{document}: cannot be read: {error}", expected="UTF-8") from error
    if not _told(text, marks):
        raise RunError(
            f"{document}: was not made by `bench overview`",
            expected="another folder, or none of that name",
            hint="name another with --output",
        )
    return text


def _told(text: str, marks: Marks) -> str:
    """The digest in a document's last line; "" if there is none."""
    begin = marks.begin("document", "")[: -len(marks.close) or None].rstrip()
    lines = [line for line in text.splitlines() if line.startswith(begin)]
    return lines[-1].removeprefix(begin).removesuffix(marks.close).strip() if lines else ""


def _outside(text: str, marks: Marks) -> str:
    """The digest of all that is not in a piece that is kept."""
    begin = marks.begin("document", "")[: -len(marks.close) or None].rstrip()
    lines, inside = [], False
    for line in text.splitlines():
        if line == marks.end:
            inside = False
        elif line.startswith(f"{marks.open}overview: ") and not line.startswith(begin):
            inside = True
        elif not inside and not line.startswith(begin):
            lines.append(line)
    return digest_of("\n".join(lines))
