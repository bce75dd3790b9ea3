"""Reads the values of command-line options: counts, durations, seeds, names."""

from __future__ import annotations

import argparse
import re
from pathlib import Path


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected a whole number from 1 to 999999"
        )
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9][0-9]{0,5}(,[1-9][0-9]{0,5})*", text):
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected whole numbers from 1 to 999999 and commas, as 1,4,16"
        )
    return tuple(dict.fromkeys(map(int, text.split(","))))


def _percentage(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,3})?%", text) or not float(text[:-1]):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a percentage, as 2% or 0.5%")
    return float(text[:-1]) / 100


def _duration(text: str) -> float:
    if not re.fullmatch(r"[1-9][0-9]{0,5}[smh]", text):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a time, as 90s, 30m or 2h")
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def _modes(text: str) -> tuple[str, ...]:
    modes = tuple(dict.fromkeys(_words(text)))
    if not modes or set(modes) - {"matched", "native"}:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected matched, native, or matched,native"
        )
    return modes


def _level(text: str) -> float:
    if not re.fullmatch(r"0?\.[0-9]{1,6}", text) or not float(text):
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected a probability between 0 and 1, as 0.01"
        )
    return float(text)


def _seeds(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", text):
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected whole numbers and commas, as 0,1,2"
        )
    return tuple(dict.fromkeys(map(int, text.split(","))))


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text):
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected a name, not a path (the folder is --results)"
        )
    return text


def _override(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not path:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected ENVIRONMENT=/path/to/python")
    return name, Path(path)
