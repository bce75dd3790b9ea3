"""Small archives in the form of MNIST."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from bench.data import archives as sources


def make_archive(folder: Path, images: int = 3) -> dict[str, str]:
    """Make four small files of the published form, and return their checksums."""
    random, checksums = np.random.RandomState(0), {}
    for name in sources._NAMES:
        shape = (images, 28, 28) if "idx3" in name else (images,)
        header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
        content = gzip.compress(header + random.randint(0, 10, shape).astype(np.uint8).tobytes())
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        checksums[name] = hashlib.sha256(content).hexdigest()
    return checksums


def set_archive(monkeypatch, name="mnist", **changes):
    if "files" in changes:
        changes["sizes"] = dict.fromkeys(changes["files"], 10**6)
    archives = {**sources.ARCHIVES, name: replace(sources.ARCHIVES[name], **changes)}
    monkeypatch.setattr(sources, "ARCHIVES", archives)
