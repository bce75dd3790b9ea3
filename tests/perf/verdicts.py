"""Measures how often verdicts are right.

`python -m tests.perf.verdicts simulated OUTPUT` simulates recorded noise, in a minute. `python -m
tests.perf.verdicts planted FOLDER OUTPUT` runs a backend that is 10 % slower, in half an hour. It
needs the result of `bench calibrate --backend reference --threads 1 --epochs 15 --rounds 100`.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np

from backends.family import Entry
from bench.command.setup import places_of
from bench.data.cache import materialise
from bench.data.dataset import FALLBACK
from bench.machine.host import this_machine
from bench.records.noise import FOLDER, read_calibrations
from bench.runner.jobs import make_record
from bench.runner.task import TrainingTask
from bench.runner.tasks import run_tasks
from bench.statistics.noise import rounds_by_difference
from bench.statistics.sequential import rounds_needed, share_interval
from bench.statistics.timing import VERDICT_LEVEL, compare, process_seconds
from bench.worker.assignment import Train
from specs.loading import find_workload
from tests.support.jobs import make_job
from tests.support.noise import NOISE, ever_decided, rounds_of, said

TRIALS, PATIENCE = 1000, 40
PLANTED, COMPARISONS, EPOCHS = 0.10, 20, 15


class Silent:
    """An observer of a run that prints nothing."""

    def planned(self, tasks):
        pass

    started = advanced = ended = lambda *_, **__: None


def simulated(output):
    """Count false verdicts on identical backends, and right verdicts on a difference of 5 %.

    The latter take as many rounds as a calibration asks for.
    """
    results = {}
    for number, noise in enumerate(NOISE):
        logs = rounds_of(np.random.default_rng(100 + number), noise, TRIALS, PATIENCE, order="lot")
        random = np.random.default_rng(200 + number)
        asked = [
            rounds_needed(rounds_of(random, noise, 1, 60)[0], 0.05, VERDICT_LEVEL)
            for _ in range(20)
        ]
        right = [
            said(row) == "slower"
            for rounds in asked
            if rounds
            for row in rounds_of(random, noise, TRIALS // 20, rounds, slower=0.05)
        ]
        results[noise] = {
            "false_verdicts_of_1000_looking_after_every_round": sum(
                ever_decided(row) for row in logs
            ),
            "rounds_asked_for_5_percent": int(median(filter(None, asked))) if any(asked) else None,
            "calibrations_that_say_5_percent_takes_more_than_200_rounds": asked.count(None),
            "planted_5_percent_found": sum(right),
            "of": len(right),
        }
        print(noise, results[noise], flush=True)
    Path(output).write_text(json.dumps(results, indent=1) + "\n")


def planted(folder, output):
    """Compare the reference with a slower one, several times.

    A comparison ends with a verdict, or after as many rounds as the calibration asks for.
    """
    machine = this_machine()
    [noise] = [
        calibration
        for calibration in read_calibrations([Path("results") / FOLDER])[0]
        if (calibration.backend, calibration.epochs, calibration.threads)
        == ("reference", EPOCHS, 1)
    ]
    most = next(
        wall for difference, wall, _ in rounds_by_difference(noise) if difference == PLANTED
    )
    comparisons = [
        comparison(number, most or 200, Path(folder), machine) for number in range(COMPARISONS)
    ]
    right = sum(result["outcome"] == "slower" for result in comparisons)
    low, high = share_interval(right, COMPARISONS)
    result = {
        "planted": PLANTED,
        "rounds_asked_for": most,
        "found": right,
        "of": COMPARISONS,
        "interval": [low, high],
        "comparisons": comparisons,
    }
    Path(output).write_text(json.dumps(result, indent=1) + "\n")
    print(f"{right} of {COMPARISONS} found, {low:.2f} to {high:.2f}; at most {most} rounds each")


def comparison(number, most, folder, machine):
    """Run rounds of one comparison until there is a verdict."""
    slower, reference = [], []
    for turn in range(most):
        slower_first = np.random.default_rng([number, turn // 2]).integers(2) ^ turn % 2
        seconds = {}
        for name in ("TakesATenthLonger", "Reference")[:: 1 if slower_first else -1]:
            tasks, observer = [task(name, number, turn)], Silent()
            [record] = run_tasks(tasks, folder, machine, make_record, timeout=60, observer=observer)
            epochs = record.epochs[1:]
            seconds[name] = process_seconds([epoch.training.wall_seconds for epoch in epochs])
        slower.append(seconds["TakesATenthLonger"])
        reference.append(seconds["Reference"])
        result = compare(slower, reference)
        if result.outcome != "undecided":
            break
    print(number, len(slower), f"{result.ratio:.3f}", result.outcome, flush=True)
    return {
        "rounds": len(slower),
        "ratio": result.ratio,
        "outcome": result.outcome,
        "ratios": [round(a / b, 4) for a, b in zip(slower, reference, strict=True)],
    }


@cache
def images():
    """4,000 images, so that 10 % more batches of 100 images are exactly 10 % more steps."""
    return materialise(FALLBACK, find_workload("softmax").input, places_of(argparse.Namespace()))


def task(name, number, turn):
    """A job of the reference, or of `TakesATenthLonger`."""
    module = "backends.reference.oracle" if name == "Reference" else "tests.support.faulty"
    adapter = f"{module}:{name}"
    job = make_job(epochs=EPOCHS, batch_size=100, round=turn)
    return TrainingTask(
        job=job,
        data=images(),
        key=f"{name}.{number}.{turn}",
        entry=Entry(title=name, adapter=adapter, environment="bench", needs=()),
        python=sys.executable,
        versions={},
        adapter_checksum="",
        assignment=Train(
            job=job,
            adapter=adapter,
            data=images().folder,
            train_evaluated=1,
            references=str(Path(images().folder).parents[1] / "references"),
        ),
    )


if __name__ == "__main__":
    {"simulated": simulated, "planted": planted}[sys.argv[1]](*sys.argv[2:])
