"""Which GPUs CUDA_VISIBLE_DEVICES allows, read as CUDA reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from specs.errors import UserError

_VARIABLE, _ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
_BUS_ORDER = "PCI_BUS_ID"
_NUMBER = re.compile(r"[+-]?\d+")
# Words that hide all GPUs on purpose; Slurm sets the last one for jobs without a GPU.
_HIDES = re.compile(r"|-\d+|none|void|NoDevFiles")


class _Gpu(Protocol):
    """See `bench.machine.nvml.Gpu`."""

    @property
    def index(self) -> int: ...
    @property
    def uuid(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def partition(self) -> str: ...
    @property
    def board(self) -> str: ...
    @property
    def device(self) -> str: ...


_G = TypeVar("_G", bound=_Gpu)


def visible_gpus(gpus: Sequence[_G], variables: Mapping[str, str]) -> tuple[_G, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES allows, in its order.

    The variable's words are numbers, UUIDs, or unique prefixes of UUIDs. CUDA stops at the first
    word that names nothing, and shows nothing if a GPU is named twice. PyTorch reads the variable
    in the same way (`_parse_visible_devices` and `_transform_uuid_to_ordinals` in `torch/cuda`). A
    word for a divided board allows all of its slices.

    Args:
        gpus: the machine's GPUs, by board, in the order of the PCI bus.
        variables: the environment of a process. Without CUDA_VISIBLE_DEVICES all GPUs are allowed.
            Unless CUDA_DEVICE_ORDER is "PCI_BUS_ID", CUDA sorts GPUs of different models by speed,
            and only CUDA knows that order.

    Raises:
        UserError: the words name no GPU, or it is not known which one.
    """
    visible = variables.get(_VARIABLE)
    if visible is None:
        return tuple(gpus)
    words = [word.strip() for word in visible.split(",")]
    if _HIDES.fullmatch(words[0]):
        return ()
    chosen: list[_G] = []
    kind = _kind(words[0])
    for word in words:
        matches = _named(gpus, word) if _kind(word) == kind else []
        if any(gpu in chosen for gpu in matches):
            raise UserError(
                f"{_VARIABLE}={visible} names a GPU twice, so CUDA shows none",
                expected="each GPU once",
            )
        if not matches:
            break
        chosen += matches
    if not chosen:
        known = ", ".join(map(_said, gpus)) or "none: the driver reports no GPU"
        raise UserError(
            f"{_VARIABLE}={visible} names no GPU of this machine",
            expected=f"numbers or UUIDs of {known}",
            hint=f"`nvidia-smi -L` lists them; unset {_VARIABLE}, or --device cpu",
        )
    if kind == "number" and variables.get(_ORDER) != _BUS_ORDER:
        _require_one_model(gpus, chosen, visible)
    return tuple(chosen)


def _kind(word: str) -> str:
    """The kind of a word; the first word's kind decides how CUDA reads the others."""
    return "number" if _NUMBER.match(word) else word[:4]  # "GPU-", "MIG-"


def _named(gpus: Sequence[_G], word: str) -> list[_G]:
    """The GPU or the slices that a word names; empty if it names none, or more than one board."""
    number = _NUMBER.match(word)
    if number:  # CUDA reads "1gpu" as 1
        return [gpu for gpu in gpus if gpu.index == int(number[0])]
    by_uuid: dict[str, list[_G]] = {}
    for gpu in gpus:
        for uuid in filter(None, (gpu.uuid, gpu.board)):
            by_uuid.setdefault(uuid, []).append(gpu)
    matches = [group for uuid, group in by_uuid.items() if word and uuid.startswith(word)]
    return matches[0] if len(matches) == 1 else []


def _require_one_model(gpus: Sequence[_G], chosen: Sequence[_G], visible: str) -> None:
    """Refuse numbers among boards of several models, unless they name all boards.

    Raises:
        UserError: see above.
    """
    models = {gpu.name.removesuffix(f" MIG {gpu.partition}") for gpu in gpus}
    if len(models) > 1 and len(chosen) < len(gpus):
        raise UserError(
            f"{_VARIABLE}={visible}: CUDA numbers GPUs of different models by their speed",
            expected=f"UUIDs, one or more of {', '.join(map(_said, gpus))}",
            hint=f"or set {_ORDER}={_BUS_ORDER} for the numbers of nvidia-smi",
        )


def _said(gpu: _Gpu) -> str:
    return f"{gpu.uuid} ({gpu.device}, {gpu.name})"
