"""Documents name only what exists, and say of the packages what the rules hold."""

from __future__ import annotations

import ast
import re
from itertools import pairwise

import pytest

from bench.command.parser import make_parser
from bench.records.files import PROJECT
from bench.records.job import Record
from tests.test_rules import LAYERS

DOCUMENTS = [
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md")),
    *sorted((PROJECT / "docs").glob("*.md")),
]
PATH = re.compile(r"(?<![\w/.])((?:bench|backends|specs|tests|docs|contrib)/[\w./*-]*\w)")
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


def test_the_tests_for_reframe_use_commands_and_fields_that_exist():
    """ReFrame itself is too large to be installed for this: it was run by hand."""
    text = (PROJECT / "contrib" / "reframe" / "framework_bench.py").read_text()
    commands = [
        node.value.value.format_map(
            {"workload": "cnn", "suite": "quick", "backends": "pytorch,jax", "device": "cpu"}
            | {"rounds": 3, "baseline": "/kept"}
        )
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and not node.targets[0].id.startswith("_")
    ]
    assert {command.split()[0] for command in commands} == {"run", "export", "verify", "check"}
    for command in commands:
        assert make_parser().parse_args(command.split()).command
    fields = set(re.findall(r"record\[['\"](\w+)", text))
    assert {"status", "reason"} <= fields <= {*Record.__struct_fields__}
