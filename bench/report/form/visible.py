"""Makes text of unknown origin harmless: every character becomes visible."""

from __future__ import annotations

import unicodedata

# Control characters (they can colour a terminal), format characters (they can reverse the direction
# of text), surrogates, private and unassigned characters, and ends of lines and paragraphs.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str) -> str:
    r"""The text with each invisible character as `\u001b`, and line breaks as spaces."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character in "\n\r\t":
        return " "
    if unicodedata.category(character) in _UNSEEN:
        return f"\\u{ord(character):04x}"
    return character
