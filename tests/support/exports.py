"""Readers of exported models that share no code with the writers, and models to write."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from bench.records.weights import path_of
from bench.worker.arrays import checksum, write_arrays
from bench.worker.verification.models import small
from specs.initial import initial_weights
from specs.model import AvgPool2d, BatchNorm, Conv2d, Dense, Flatten, Input
from tests.support.records import make_record

DIGITS = Input(shape=(28, 28, 1), classes=10)


def confident_weights(workload, seed=0):
    """Weights by which classes differ much, so that a wrong one shows; all biases differ."""
    random = np.random.default_rng(seed)
    return {
        name: (2 * value + 0.3 * random.random(value.shape) * (value.ndim == 1)).astype(np.float32)
        for name, value in initial_weights(workload, seed).items()
    }


def every_layer(**changes):
    """All kinds of layers on images of digits; sizes differ, but for two equal dense layers."""
    conv = Conv2d(filters=3, kernel_size=(3, 2), strides=(2, 1), padding="same", activation="relu")
    dense = Dense(units=9, activation="tanh")
    norm = BatchNorm(momentum=0.8, epsilon=3e-3)
    last = Dense(units=10, activation="linear")
    pools = AvgPool2d(pool_size=(3, 5)), Flatten()
    layers = (conv, norm, *pools, norm, dense, dense, dense, last)
    return small("relu", layers=layers, input=DIGITS, **changes)


def write_run(folder: Path, workload, weights, **job):
    """The record of a job that has kept these weights in a run's folder."""
    record = make_record(f"{workload.name}.key", workload=workload, **job)
    write_arrays(path_of(folder, record.key), weights)
    return replace(record, weights_checksum=checksum(weights))


class T7:
    """Reads a file of Torch7: numbers, texts, tables, arrays, and (class, fields) for modules."""

    def __init__(self, content):
        self.content, self.at = content, 0

    def take(self, form):
        values = struct.unpack_from(f"<{form}", self.content, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values

    def text(self):
        return self.take(f"{self.take('i')[0]}s")[0].decode()

    def table(self):
        _, count = self.take("ii")
        return {self.read(): self.read() for _ in range(count)}

    def read(self):
        kinds = {
            0: lambda: None,
            1: lambda: self.take("d")[0],
            2: self.text,
            3: self.table,
            4: self.object,
            5: lambda: bool(self.take("i")[0]),
        }
        return kinds[self.take("i")[0]]()

    def object(self):
        self.take("i")
        assert self.text() == "V 1"
        name = self.text()
        if name.endswith("Storage"):
            kind = {"torch.LongStorage": "q", "torch.FloatStorage": "f"}[name]
            return np.array(self.take(f"{self.take('q')[0]}{kind}"))
        return self.tensor() if name == "torch.FloatTensor" else (name, self.read())

    def tensor(self):
        [dimensions] = self.take("i")
        sizes, strides = self.take(f"{dimensions}q"), self.take(f"{dimensions}q")
        assert self.take("q") == (1,)
        storage = self.read()
        if storage is None:
            return np.zeros(0)
        steps = [step * storage.itemsize for step in strides]
        return np.lib.stride_tricks.as_strided(storage, sizes, steps)


def read_t7(content):
    file = T7(content)
    found = file.read()
    assert file.at == len(content)
    return found


def read_message(content):
    """The fields of a message of Protocol Buffers, as (number, bytes)."""
    at = 0

    def number():
        nonlocal at
        found, shift = 0, 0
        while True:
            byte, at = content[at], at + 1
            found |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return found

    while at < len(content):
        key, size = number(), number()
        assert key & 7 == 2
        yield key >> 3, content[at : at + size]
        at += size


def read_caffemodel(content):
    """Layer -> its arrays, of a file of Caffe; see the numbers in Caffe's caffe.proto."""
    layers = {}
    for number, layer in read_message(content):
        if number == 100:
            fields = [*read_message(layer)]
            [name] = [value.decode() for n, value in fields if n == 1]
            layers[name] = [_array(dict(read_message(value))) for n, value in fields if n == 7]
    return layers


def _array(blob):
    sizes, shift, size = [], 0, 0
    for byte in dict(read_message(blob[7]))[1]:
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            sizes.append(size)
            shift, size = 0, 0
    return np.frombuffer(blob[5], "<f4").reshape(sizes)
