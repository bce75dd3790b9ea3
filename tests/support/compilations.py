"""Counts what a framework compiles when a job is verified: `BACKEND WORKLOAD DATA REFERENCES`.

It runs in the backend's environment, and prints the number of programs that were compiled in two
epochs with their predictions, then in the verification, and then in an epoch of the partial batch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from backends.registry import adapter_of, entry
from bench.worker.adapter import load_class
from bench.worker.examples import read_part
from bench.worker.verification.expected import Examples
from bench.worker.verification.training import verify_training
from specs.initial import epoch_order, initial_weights
from specs.loading import find_workload
from tests.support.jobs import make_job


def counter(engine: str) -> Callable[[], int]:
    """A function that says how many programs have been compiled since this call."""
    if engine == "jax":
        import jax

        compiled = []
        jax.monitoring.register_event_duration_secs_listener(
            lambda name, *_, **__: compiled.append(name) if "backend_compile" in name else None
        )
        return lambda: len(compiled)
    if engine == "torch":
        from torch._dynamo.utils import counters

        return lambda: counters["stats"]["unique_graphs"]
    if engine == "theano":
        from backends.theano.framework import theano

        made, make = [], theano.compile.function_module.FunctionMaker.__init__

        def counted(self, *arguments, **options):
            made.append(self)
            make(self, *arguments, **options)

        theano.compile.function_module.FunctionMaker.__init__ = counted
        return lambda: len(made)
    from tensorflow.python.eager import context

    seen = set()

    def traced() -> int:
        names = context.context().list_function_names()
        # Single operations that are called eagerly are also functions.
        seen.update(name for name in names if not name.startswith("__wrapped__"))
        return len(seen)

    return traced


def main(backend_name: str, workload_name: str, data: str, references: str) -> None:
    """Train two epochs, verify, and train the partial batch alone; print the counts."""
    compiled = counter(entry(backend_name).environment)
    job = make_job(find_workload(workload_name), backend=backend_name, batch_size=128, threads=2)
    job = replace(job, compiled=entry(backend_name).compiled)
    images, labels = read_part(Path(data), "train")
    backend = load_class(adapter_of(backend_name, "matched"))(job)
    backend.set_weights(initial_weights(job.workload, job.seed))
    backend.load(images, labels)
    for epoch in range(2):
        backend.train_epoch(epoch_order(job.workload, job.seed, epoch, len(labels), 128))
        backend.predict(images[:1000])
    in_epochs = compiled()
    found = verify_training(
        backend, job, Examples(images, labels, Path(data).name), Path(references)
    )
    in_both = compiled()
    backend.train_epoch(epoch_order(job.workload, job.seed, 0, len(labels), 128)[-32:])
    counts = {
        "epochs": in_epochs,
        "verification": in_both - in_epochs,
        "short epoch": compiled() - in_both,
    }
    print(json.dumps({**counts, "deviation": found.worst[1]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
