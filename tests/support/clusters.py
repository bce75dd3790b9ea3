"""Made-up records of a cluster: nodes of one kind, with GPUs, that all train the same.

`python -m tests.support.clusters NODES ROUNDS FOLDER` writes them as a run for `bench nodes`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from zlib import crc32

import msgspec
import numpy as np
from msgspec.structs import replace

from bench.machine.gpu_state import GpuState
from bench.machine.nvml import Gpu
from tests.support.records import a_machine, make_record

WORKLOADS = ("softmax", "mlp-relu", "cnn")
BACKENDS = ("pytorch", "jax")
NOISE = 0.028  # of a process: two of them differ by 4 %
STATE = GpuState(
    uuid="",
    cuda="13.0",
    power_limit_watts=400.0,
    sm_mhz=1980.0,
    most_sm_mhz=1980,
    temperature_celsius=61,
    ecc=True,
    corrected_errors=0,
    uncorrected_errors=0,
    remapped_rows=0,
    pcie_generation=5,
    pcie_width=16,
    nvlinks=18,
)


def gpu(node, index=0, driver="580.1"):
    return Gpu(
        index=index,
        uuid=f"GPU-{crc32(f'{node} {index}'.encode()):08x}-0000",
        name="NVIDIA H100",
        memory_bytes=80_000_000_000,
        driver=driver,
    )


def cluster(
    nodes=12, rounds=5, *, slow=None, workloads=WORKLOADS, backends=BACKENDS, noise=NOISE, seed=0
):
    """A record per node, workload, backend and round; `slow`: node -> its time's factor."""
    random = np.random.default_rng(seed)
    return [
        on_node(
            number,
            factor=(slow or {}).get(number, 1.0) * float(np.exp(random.normal(0, noise))),
            workload=workload,
            backend=backend,
            round=round_,
        )
        for number in range(nodes)
        for workload in workloads
        for backend in backends
        for round_ in range(rounds)
    ]


def on_node(
    number, factor=1.0, *, status="ok", state=STATE, bits="", index=0, driver="580.1", **job
):
    """A record of a job on a node's GPU."""
    name = f"gpu{number:03d}"
    board = gpu(name, index, driver)
    settings = {"workload": "softmax", "backend": "pytorch", "device": board.device, "epochs": 2}
    settings |= job
    parts = ("workload", "backend", "device", "seed", "round")
    key = ".".join(str(settings.get(part, 0)) for part in parts).replace(":", "")
    made = make_record(
        f"{key}.{name}.{index}",
        times=(3.0 * factor, factor),
        accuracies=(0.9, 0.92),
        status=status,
        **settings,
    )
    return replace(
        made,
        machine=replace(a_machine(), name=name, gpus=(board,)),
        gpu=replace(state, uuid=board.uuid),
        weights_checksum=bits or f"bits of {settings['workload']} {settings['backend']}",
    )


def write_cluster(folder, records):
    """Write records as a run, without waiting for the disk."""
    (folder / "jobs").mkdir(parents=True, exist_ok=True)
    for record in records:
        content = msgspec.json.encode(record)
        (folder / "jobs" / f"{record.key}.json").write_bytes(content)
    return folder


if __name__ == "__main__":
    NODES, ROUNDS = map(int, sys.argv[1:3])
    write_cluster(Path(sys.argv[3]), cluster(NODES, ROUNDS, slow={7: 1.05}))
