"""NVIDIA's library as a driver has it, under the real binding: `nvml.c`, and what it answers."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pynvml
import pytest

SOURCE = Path(__file__).with_suffix(".c")
NAME = "libnvidia-ml.so.1"
GIB = 2**30


def build(folder: Path, *, old: bool = False) -> Path:
    """Compile the library into a folder; an old one lacks what drivers before 535 lack."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / NAME
    flags = ["-shared", "-fPIC", f"-Wl,-soname,{NAME}", *(["-DOLD"] * old)]
    subprocess.run([compiler, *flags, "-o", library, SOURCE], check=True)
    return library


def board(number, **changes):
    """The answers about one board, an A100 that tells everything; None: what is not supported."""
    answers = {
        "Handle": "yes",
        "UUID": f"GPU-{number}{number}{number}{number}-board",
        "Name": "NVIDIA A100-SXM4-80GB",
        "MemoryInfo": f"{80 * GIB} {GIB}",  # total, used
        "CudaComputeCapability": "8 0",
        "MigMode": "0 0",
        "Processes": "",
        "MPSProcesses": "",
        "ThrottleReasons": "0",
        "ClockInfo.1": "1410",
        "ClockInfo.2": "1593",
        "MaxClockInfo.1": "1410",
        "MaxClockInfo.2": "1593",
        "Temperature.0": "61",
        "EnforcedPowerLimit": "400000",
        "EccMode": "1 1",
        "TotalEccErrors.0": "12",
        "TotalEccErrors.1": "0",
        "RemappedRows": "2 1",
        "PersistenceMode": "1",
        "ComputeMode": "0",
        "CurrPcieLinkGeneration": "4",
        "CurrPcieLinkWidth": "16",
        "NvLinkState.0": "1",
        "NvLinkState.1": "0",
        "NvLinkState.2": "1",
        "CpuAffinity": "2",
        "TotalEnergyConsumption": "1000000",
    }
    return _lines(str(number), answers, changes)


def part(number, of, profile, **changes):
    """The answers about one slice of a board."""
    answers = {
        "Handle": "yes",
        "UUID": f"MIG-{of}{number}-slice",
        "Name": f"NVIDIA A100-SXM4-80GB MIG {profile}",
        "MemoryInfo": f"{10 * GIB} 0",
        "Processes": "",
        "MPSProcesses": "",
    }
    return _lines(f"{of}.{number}", answers, changes)


def system(count, **changes):
    """The answers about the driver."""
    answers = {"Count": count, "DriverVersion": "580.65.06", "CudaDriverVersion": "13000"}
    return _lines("system", answers, changes)


def _lines(who, answers, changes):
    changed = {name.replace("_", "."): value for name, value in changes.items()}
    return [
        f"{who}.{what} = {value}"
        for what, value in {**answers, **changed}.items()
        if value is not None
    ]


class Driver:
    """A driver under the real binding, in this process."""

    def __init__(self, answers: Path) -> None:
        self.file = answers

    def answer(self, *groups):
        """Answer with these lines from now on."""
        self.file.write_text("".join(f"{line}\n" for lines in groups for line in lines))


def load(library: Path, answers: Path, monkeypatch) -> Driver:
    """Put the library under the binding of this process, until the test ends."""
    monkeypatch.setenv("FAKE_NVML", str(answers))
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(library)))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return Driver(answers)
