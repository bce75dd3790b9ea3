"""Makes the two MPI libraries that CNTK is linked with, as current systems do not have them.

CNTK calls MPI only if it trains on several machines. So libraries are enough that have all names
and end the process, with a sentence, when one of their functions is called. They are compiled into
CNTK's own folder of libraries, where CNTK looks first. Nothing is made if CNTK can be imported.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from specs.errors import UserError

_FOLDER = "import importlib.util as u; print(u.find_spec('cntk').submodule_search_locations[0])"
_IMPORT = "import warnings; warnings.simplefilter('ignore'); import cntk"
_MPI, _MPI_CXX = "libmpi.so.12", "libmpi_cxx.so.1"
# What CNTK needs of MPI begins with one of these: C, Open MPI's own names, and mangled C++.
_PREFIXES = ("MPI_", "ompi_", "_ZN3MPI", "_ZNK3MPI", "_ZTVN3MPI", "_ZTIN3MPI", "_ZTSN3MPI")
_DATA = "ompi_mpi_"  # these are structures, of at most some hundred bytes each
_FUNCTION = "ompi_mpi_cxx_op_intercept"  # this one is not
_HEAD = r"""
#include <stdio.h>
#include <stdlib.h>
static void refuse(const char *name) {
    fprintf(stderr, "CNTK called %s, and this machine has no MPI: train on one machine\n", name);
    abort();
}
"""


def provide(python: Path, run: Callable[[Sequence[str]], str]) -> None:
    """Make the libraries, unless the environment can import CNTK without them.

    Args:
        python: the interpreter of an environment with CNTK.
        run: runs a command and returns what it prints; raises `UserError` if it fails.

    Raises:
        UserError: there is no C compiler, or CNTK cannot be imported with the libraries.
    """
    try:
        run([str(python), "-I", "-c", _IMPORT])
    except UserError:
        libraries = Path(run([str(python), "-I", "-c", _FOLDER]).strip()) / "libs"
        _compile(libraries, run)
        run([str(python), "-I", "-c", _IMPORT])


def source(symbols: Sequence[str]) -> str:
    """The library's code in C, for the names that CNTK needs."""
    return "\n".join([_HEAD, *map(_define, symbols), ""])


def _define(name: str) -> str:
    if name.startswith(_DATA) and name != _FUNCTION:
        return f"char {name}[4096];"
    if name == "MPI_Initialized":  # CNTK asks it when it ends
        return f"int {name}(int *found) {{ *found = 0; return 0; }}"
    return f'int {name}(void) {{ refuse("{name}"); return 1; }}'


def _compile(libraries: Path, run: Callable[[Sequence[str]], str]) -> None:
    compiler, nm = shutil.which("gcc") or shutil.which("cc"), shutil.which("nm")
    if compiler is None or nm is None:
        raise UserError(
            f"cntk: this machine has no {_MPI} and {_MPI_CXX}, which CNTK is linked with, and no C"
            " compiler to make libraries that stand in for them",
            hint="install gcc (apt-get install gcc), then: bench environment create cntk",
        )
    files = sorted(map(str, libraries.glob("*Cntk.*.so")))
    lines = run([nm, "-D", "--undefined-only", *files]).splitlines()
    names = {line.split()[-1].partition("@")[0] for line in lines if line.strip()}
    symbols = sorted(name for name in names if name.startswith(_PREFIXES))
    with tempfile.TemporaryDirectory() as folder:
        for library, code in ((_MPI, source(symbols)), (_MPI_CXX, "")):
            file = Path(folder) / "mpi.c"
            file.write_text(code, encoding="ascii")
            options = ["-w", "-shared", "-fPIC", f"-Wl,-soname,{library}"]
            run([compiler, *options, "-o", str(libraries / library), str(file)])
