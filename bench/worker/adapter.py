"""An adapter, an engine: the class of that name, imported where a worker runs."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any


def load_class(name: str, package: str = "") -> Any:
    """The class that is named "module:Class".

    Args:
        name: see above.
        package: the folder of its package, where Python does not find it by itself: it is installed
            beside the bench, and not in the environment that this process runs in.

    Raises:
        whatever importing it raises.
    """
    module, _, kind = name.partition(":")
    if package:
        _import_package(module.partition(".")[0], Path(package))
    return getattr(importlib.import_module(module), kind)


def _import_package(name: str, folder: Path) -> None:
    """Import this package, and nothing else that lies beside it: that is made for another Python."""
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
    if name in sys.modules or spec is None or spec.loader is None:
        return
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
