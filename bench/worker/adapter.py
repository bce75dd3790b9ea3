"""Loads the class of an adapter or an engine in the process of a worker."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from backends.contract import Job
from bench.worker.assignment import Assignment
from bench.worker.start import import_package


def load_adapter(assignment: Assignment) -> Callable[[Job], Any]:
    """Import the assignment's adapter or engine; returns the function that makes it from a job.

    Raises:
        Exception: whatever the import raises.
    """
    kind: Callable[..., Any] = load_class(assignment.adapter, assignment.package)
    if assignment.framework_python:
        return partial(kind, python=assignment.framework_python)
    return kind


def load_class(name: str, package: str = "") -> Any:
    """Import and return a class.

    Args:
        name: "module:Class".
        package: the folder of the class's package, if Python does not find the package by itself:
            it may be installed in the bench's environment and not in the worker's. "" if Python
            finds it.

    Raises:
        Exception: whatever the import raises.
    """
    module, _, kind = name.partition(":")
    if package:
        import_package(module.partition(".")[0], Path(package))
    return getattr(importlib.import_module(module), kind)
