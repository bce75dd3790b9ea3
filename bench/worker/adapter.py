"""Loads the class of an adapter or an engine in the process of a worker."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any


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
        _import_package(module.partition(".")[0], Path(package))
    return getattr(importlib.import_module(module), kind)


def _import_package(name: str, folder: Path) -> None:
    """Import one package from its folder.

    The folder above is not put on the path: the other packages there are for another Python.
    """
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
    if name in sys.modules or spec is None or spec.loader is None:
        return
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
