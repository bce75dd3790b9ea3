"""What decides which builds for NVIDIA GPUs run on a machine: driver, GPUs and processor."""

from __future__ import annotations

import platform
from typing import NamedTuple

from backends.family import Capability, CudaBuild
from bench.machine.nvml import ask, can_ask


class Hardware(NamedTuple):
    """The machines that an environment for NVIDIA GPUs is for.

    Attributes:
        driver: the version of NVIDIA's driver: "580.65.06", or only "580".
        capabilities: the compute capabilities of the GPUs, each once.
        processor: as `platform.machine` names it.
        system: as `platform.system` names it.
    """

    driver: str
    capabilities: tuple[Capability, ...]
    processor: str
    system: str

    def __str__(self) -> str:
        capabilities = ", ".join(f"{major}.{minor}" for major, minor in self.capabilities)
        return (
            f"{self.system} on {self.processor}, driver {self.driver}, compute capability"
            f" {capabilities}"
        )

    def misfit(self, build: CudaBuild) -> str:
        """Why a build does not run on these machines, as "needs ..." or the like; "" if it does."""
        if self.system != "Linux" or self.processor not in build.lowest:
            return f"is for Linux on {' or '.join(build.lowest)}"
        if int(self.driver.partition(".")[0]) < build.minimum_driver:
            return f"needs driver {build.minimum_driver} or newer"
        lowest, highest = build.lowest[self.processor], build.highest
        if min(self.capabilities) < lowest:
            return f"has no code for compute capabilities below {lowest[0]}.{lowest[1]}"
        if highest is not None and max(self.capabilities) > highest:
            return f"does not run on compute capabilities from {highest[0] + 1}.0 on"
        return ""


def this_hardware() -> Hardware | None:
    """What NVML tells of this machine; None without a driver, or if it does not tell."""
    if not can_ask():
        return None
    driver = ask("nvmlSystemGetDriverVersion")
    boards = range(ask("nvmlDeviceGetCount") or 0)
    handles = [ask("nvmlDeviceGetHandleByIndex", board) for board in boards]
    # This process may not use a board without a handle.
    capabilities = {
        ask("nvmlDeviceGetCudaComputeCapability", one) for one in handles if one is not None
    }
    known = {one for one in capabilities if one}
    return of_this_computer(str(driver), known) if driver and known else None


def of_this_computer(driver: str, capabilities: set[Capability]) -> Hardware:
    """Machines with this driver and these GPUs, and with the processor of this one."""
    found = tuple(sorted(capabilities))
    return Hardware(driver, found, platform.machine(), platform.system())
