"""The state of a GPU during a job, by the driver: clocks, power limit, heat, errors, link."""

from __future__ import annotations

from statistics import median
from typing import Any

from msgspec import Struct

from bench.machine.nvml import OpenGpu, ask

# The bits of NVML's reasons for a clock, `nvmlClocksEventReason…`.
_IDLE, _POWER_LIMIT = 0x1, 0x4
_REASONS = {
    0x2: "clocks set by the user",
    _POWER_LIMIT: "power limit",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
    0x100: "display clock",
}
# Heat, or lack of power. The power limit is not included, as GPUs usually run at it.
_THROTTLING = 0x8 | 0x20 | 0x40 | 0x80
_SM, _MEMORY = 1, 2  # NVML_CLOCK_SM, NVML_CLOCK_MEM
_CORRECTED, _UNCORRECTED, _SINCE_BOOT = 0, 1, 0  # NVML_MEMORY_ERROR_TYPE_…, NVML_VOLATILE_ECC
_MOST_NVLINKS, _ACTIVE = 36, 1  # NVML_NVLINK_MAX_LINKS, NVML_FEATURE_ENABLED
_COMPUTE_MODES = {0: "default", 2: "prohibited", 3: "exclusive process"}  # NVML_COMPUTEMODE_…


class GpuState(Struct, frozen=True, kw_only=True, gc=False):
    """The state of a job's GPU; a figure that the driver does not tell is None.

    A slice (MIG) has the state of its board.

    Attributes:
        uuid: of the GPU or slice.
        cuda: the newest version of CUDA that the driver supports, "13.0".
        power_limit_watts: the limit that is enforced.
        power_limited: the share of the samples under load (0..1) in which the power limit lowered
            the clock.
        reasons: what lowered its clocks in any sample.
        sm_mhz, memory_mhz: the clocks of the processors and of the memory under load, median.
        most_sm_mhz, most_memory_mhz: the highest clocks of the model.
        temperature_celsius: the highest temperature.
        ecc: whether the memory corrects errors.
        corrected_errors, uncorrected_errors: of the memory since the driver was loaded.
        remapped_rows: rows of the memory that were replaced, because of errors.
        persistent: whether the driver stays loaded while nothing uses the GPU.
        compute_mode: who may use it; "default": any number of processes.
        pcie_generation, pcie_width: the highest values of its link, as an idle link is slower.
        nvlinks: how many of its NVLinks are active, each to another GPU or to a switch; None also
            if it has no NVLink.
    """

    uuid: str
    cuda: str | None = None
    power_limit_watts: float | None = None
    power_limited: float | None = None
    reasons: tuple[str, ...] = ()
    sm_mhz: float | None = None
    most_sm_mhz: int | None = None
    memory_mhz: float | None = None
    most_memory_mhz: int | None = None
    temperature_celsius: int | None = None
    ecc: bool | None = None
    corrected_errors: int | None = None
    uncorrected_errors: int | None = None
    remapped_rows: int | None = None
    persistent: bool | None = None
    compute_mode: str | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    nvlinks: int | None = None


