"""Lists the GPUs, and asks the driver about one, by NVML (NVIDIA's management library).

No answer of a driver ends a run: a call that fails in any way returns None.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from bench.machine.visible import visible_gpus

_MIG_IS_ON = 1  # NVML_DEVICE_MIG_ENABLE
_WORD_BITS = 64  # NVML returns sets of CPUs as words of 64 bits


class Gpu(Struct, frozen=True, kw_only=True, gc=False):
    """One NVIDIA GPU, or one slice of a GPU that is divided (MIG, Multi-Instance GPU).

    Attributes:
        index: the position of the board among those that this process may use, in the order of the
            PCI bus. It is the number in CUDA_VISIBLE_DEVICES with CUDA_DEVICE_ORDER=PCI_BUS_ID.
        uuid: the UUID of the board or slice; with it in CUDA_VISIBLE_DEVICES, CUDA sees only this
            one.
        name: the model; a slice's name ends with its profile: "NVIDIA A100 MIG 1g.5gb".
        memory_bytes: the size of its memory; None if the driver does not report it.
        driver: the version of the driver; "" if it does not report it.
        partition: the MIG profile of a slice, "1g.5gb"; "" for a whole board.
        part: the driver's number of a slice on its board; None for a whole board.
        board: the UUID of a slice's board; "" for a whole board.
        compute_capability: the version of its instructions, "9.0"; "" if the driver does not report
            it.
    """

    index: int
    uuid: str
    name: str
    memory_bytes: int | None
    driver: str
    partition: str = ""
    part: int | None = None
    board: str = ""
    compute_capability: str = ""

    @property
    def device(self) -> str:
        """The name of the device, see `backends.contract.Job`: "cuda:0", or "cuda:0:1"."""
        return f"cuda:{self.index}" + ("" if self.part is None else f":{self.part}")


def ask(name: str, *arguments: Any) -> Any:
    """The answer of a function of NVML; None if it fails in any way, or does not exist.

    Drivers differ in what they answer, and the binding raises errors of several kinds:
    `NVMLLibraryMismatchError`, for a driver that is older than the binding, is no `NVMLError`.
    """
    try:
        import pynvml  # here, so that `bench --help` stays fast

        return getattr(pynvml, name)(*arguments)
    except Exception:  # noqa: BLE001 - see above
        return None


def can_ask() -> bool:
    """Whether NVML's Python binding is installed, and a driver answers."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 - see `ask`
        return False
    return True


def gpus(variables: Mapping[str, str] | None) -> tuple[Gpu, ...]:
    """The NVIDIA GPUs and slices that this process may use; empty without a driver.

    Of a board in MIG mode only the slices are listed, as CUDA cannot compute on the board itself.

    Args:
        variables: the environment of the process, see `visible_gpus`; None to ignore it.

    Raises:
        UserError: see `visible_gpus`.
    """
    available = [gpu for index, board in enumerate(boards()) for gpu in _gpus_of(index, board)]
    return visible_gpus(available, variables or {})


def boards() -> list[Any]:
    """NVML's handles of the boards that this process may use, in the order of CUDA."""
    count = ask("nvmlDeviceGetCount") if can_ask() else None
    # NVML also counts the boards that this process may not use, and CUDA does not.
    handles = [ask("nvmlDeviceGetHandleByIndex", number) for number in range(count or 0)]
    return [handle for handle in handles if handle is not None]


def _gpus_of(index: int, board: Any) -> Iterator[Gpu]:
    """Yield the slices of a board in MIG mode, or else the board itself."""
    uuid, name = ask("nvmlDeviceGetUUID", board), ask("nvmlDeviceGetName", board)
    whole = Gpu(
        index=index,
        uuid=uuid or "",
        name=name or "unnamed NVIDIA GPU",
        memory_bytes=_memory_bytes(board),
        driver=ask("nvmlSystemGetDriverVersion") or "",
        compute_capability=_compute_capability(board),
    )
    if (ask("nvmlDeviceGetMigMode", board) or [0])[0] != _MIG_IS_ON:
        if uuid:  # a worker's GPU is chosen by its UUID
            yield whole
        return
    for number in range(ask("nvmlDeviceGetMaxMigDeviceCount", board) or 0):
        part = ask("nvmlDeviceGetMigDeviceHandleByIndex", board, number)  # some are not in use
        if part is not None and (part_uuid := ask("nvmlDeviceGetUUID", part)):
            yield _slice(whole, number, part, part_uuid)


def _slice(board: Gpu, number: int, part: Any, uuid: str) -> Gpu:
    name = ask("nvmlDeviceGetName", part) or ""
    profile = name.rpartition(" MIG ")[2] if " MIG " in name else "of unknown size"
    return Gpu(
        index=board.index,
        uuid=uuid,
        name=f"{board.name} MIG {profile}",
        memory_bytes=_memory_bytes(part),
        driver=board.driver,
        partition=profile,
        part=number,
        board=board.uuid,
        compute_capability=board.compute_capability,
    )


def _memory_bytes(handle: Any) -> int | None:
    memory = ask("nvmlDeviceGetMemoryInfo", handle)  # none where CPU and GPU share the memory
    return None if memory is None else int(memory.total)


def _compute_capability(handle: Any) -> str:
    return ".".join(map(str, ask("nvmlDeviceGetCudaComputeCapability", handle) or ()))


class OpenGpu:
    """A handle of a GPU or slice, to ask the driver about it."""

    def __init__(self, uuid: str) -> None:
        self._gpu = ask("nvmlDeviceGetHandleByUUID", uuid) if can_ask() else None
        is_slice = self._gpu is not None and uuid.startswith("MIG-")
        name = "nvmlDeviceGetDeviceHandleFromMigDeviceHandle"
        self._board = ask(name, self._gpu) if is_slice else self._gpu

    @property
    def is_open(self) -> bool:
        """Whether the driver knows the GPU, and this process may use it."""
        return self._gpu is not None

    def ask(self, name: str, *arguments: Any) -> Any:
        """The answer of a function of NVML on this GPU or slice; None if there is none."""
        return None if self._gpu is None else ask(name, self._gpu, *arguments)

    def ask_board(self, name: str, *arguments: Any) -> Any:
        """The answer for the whole board, as a slice has no clock or power of its own."""
        return None if self._board is None else ask(name, self._board, *arguments)


def cpus_near(uuid: str, cpus: int) -> list[int]:
    """The numbers of the CPUs nearest to a GPU; empty if the driver does not report them.

    Args:
        uuid: of the GPU or slice.
        cpus: only CPUs with a lower number are returned.
    """
    words = OpenGpu(uuid).ask_board("nvmlDeviceGetCpuAffinity", -(-cpus // _WORD_BITS))
    bits = sum(word << _WORD_BITS * number for number, word in enumerate(words or ()))
    return [cpu for cpu in range(cpus) if bits >> cpu & 1]
