"""The key of a record: a hash of everything that decides it, including the code that runs."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from backends.contract import Job
from backends.registry import package_of
from bench.records.files import PROJECT

# The name of a record's file, without its ending. It may come from a file that somebody else wrote,
# and decides where a copy is written. So it must not be a path or the name of a hidden file, and it
# must be shorter than 255 bytes, the limit of a file's name.
Key = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]*\Z", max_length=200)]
_DIGITS, _KEY_DIGITS = 16, 12
_OURS = ("backends", "bench", "specs")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def checksum_of(*names: str) -> str:
    """The checksum of the code of some modules and of their imports.

    It covers every module of this project, or of their own package, that they import directly or
    indirectly. It is computed from the syntax trees, so comments, layout, docstrings and the texts
    of errors that are raised do not change it; everything else does.

    Args:
        names: modules, each as "package.module" or "package.module:Class".

    Raises:
        UnknownBackendError: there is no package of that name.
    """
    code_of: dict[str, str] = {}
    roots = {*_OURS, *(name.partition(".")[0] for name in names)}
    to_read = [name.partition(":")[0] for name in names]
    while to_read:
        module = to_read.pop()
        if module in code_of or module.partition(".")[0] not in roots:
            continue
        path = _file_of(module)
        if path is None:  # `from package import name`, where the name is not a module
            continue
        code, imported = _read(path.read_text(encoding="utf-8-sig"))
        code_of[module] = code
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        to_read += [_absolute(name, package) for name in imported]
        if parent := module.rpartition(".")[0]:  # Python imports the packages above a module first
            to_read.append(parent)
    digest = _digest(*(part for module in sorted(code_of) for part in (module, code_of[module])))
    return digest[:_DIGITS]


def job_key(job: Job, *decisive: object) -> str:
    """The key of a job's record; it changes with everything that decides the record.

    Args:
        job: the job.
        decisive: the data's checksum, the versions, the code, the machine, what is evaluated.
    """
    names = (
        *(job.workload.name, job.backend, job.device, *unusual(job.precision)),
        *(f"s{job.seed}", f"r{job.round}"),
    )
    return make_key(names, (msgspec.json.encode(job, order="sorted"), *decisive))


def unusual(precision: str) -> tuple[str, ...]:
    """The precision as a part of a key's names; empty for float32."""
    return () if precision == "float32" else (precision,)


def make_key(names: Sequence[str], decisive: tuple[object, ...]) -> str:
    """The key of a record: names, and a digest of what decides the record.

    Args:
        names: the readable part; colons and slashes, as in "spark://HOST:7077", are left out.
        decisive: values whose `repr` differs if the record would differ.
    """
    digest = hashlib.sha256(repr(decisive).encode()).hexdigest()[:_KEY_DIGITS]
    return ".".join([*names, digest]).replace(":", "").replace("/", "")


def _file_of(module: str) -> Path | None:
    package, _, rest = module.partition(".")
    folder = Path(package_of(module) or PROJECT / package)
    path = folder.joinpath(*rest.split(".")) if rest else folder
    files = (path.with_suffix(".py"), path / "__init__.py") if rest else (path / "__init__.py",)
    return next((file for file in files if file.is_file()), None)


def _absolute(name: str, package: str) -> str:
    """The full name of a module; `name` may be relative to `package`: ".device", "..contract"."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    above = package.split(".")[: len(package.split(".")) + 1 - level]
    return ".".join([*above, *filter(None, [name.lstrip(".")])])


@cache
def _read(text: str) -> tuple[str, tuple[str, ...]]:
    """A digest of a module's code, and the modules that it may import, in any form of import."""
    tree = ast.parse(text)
    imported: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            joint = "" if origin.endswith(".") else "."
            imported += [origin, *(f"{origin}{joint}{alias.name}" for alias in node.names)]
    return _digest(*_parts(_without_words(tree))), tuple(imported)


def _without_words(tree: ast.Module) -> ast.Module:
    """A module without its docstrings and without the text of the errors that it raises."""
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
        if isinstance(node, ast.Raise):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    part.value = ""
    return tree


def _parts(node: object) -> Iterator[str]:
    """Yield a syntax tree as words; empty fields are left out, as a new Python may add some."""
    if isinstance(node, ast.AST):
        yield type(node).__name__
        for name, value in ast.iter_fields(node):
            if value is not None and value != []:
                yield name
                yield from _parts(value)
        yield ")"  # without it, an `else` could belong to either of two nested `if`s
    elif isinstance(node, list):
        yield str(len(node))
        for item in node:
            yield from _parts(item)
    else:
        yield repr(node)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
