"""The option `--precision`."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import get_args

import pytest

from backends.contract import Precision
from bench.command.arguments import PRECISIONS, precisions


def test_precisions_are_those_of_a_job():
    assert [*get_args(Precision)] == PRECISIONS
    assert precisions("float32,bfloat16,float32") == ("float32", "bfloat16")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("bfloat", "did you mean 'bfloat16'?"),
        ("float32,tf23", "did you mean 'tf32'?"),
        ("fp8", "found 'fp8', expected float32, tf32, bfloat16 and commas"),
        ("float32,", "found ''"),
        ("", "found ''"),
    ],
)
def test_another_word_is_refused_with_the_known_ones_and_the_nearest(text, hint):
    with pytest.raises(ArgumentTypeError) as error:
        precisions(text)
    assert hint in str(error.value)
