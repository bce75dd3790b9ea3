"""Makes text of unknown origin harmless: every character of it can be seen."""

from __future__ import annotations

import unicodedata

# Control characters (also those that colour a terminal), formats (also those that turn the
# direction of the text), halves of pairs, private ones, and ends of lines and paragraphs.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str) -> str:
    r"""The text with `\u001b` for each character that is not seen, and spaces for line breaks."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character in "\n\r\t":
        return " "
    if unicodedata.category(character) in _UNSEEN:
        return f"\\u{ord(character):04x}"
    return character
