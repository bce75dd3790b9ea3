"""The only module that reads energy counters: the joules of a phase, or why they are unknown.

The hardware counts energy; the counters are read at the start and at the end of a phase.

- CPUs: RAPL, the sum of all packages of the machine. It includes everything else that runs on the
  machine, and does not include the memory (DRAM).
- NVIDIA GPUs: NVML's total of the whole board.

The worker reads the counters where it reads its clocks. For NVML it needs `pynvml` (nvidia-ml-py,
one Python file), which is in the environments for CUDA. If the parent read the counters, every
phase would include the time of a message to the parent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from backends.contract import kind_of, nodes_of

_POWERCAP = Path("/sys/class/powercap")
# A package of an Intel or AMD CPU. Other zones would count twice: "intel-rapl:0:1" is a part of
# package 0, and "intel-rapl-mmio:0" is package 0 again.
_TOP_ZONE = re.compile(r"intel-rapl:\d+")
# The beginning of the name of a zone that is a package or a die. The zone "psys" is the whole
# platform, packages included.
_PACKAGE = "package-"
# If a counter does not move in a window of this many steps, it stands still.
_STEPS = 50
# "approximately every millisecond" (Intel, Software Developer's Manual, vol. 3B, RAPL)
_RAPL_STEP_SECONDS = 0.001
# The longest known step: GPUs differ between about 20 and 100 ms, and NVIDIA does not document it.
_NVML_STEP_SECONDS = 0.1
# No package uses more for long: the largest packages today are specified for 500 W.
_MOST_WATTS = 600.0
_ALLOW = (
    "an administrator can allow it until the next start:"
    f" `chmod a+r {_POWERCAP}/intel-rapl:*/energy_uj`"
)


class Counter(Struct, frozen=True, kw_only=True):
    """The counter that measured a job's energy.

    Attributes:
        name: the counter's name; "" if there is no counter.
        reason: why there is no counter; "" if there is one.
        step_seconds: the longest time between two steps of its register. Each reading misses the
            energy since the last step. None in records of earlier versions, which left out windows
            of fewer than 50 steps.
    """

    name: str = ""
    reason: str = ""
    step_seconds: float | None = None


class Zone(Struct, frozen=True, kw_only=True):
    """One register of a counter.

    Attributes:
        joules: a function that reads the register; it may raise OSError or ValueError.
        range_joules: the register restarts at 0 after this many joules; None if it never restarts,
            or if the range is unknown.
    """

    joules: Callable[[], float]
    range_joules: float | None = None


class Meter(Struct, frozen=True, kw_only=True):
    """A counter and its zones, whose energies are added.

    A meter without zones measures nothing.
    """

    counter: Counter
    zones: tuple[Zone, ...] = ()

    def read(self) -> tuple[float, ...] | None:
        """The current value of every zone in joules; None if one of the zones cannot be read.

        A sum without one zone would look like the energy of all zones.
        """
        try:
            return tuple(zone.joules() for zone in self.zones)
        except (OSError, ValueError):
            return None

    def used(
        self, before: tuple[float, ...] | None, after: tuple[float, ...] | None, seconds: float
    ) -> tuple[float | None, str]:
        """The energy between two readings: joules and "", or None and the reason.

        If there is no counter, the reason is "", as `Counter.reason` contains it. Short windows
        have their joules, too: the report adds windows, and says how large the error of a sum is.

        Args:
            before: the result of `read` at the start.
            after: the result of `read` at the end.
            seconds: the time between the two readings.
        """
        if not self.zones:
            return None, ""
        if before is None or after is None:
            return None, "the counter could not be read"
        step = self.counter.step_seconds or 0.0
        parts = [
            _used(*ends, seconds, step) for ends in zip(self.zones, before, after, strict=True)
        ]
        reason = next((part for part in parts if isinstance(part, str)), "")
        if reason:
            return None, reason
        return sum(part for part in parts if not isinstance(part, str)), ""


NOTHING = Meter(counter=Counter(reason="not measured"))


def meters(device: str, gpus: Sequence[str], powercap: Path = _POWERCAP) -> tuple[Meter, Meter]:
    """Two meters: of a job's device, and of the CPUs that feed the device.

    For a CPU job the second is `NOTHING`.

    Args:
        device: see `backends.contract.Job`.
        gpus: the UUIDs of the job's NVIDIA GPUs or slices, one for each rank.
        powercap: the folder where Linux shows RAPL.
    """
    if nodes_of(device) > 1:
        elsewhere = _none("the energy of the other nodes is not measured")
        return elsewhere, NOTHING if kind_of(device) == "cpu" else elsewhere
    cpus = _rapl(powercap)
    if kind_of(device) == "cpu":
        return cpus, NOTHING
    if gpus:
        return _nvml(gpus), cpus
    return _none(f"no counter of {device} is known"), cpus


def _used(zone: Zone, before: float, after: float, seconds: float, step: float) -> float | str:
    """The joules that one zone counted, or the reason why they are unknown.

    `step` is the longest time between two steps of the counter, in seconds.
    """
    joules = after - before
    if zone.range_joules is not None and seconds * _MOST_WATTS >= zone.range_joules:
        longest = zone.range_joules / _MOST_WATTS
        return f"too long for this counter, which may restart more than once in {longest:.0f} s"
    if joules < 0:
        if zone.range_joules is None:
            return "the counter went backwards"
        joules += zone.range_joules
    if joules <= 0 and seconds >= _STEPS * step:
        return "the counter did not move"
    # More joules than possible: the counter was reset before it reached its range.
    if zone.range_joules is not None and joules > (seconds + step) * _MOST_WATTS:
        return f"the counter jumped: more than {_MOST_WATTS:g} W"
    return joules


def _rapl(powercap: Path) -> Meter:
    """The meter of this machine's CPU packages; a meter without zones if one cannot be read."""
    try:
        zones = sorted(path for path in powercap.glob("*") if _TOP_ZONE.fullmatch(path.name))
        names = {path: (path / "name").read_text(encoding="ascii").strip() for path in zones}
        packages = {path: name for path, name in names.items() if name.startswith(_PACKAGE)}
        if not packages:
            return _none(f"no RAPL under `{_POWERCAP}`")
        for path in packages:
            _microjoules(path / "energy_uj")
    except PermissionError:
        return _none(f"since Linux 5.10 only the administrator may read RAPL; {_ALLOW}")
    except (OSError, ValueError) as error:
        return _none(f"RAPL cannot be read: {error}")
    return Meter(
        counter=Counter(
            name=f"RAPL: {', '.join(sorted(packages.values()))}",
            step_seconds=_RAPL_STEP_SECONDS,
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


def _nvml(uuids: Sequence[str]) -> Meter:
    """The meter of the boards of some GPUs.

    NVML counts from the loading of the driver, on GPUs from Volta on (NVML API reference).
    """
    if any(uuid.startswith("MIG-") for uuid in uuids):
        return _none("not told for a slice of a GPU (MIG): NVML counts the whole board")
    try:
        import pynvml  # only environments for CUDA have it
    except ImportError:
        hint = "`python -m pip install nvidia-ml-py` with the worker's interpreter"
        return _none(f"the worker's environment has no pynvml; {hint}")

    def joules(handle: object) -> float:
        try:  # NVML returns millijoules
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
        except Exception as error:  # whatever a driver answers, the job goes on
            raise OSError(str(error)) from error

    try:
        pynvml.nvmlInit()
        zones = [
            Zone(joules=partial(joules, pynvml.nvmlDeviceGetHandleByUUID(uuid))) for uuid in uuids
        ]
        for zone in zones:
            zone.joules()
    except Exception as error:  # noqa: BLE001 - as above
        return _none(f"NVML reports no energy of this GPU: {error} (GPUs from Volta on do)")
    boards = "the whole GPU board" if len(uuids) == 1 else f"the whole boards of {len(uuids)} GPUs"
    return Meter(
        counter=Counter(name=f"NVML: {boards}", step_seconds=_NVML_STEP_SECONDS),
        zones=tuple(zones),
    )


def _none(reason: str) -> Meter:
    """A meter that measures nothing, with the reason."""
    return Meter(counter=Counter(reason=reason))