class StateWatch:
    """Samples the clocks, the temperature and the link of one GPU during a job."""

    def __init__(self, uuid: str, gpu: OpenGpu) -> None:
        self._uuid, self._gpu = uuid, gpu
        self._reasons: list[int] = []
        self._samples: list[tuple[int, dict[str, int | None]]] = []

    def sample(self) -> None:
        """Read the driver's figures."""
        gpu = self._gpu
        # Drivers before 535 know only the second name; newer ones may drop it.
        reasons = gpu.ask_board("nvmlDeviceGetCurrentClocksEventReasons")
        if reasons is None:
            reasons = gpu.ask_board("nvmlDeviceGetCurrentClocksThrottleReasons")
        if reasons is not None:
            self._reasons.append(reasons)
        figures = {
            "sm": gpu.ask_board("nvmlDeviceGetClockInfo", _SM),
            "memory": gpu.ask_board("nvmlDeviceGetClockInfo", _MEMORY),
            "temperature": _temperature(gpu),
            "generation": gpu.ask_board("nvmlDeviceGetCurrPcieLinkGeneration"),
            "width": gpu.ask_board("nvmlDeviceGetCurrPcieLinkWidth"),
        }
        self._samples.append((reasons or 0, figures))

    @property
    def throttled(self) -> bool | None:
        """Whether heat or lack of power slowed the GPU down; None if unknown."""
        return any(bits & _THROTTLING for bits in self._reasons) if self._reasons else None

    @property
    def clock(self) -> float | None:
        """The clock under load: the median of the samples divided by their maximum.

        Samples in which the power limit lowered the clock do not count, as GPUs usually run at it.
        """
        clocks = self._all("sm", without=_IDLE | _POWER_LIMIT)
        return median(clocks) / max(clocks) if any(clocks) else None

    @property
    def state(self) -> GpuState | None:
        """The state of the GPU; None without a driver."""
        gpu = self._gpu
        if not gpu.is_open:
            return None
        under_load = [bits for bits in self._reasons if not bits & _IDLE]
        limited = sum(bool(bits & _POWER_LIMIT) for bits in under_load)
        limit = gpu.ask_board("nvmlDeviceGetEnforcedPowerLimit")  # milliwatts
        return GpuState(
            uuid=self._uuid,
            cuda=cuda_version(),
            power_limit_watts=None if limit is None else limit / 1e3,
            power_limited=limited / len(under_load) if under_load else None,
            reasons=tuple(
                name for bit, name in _REASONS.items() if any(bits & bit for bits in self._reasons)
            ),
            sm_mhz=_median(self._all("sm", without=_IDLE)),
            most_sm_mhz=gpu.ask_board("nvmlDeviceGetMaxClockInfo", _SM),
            memory_mhz=_median(self._all("memory", without=_IDLE)),
            most_memory_mhz=gpu.ask_board("nvmlDeviceGetMaxClockInfo", _MEMORY),
            temperature_celsius=_highest(self._all("temperature")),
            ecc=_truth(_first(gpu, "nvmlDeviceGetEccMode")),
            corrected_errors=gpu.ask_board("nvmlDeviceGetTotalEccErrors", _CORRECTED, _SINCE_BOOT),
            uncorrected_errors=gpu.ask_board(
                "nvmlDeviceGetTotalEccErrors", _UNCORRECTED, _SINCE_BOOT
            ),
            remapped_rows=_remapped_rows(gpu),
            persistent=_truth(gpu.ask_board("nvmlDeviceGetPersistenceMode")),
            compute_mode=_COMPUTE_MODES.get(gpu.ask_board("nvmlDeviceGetComputeMode")),
            pcie_generation=_highest(self._all("generation")),
            pcie_width=_highest(self._all("width")),
            nvlinks=_active_nvlinks(gpu),
        )

    def _all(self, figure: str, without: int = 0) -> list[int]:
        """The known values of a figure in the samples that have none of these reasons."""
        values = [figures[figure] for reasons, figures in self._samples if not reasons & without]
        return [value for value in values if value is not None]


def _median(values: list[int]) -> float | None:
    return float(median(values)) if values else None


def _highest(values: list[int]) -> int | None:
    return max(values) if values else None


def _truth(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _first(gpu: OpenGpu, name: str) -> Any:
    """The first value of an answer: the present value; the second one is valid after a restart."""
    return (gpu.ask_board(name) or [None])[0]


def _temperature(gpu: OpenGpu) -> int | None:
    sensor = 0  # NVML_TEMPERATURE_GPU
    # Older drivers know only the second name; newer ones may drop it.
    celsius = gpu.ask_board("nvmlDeviceGetTemperatureV", sensor)
    celsius = gpu.ask_board("nvmlDeviceGetTemperature", sensor) if celsius is None else celsius
    return None if celsius is None else int(celsius)


def _remapped_rows(gpu: OpenGpu) -> int | None:
    """The rows that were replaced after correctable and after uncorrectable errors."""
    rows = gpu.ask_board("nvmlDeviceGetRemappedRows")
    return None if rows is None else rows[0] + rows[1]


def _active_nvlinks(gpu: OpenGpu) -> int | None:
    links = [gpu.ask_board("nvmlDeviceGetNvLinkState", link) for link in range(_MOST_NVLINKS)]
    known = [link for link in links if link is not None]
    return known.count(_ACTIVE) if known else None


def cuda_version() -> str | None:
    """The newest version of CUDA that the driver supports, "13.0"; None if it does not tell."""
    version = ask("nvmlSystemGetCudaDriverVersion_v2")  # 12040 is 12.4
    return None if version is None else f"{version // 1000}.{version % 1000 // 10}"
