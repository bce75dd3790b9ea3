"""Documents name only what exists, and say of the packages what the rules hold."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from bench.records.files import PROJECT
from tests.test_rules import LAYERS

DOCUMENTS = [
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md")),
    *sorted((PROJECT / "docs").glob("*.md")),
]
PATH = re.compile(r"(?<![\w/.])((?:bench|backends|specs|tests|docs)/[\w./*-]*\w)")
PLACEHOLDER = re.compile(r"NAME|\bYOURS\b")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_that_a_document_names_exists(document):
    named = {name for name in PATH.findall(document.read_text()) if not PLACEHOLDER.search(name)}
    assert [name for name in sorted(named) if not any(PROJECT.glob(name))] == []


def test_the_diagram_of_the_packages_is_the_table_that_the_imports_are_held_to():
    text = (PROJECT / "docs" / "architecture.md").read_text()
    arrows = dict(re.findall(r"^    ([\w& ]+?) --> ([\w& ]+)$", text, re.MULTILINE))
    rows = [" & ".join(name.replace(".", "_") for name in row) for row in reversed(LAYERS)]
    assert arrows == dict(pairwise(rows))
