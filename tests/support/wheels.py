"""Wheels that hold next to nothing, in a folder in which pip looks for packages."""

from __future__ import annotations

import zipfile


def write_wheel(folder, name, version, code=""):
    """Write a wheel of a package of one module, with this code; returns its path."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}/__init__.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, content in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(file, content)
    return path


def only_index(folder, monkeypatch):
    """Make a folder the only place in which pip looks for packages; returns it."""
    from bench.runner.installation import SOURCES  # a test runs this file outside of the project

    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in SOURCES:
        monkeypatch.delenv(f"PIP_{name.upper().replace('-', '_')}", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder
