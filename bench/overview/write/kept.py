"""Keeps a teacher's edits of slides when the slides are made again.

The title, the text and the notes of a slide stand between marks, each with a digest of what we
wrote. If a piece does not match its digest, somebody has edited it, and it is kept. Each slide also
has a place for the teacher's own text, which is always kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

_DIGITS = 8
OWN = "own"


class Marks(NamedTuple):
    """How a format begins and ends a comment; the lines before and after a piece are comments."""

    open: str
    close: str

    def begin(self, piece: str, digest: str) -> str:
        """The line before a piece."""
        return f"{self.open}overview: {piece} {digest}{self.close}"

    @property
    def end(self) -> str:
        """The line after a piece."""
        return f"{self.open}overview: end{self.close}"

    def read(self, text: str) -> Document:
        """Parse a document. Spaces around marks are ignored, as editors add or remove them.

        Raises:
            ValueError: a mark is incomplete, or its partner is missing; the text names the line.
        """
        pieces: dict[str, Piece] = {}
        outside: list[str] = []
        digest_outside, now, began = "", "", 0
        content: list[str] = []
        for number, line in enumerate(text.splitlines(), start=1):
            words = self._words_of(line)
            match words:
                case None:
                    (content if now else outside).append(line)
                case ["end"] if now:
                    name, digest = now.split()
                    pieces[name] = Piece(digest, "\n".join(content))
                    now, content = "", []
                case ["document", digest] if not now:
                    digest_outside = digest
                case [name, digest] if not now and name not in pieces:
                    now, began = f"{name} {digest}", number
                case _:
                    raise ValueError(
                        f"line {number}: the mark `{line.strip()}` is not in its place"
                    )
        if now:
            raise ValueError(f"line {began}: the end of the piece {now.split()[0]} is missing")
        return Document(pieces, digest_outside, digest_of("\n".join(outside)))

    def _words_of(self, line: str) -> list[str] | None:
        """The words of a mark; None if the line is no mark."""
        begin = f"{self.open}overview:"
        plain = line.strip()
        if not plain.startswith(begin):
            return None
        return plain.removeprefix(begin).removesuffix(self.close.strip()).split()


class Document(NamedTuple):
    """A document of slides.

    Attributes:
        pieces: "SLIDE.NAME" -> the piece.
        told: the digest of all other lines when we wrote the document; "" if it has none.
        outside: the digest of these lines now.
    """

    pieces: dict[str, Piece]
    told: str
    outside: str


class Piece(NamedTuple):
    """A piece of an earlier document: the digest of what we wrote, and its present content."""

    digest: str
    content: str

    @property
    def is_edited(self) -> bool:
        """Whether somebody has changed it."""
        return digest_of(self.content) != self.digest


class Kept(NamedTuple):
    """A piece that keeps a teacher's text.

    Attributes:
        piece: "SLIDE.NAME".
        content: the teacher's text.
        made: our new text for this place; None if the slide is not made any more.
        is_outdated: whether our text has changed since the teacher edited it.
    """

    piece: str
    content: str
    made: str | None
    is_outdated: bool


class Keeper:
    """Writes pieces between marks; edited pieces keep the teacher's text.

    Attributes:
        kept: the edited pieces so far.

    Args:
        marks: the marks of the format.
        earlier: the pieces of the existing document.
    """

    def __init__(self, marks: Marks, earlier: Mapping[str, Piece]) -> None:
        self._marks, self._earlier = marks, earlier
        self._seen: set[str] = set()
        self.kept: list[Kept] = []

    def piece(self, slide: str, name: str, content: str) -> str:
        """A piece with its marks: our content, or the teacher's version of it.

        Args:
            slide: the key of the slide.
            name: the name of the piece.
            content: our content, without lines that look like a mark.
        """
        full, digest = f"{slide}.{name}", digest_of(content)
        self._seen.add(full)
        earlier = self._earlier.get(full)
        if earlier is not None and (name == OWN or earlier.is_edited):
            if earlier.is_edited:
                self.kept.append(Kept(full, earlier.content, content, earlier.digest != digest))
            content, digest = earlier.content, earlier.digest
        between = f"{content}\n" if content else ""
        return f"{self._marks.begin(full, digest)}\n{between}{self._marks.end}"

    def left_over(self) -> Mapping[str, str]:
        """Edited pieces of slides that are no longer made: name -> piece with its marks."""
        not_written = {
            name: piece
            for name, piece in self._earlier.items()
            if name not in self._seen and piece.is_edited
        }
        for name, piece in not_written.items():
            self.kept.append(Kept(name, piece.content, None, is_outdated=True))
        return {
            name: f"{self._marks.begin(name, piece.digest)}\n{piece.content}\n{self._marks.end}"
            for name, piece in not_written.items()
        }


def digest_of(content: str) -> str:
    """A digest of a piece; spaces at the ends of lines do not change it."""
    plain = "\n".join(line.rstrip() for line in content.strip().splitlines())
    return hashlib.sha256(plain.encode()).hexdigest()[:_DIGITS]
