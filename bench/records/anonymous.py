"""Makes records anonymous: removes names of machines and users, paths, and UUIDs of GPUs.

A machine becomes `machine-1`, a GPU `GPU-1`, with the same name in all records. Keys depend on the
machine's name, so they are replaced, too. Tracebacks and logs are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from bench.machine.host import Machine
from bench.records.stored import Stored

_Kind = TypeVar("_Kind", bound=Stored)

# Fields without free text: their values are fixed words, times, or names that the bench gives.
_PLAIN = {
    *("status", "key", "started", "ended", "mode", "backend", "precision", "operation", "method"),
    *("name", "model", "check", "workload", "dataset", "environment", "versions", "data", "type"),
}
_HOMES = re.compile(r"(?:/home|/Users|[\\/]Users)[\\/]([^\\/\s'\":,;]+)")
_UUID = re.compile(r"\b(?:GPU|MIG)-[0-9A-Fa-f]{8}[0-9A-Fa-f/-]*")
_QUOTED_PATH = re.compile(r"(['\"`])(?:file:/|~|[A-Za-z]:)?[\\/].*?\1")
_PATH = re.compile(
    r"(?:file:/|(?<![\w/.:])(?:~\w*|[A-Za-z]:)?|(?<=:))[\\/](?![\\/\s])[^\s'\"`,;()<>]*"
)
_SPARK = re.compile(r"spark://.+:(\d+)")


class Neutral:
    """Replaces the machines, GPUs and keys in some records by neutral names.

    Args:
        records: all records that are written together.
        private: names of users and machines; replaced wherever they occur.
    """

    def __init__(self, records: Sequence[Stored], private: Iterable[str] = ()) -> None:
        machines = [record.machine for record in records]
        self._machines = _numbered("machine", (machine.name for machine in machines))
        gpus = [gpu for machine in machines for gpu in machine.gpus]
        uuids = [uuid for gpu in gpus for uuid in (gpu.uuid, gpu.board) if uuid]
        self._gpus = _numbered("GPU", uuids)
        self._keys: dict[str, str] = {}
        for kind in sorted({type(record).__name__.lower() for record in records}):
            keys = (record.key for record in records if type(record).__name__.lower() == kind)
            self._keys |= _numbered(kind, keys)
        text = msgspec.json.encode(records).decode()
        users = {user for user in _HOMES.findall(text) if user}
        hosts = {part for name in self._machines for part in (name, name.partition(".")[0])}
        words = sorted({*hosts, *users, *private} - {""}, key=len, reverse=True)
        alternatives = "|".join(map(re.escape, words)) or "(?!)"
        self._words = re.compile(rf"(?<![^\W_])(?:{alternatives})(?![^\W_])", re.IGNORECASE)

    def record(self, record: _Kind) -> _Kind:
        """The record with neutral names."""
        renamed = replace(record, machine=self.machine(record.machine), key=self._keys[record.key])
        content = msgspec.to_builtins(renamed)
        return msgspec.convert(
            {
                name: value if name == "machine" else self._neutral(name, value)
                for name, value in content.items()
            },
            type(record),
        )

    def machine(self, machine: Machine) -> Machine:
        """The machine with neutral names."""
        gpus = tuple(
            replace(gpu, uuid=self._gpus[gpu.uuid], board=self._gpus.get(gpu.board, ""))
            for gpu in machine.gpus
        )
        system = self.text(machine.system)
        return replace(machine, name=self._machines[machine.name], system=system, gpus=gpus)

    def _neutral(self, name: str, value: Any) -> Any:
        match value:
            case str() if name == "details":
                return ""
            case str() if name == "device":
                return _SPARK.sub(r"spark://cluster:\1", value)
            case str() if name == "uuid":
                return self._gpus.get(value, "GPU")
            case str() if name == "job":
                return self._keys.get(value, "job")
            case str():
                return value if name in _PLAIN else self.text(value)
            case dict() if name in _PLAIN:
                return value
            case dict() if name == "job":
                return {**value, "device": self._neutral("device", value["device"])}
            case dict():
                return {key: self._neutral(key, part) for key, part in value.items()}
            case list() | tuple():
                return [self._neutral(name, part) for part in value]
        return value

    def text(self, text: str) -> str:
        """A text with neutral names."""
        for pattern, name in ((_UUID, "GPU"), (_QUOTED_PATH, "PATH"), (_PATH, "PATH")):
            text = pattern.sub(name, text)
        return self._words.sub("NAME", text)


def _numbered(kind: str, names: Iterable[str]) -> dict[str, str]:
    """Name -> neutral name: the kind and a number, from 1 on, in the order of the names."""
    return {name: f"{kind}-{number}" for number, name in enumerate(sorted(set(names)), start=1)}
