"""The only reader of energy counters: what a phase took in joules between its two syncs, or why there is no figure.

Counters that the hardware sums up itself are read, and only at a phase's two ends: never samples of
power, and nothing outside the window. CPUs: RAPL, all packages of the machine, so that whatever
else runs on it counts too; memory (DRAM) is not in it. NVIDIA GPUs: NVML's total of the whole
board. The worker reads both, where its clocks are read; for NVML it needs `pynvml` (nvidia-ml-py,
one plain Python file), which our environments for CUDA have. Reading in the parent would save that,
but put the time that its message takes into every window.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

_POWERCAP = Path("/sys/class/powercap")
# A package of Intel's or AMD's. "intel-rapl:0:1" is a part of package 0, "intel-rapl-mmio:0" is
# package 0 once more.
_TOP_ZONE = re.compile(r"intel-rapl:\d+")
_PACKAGE = "package-"  # how a package's zone is named, or a die's; "psys" is the whole platform, packages included
# A counter is a staircase: either end of a window may miss what was used since the last step, at
# most one step's worth in all. Of a window of 50 steps that is 2 %.
_STEPS = 50
_RAPL_STEP_SECONDS = (
    0.001  # "approximately every millisecond" (Intel, Software Developer's Manual, vol. 3B, RAPL)
)
# Between about 20 and 100 ms, as GPUs differ and NVIDIA does not say: the longest.
_NVML_STEP_SECONDS = 0.1
# What no package keeps up: the largest of today are specified for 500 W.
_MOST_WATTS = 600.0
_ALLOW = f"an administrator can allow it until the next start: `chmod a+r {_POWERCAP}/intel-rapl:*/energy_uj`"


class Counter(Struct, frozen=True, kw_only=True):
    """Which counter measured a job's energy: `name`, or "" and the reason why none did.

    Attributes:
        window_seconds: of a shorter window the counter's error may exceed 2 %, and it has no
            figure.
    """

    name: str = ""
    reason: str = ""
    window_seconds: float = 0.0


class Zone(Struct, frozen=True, kw_only=True):
    """One register of a counter.

    Attributes:
        joules: reads it; may raise OSError or ValueError.
        range_joules: after so many it begins again at 0; None where it does not, or nobody knows
            where.
    """

    joules: Callable[[], float]
    range_joules: float | None = None


class Meter(Struct, frozen=True, kw_only=True):
    """A counter with its zones, which are added; without a zone it measures nothing."""

    counter: Counter
    zones: tuple[Zone, ...] = ()

    def read(self) -> tuple[float, ...] | None:
        """Every zone as it is now, in joules; None where one cannot be read, as a part would pass for the whole."""
        try:
            return tuple(zone.joules() for zone in self.zones)
        except (OSError, ValueError):
            return None

    def used(
        self, before: tuple[float, ...] | None, after: tuple[float, ...] | None, seconds: float
    ) -> tuple[float | None, str]:
        """What was used between two readings so many seconds apart: joules and "", or None and why.

        Where there is no counter at all the reason is "": the counter itself has it.
        """
        if not self.zones:
            return None, ""
        if seconds < self.counter.window_seconds:
            return (
                None,
                f"too short for this counter, which needs {self.counter.window_seconds:g} s",
            )
        if before is None or after is None:
            return None, "the counter could not be read"
        parts = [_used(*ends, seconds) for ends in zip(self.zones, before, after, strict=True)]
        reason = next((part for part in parts if isinstance(part, str)), "")
        return (
            (None, reason)
            if reason
            else (sum(part for part in parts if not isinstance(part, str)), "")
        )


NOTHING = Meter(counter=Counter(reason="nobody asked"))


def meters(device: str, gpu: str, powercap: Path = _POWERCAP) -> tuple[Meter, Meter]:
    """What measures a job's device, and beside it the CPUs that feed the device; for a CPU job the second is `NOTHING`.

    Args:
        device: see `backends.contract.Job`.
        gpu: the UUID of the job's NVIDIA GPU.
        powercap: where Linux shows RAPL.
    """
    cpus = _rapl(powercap)
    if device == "cpu":
        return cpus, NOTHING
    if gpu:
        return _nvml(gpu), cpus
    return _none(f"no counter of {device} is known"), cpus


def _used(zone: Zone, before: float, after: float, seconds: float) -> float | str:
    """What one zone counted, or why that cannot be known."""
    joules = after - before
    if zone.range_joules is not None and seconds * _MOST_WATTS >= zone.range_joules:
        longest = zone.range_joules / _MOST_WATTS
        return f"too long for this counter, which may begin anew more than once in {longest:.0f} s"
    if joules < 0:
        if zone.range_joules is None:
            return "the counter went backwards"
        joules += zone.range_joules
    if joules <= 0:
        return "the counter did not move"
    if (
        zone.range_joules is not None and joules > seconds * _MOST_WATTS
    ):  # it was set back, and did not come round
        return f"the counter jumped: more than {_MOST_WATTS:g} W"
    return joules


def _rapl(powercap: Path) -> Meter:
    """The packages of this machine: all of them readable, or none is counted."""
    try:
        zones = sorted(path for path in powercap.glob("*") if _TOP_ZONE.fullmatch(path.name))
        names = {path: (path / "name").read_text(encoding="ascii").strip() for path in zones}
        packages = {path: name for path, name in names.items() if name.startswith(_PACKAGE)}
        if not packages:
            return _none(f"no RAPL under `{_POWERCAP}`")
        for path in packages:
            _microjoules(path / "energy_uj")
    except PermissionError:
        return _none(f"RAPL is for the administrator only since Linux 5.10; {_ALLOW}")
    except (OSError, ValueError) as error:
        return _none(f"RAPL cannot be read: {error}")
    return Meter(
        counter=Counter(
            name=f"RAPL: {', '.join(sorted(packages.values()))}",
            window_seconds=_STEPS * _RAPL_STEP_SECONDS,
        ),
        zones=tuple(map(_package, packages)),
    )


def _package(path: Path) -> Zone:
    try:
        range_joules = _microjoules(path / "max_energy_range_uj")
    except (OSError, ValueError):
        range_joules = None
    return Zone(joules=lambda: _microjoules(path / "energy_uj"), range_joules=range_joules)


def _microjoules(path: Path) -> float:
    return int(path.read_text(encoding="ascii")) / 1e6


def _nvml(uuid: str) -> Meter:
    """One GPU's board, since the driver was loaded; GPUs from Volta on count it (NVML API reference)."""
    try:
        import pynvml  # only environments for CUDA have it
    except ImportError:
        hint = "`python -m pip install nvidia-ml-py` with the worker's interpreter"
        return _none(f"the worker's environment has no pynvml; {hint}")

    def joules() -> float:
        try:
            return (
                float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
            )  # it says millijoules
        except pynvml.NVMLError as error:
            raise OSError(str(error)) from error

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        joules()
    except (pynvml.NVMLError, OSError) as error:
        return _none(f"NVML has no energy of this GPU: {error} (from Volta on they count it)")
    return Meter(
        counter=Counter(
            name="NVML: the whole GPU board", window_seconds=_STEPS * _NVML_STEP_SECONDS
        ),
        zones=(Zone(joules=joules),),
    )


def _none(reason: str) -> Meter:
    return Meter(counter=Counter(reason=reason))
