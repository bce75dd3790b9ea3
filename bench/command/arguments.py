"""Reads the values of command-line options.

Each function raises `argparse.ArgumentTypeError` if the text does not have the described form.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Literal

from bench.runner.variables import FROM_OPTIONS
from specs.errors import closest

# The same as in `backends.contract.Precision`, whose import would import NumPy.
PRECISIONS = ["float32", "tf32", "bfloat16"]
_NUMBER = "[1-9][0-9]{0,5}"


def _check(text: str, pattern: str, expected: str) -> None:
    if not re.fullmatch(pattern, text):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected {expected}")


def words(text: str) -> tuple[str, ...]:
    """Names separated by commas: "a,b"."""
    _check(text, r"[^\s,]+(,[^\s,]+)*", "names separated by single commas, e.g. a,b")
    return tuple(dict.fromkeys(text.split(",")))


def count(text: str) -> int:
    """A whole number from 1 to 999999."""
    _check(text, _NUMBER, "a whole number from 1 to 999999")
    return int(text)


def threads(text: str) -> int | Literal["cores"]:
    """A number of threads: "8", or "cores" for one thread per core of the allowed CPUs."""
    if text == "cores":
        return "cores"
    _check(text, _NUMBER, 'a whole number from 1 to 999999, or "cores"')
    return int(text)


def count_or_zero(text: str) -> int:
    """A whole number from 0 to 999."""
    _check(text, "0|[1-9][0-9]{0,2}", "a whole number from 0 to 999")
    return int(text)


def counts(text: str) -> tuple[int, ...]:
    """Whole numbers from 1 to 999999, separated by commas: "1,4,16"."""
    expected = "whole numbers from 1 to 999999 and commas, e.g. 1,4,16"
    _check(text, f"{_NUMBER}(,{_NUMBER})*", expected)
    return tuple(dict.fromkeys(map(int, text.split(","))))


def percentage(text: str) -> float:
    """A share: 0.02 for "2%"."""
    _check(text, r"(?=.*[1-9])[0-9]{1,2}(\.[0-9]{1,3})?%", "a percentage, e.g. 2% or 0.5%")
    return float(text[:-1]) / 100


def price(text: str) -> tuple[str, float]:
    """The price of an hour: ("a100", 2.1) for "a100=2.10/h"."""
    amount = r"(?=[0-9.]*[1-9])[0-9]{1,6}(\.[0-9]{1,6})?"
    _check(text, f".+={amount}/h", "NAME=PRICE/h, e.g. a100=2.10/h")
    name, _, amount_text = text.rpartition("=")
    return name, float(amount_text.removesuffix("/h"))


def duration(text: str) -> float:
    """Seconds: 1800 for "30m"."""
    _check(text, f"{_NUMBER}[smh]", "a time, e.g. 90s, 30m or 2h")
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def modes(text: str) -> tuple[str, ...]:
    """The modes: "matched", "native", or both, separated by a comma."""
    _check(text, "(matched|native)(,(matched|native))*", "matched, native, or matched,native")
    return words(text)


def precisions(text: str) -> tuple[str, ...]:
    """Precisions separated by commas: "float32,bfloat16"."""
    wrong = [name for name in text.split(",") if name not in PRECISIONS]
    for name in wrong:
        near = closest(name, PRECISIONS)
        raise argparse.ArgumentTypeError(
            f"found {name!r}, expected {', '.join(PRECISIONS)} and commas"
            + (f"; {near}" if near else "")
        )
    return words(text)


def spark_master(text: str) -> tuple[str]:
    """The address of a cluster of Spark, as the only device: "spark://HOST:7077"."""
    pattern = r"spark://[A-Za-z0-9.-]+:[0-9]{1,5}"
    _check(text, pattern, "a Spark master, e.g. spark://HOST:7077")
    return (text,)


def level(text: str) -> float:
    """A probability: 0.01 for "0.01"."""
    expected = "a probability between 0 and 1, e.g. 0.01"
    _check(text, r"0?\.(?=.*[1-9])[0-9]{1,6}", expected)
    return float(text)


def seeds(text: str) -> tuple[int, ...]:
    """Whole numbers from 0 on, separated by commas: "0,1,2"."""
    _check(text, "[0-9]{1,9}(,[0-9]{1,9})*", "whole numbers and commas, e.g. 0,1,2")
    return tuple(dict.fromkeys(map(int, text.split(","))))


def run_folder(text: str) -> Path:
    """The folder of a run: its path, its name under `results`, or the path of its page."""
    path = Path(text)
    if path.name in ("report.html", "report.md"):
        path = path.parent
    named = Path("results") / text
    return named if not path.exists() and named.is_dir() else path


def name(text: str) -> str:
    """The name of a folder; not a path."""
    pattern = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
    _check(text, pattern, "a name, not a path (the folder is --results)")
    return text


def nodes(text: str) -> str:
    """Nodes of a cluster: a number, "all", or a list in Slurm's form: "gpu[001-004],big1"."""
    expected = "a number, all, or a list of nodes, e.g. gpu[001-004]"
    _check(text, rf"{_NUMBER}|[A-Za-z][A-Za-z0-9_.,\[\]-]*", expected)
    return text


def sbatch_option(text: str) -> str:
    """An option of sbatch: "--account=physics"."""
    _check(text, r"--[a-z][a-z-]*(=[ -~]+)?", "an option of sbatch, e.g. --account=physics")
    return text


def driver(text: str) -> str:
    """The version of NVIDIA's driver: "550" or "550.54.15"."""
    _check(text, r"[1-9][0-9]{2,3}(\.[0-9]{1,4}){0,2}", "a driver's version, e.g. 550 or 550.54.15")
    return text


def capabilities(text: str) -> tuple[tuple[int, int], ...]:
    """Compute capabilities of GPUs: ((8, 0), (9, 0)) for "8.0,9.0"."""
    pattern = r"[1-9][0-9]?\.[0-9]"
    expected = "compute capabilities and commas, e.g. 8.0 or 7.0,9.0"
    _check(text, f"{pattern}(,{pattern})*", expected)
    pairs = (word.split(".") for word in text.split(","))
    return tuple((int(major), int(minor)) for major, minor in pairs)


def variable(text: str) -> str:
    """An environment variable for workers: "NAME=VALUE"; none that an option sets."""
    _check(text, r"(?s)[A-Za-z_][A-Za-z0-9_]*=[^\0]*", "NAME=VALUE, e.g. XLA_FLAGS=--xla_dump_to=D")
    name = text.partition("=")[0]
    if name in FROM_OPTIONS:
        raise argparse.ArgumentTypeError(f"{name} is set by {FROM_OPTIONS[name]}")
    return text


def override(text: str) -> tuple[str, Path]:
    """An environment and its interpreter: "torch=/path/to/python"."""
    _check(text, "[^=]*=.+", "ENVIRONMENT=/path/to/python")
    environment, _, path = text.partition("=")
    return environment, Path(path)
