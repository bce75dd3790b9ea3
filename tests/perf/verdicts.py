"""Measures how often verdicts are right.

One part simulates on recorded noise, the other runs a real slowdown of 10 % on this machine.

`python -m tests.perf.verdicts simulated OUTPUT` takes a minute, `python -m tests.perf.verdicts
planted FOLDER OUTPUT` half an hour; the latter resumes where it stopped, and reads from
`results/noise` how many rounds are needed. So run `bench calibrate --backend reference --threads 1
--epochs 15 --rounds 100` first.
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


class Nobody:
    """An observer of a run that prints nothing."""

    def planned(self, tasks):
        pass

    started = advanced = ended = lambda *_, **__: None


def simulated(output):
    """The rate of false verdicts among identical contestants, and that of a planted 5 % found.

    The number of rounds is the one that the calibration asks for.
    """
    found = {}
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
        found[noise] = {
            "false_verdicts_of_1000_looking_after_every_round": sum(
                ever_decided(row) for row in logs
            ),
            "rounds_asked_for_5_percent": int(median(filter(None, asked))) if any(asked) else None,
            "calibrations_that_say_5_percent_takes_more_than_200_rounds": asked.count(None),
            "planted_5_percent_found": sum(right),
            "of": len(right),
        }
        print(noise, found[noise], flush=True)
    Path(output).write_text(json.dumps(found, indent=1) + "\n")


def planted(folder, output):
    """Compare the reference with a slower one, several times.

    Each comparison ends with a verdict, or after the number of rounds that the calibration asks
    for.
    """
    machine = this_machine()
    [noise] = [
        one
        for one in read_calibrations([Path("results") / FOLDER])[0]
        if (one.backend, one.epochs, one.threads) == ("reference", EPOCHS, 1)
    ]
    most = next(
        wall for difference, wall, _ in rounds_by_difference(noise) if difference == PLANTED
    )
    comparisons = [
        comparison(number, most or 200, Path(folder), machine) for number in range(COMPARISONS)
    ]
    right = sum(one["outcome"] == "slower" for one in comparisons)
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
    """The rounds of one comparison, until there is a verdict."""
    ours, theirs = [], []
    for turn in range(most):
        lot = np.random.default_rng([number, turn // 2]).integers(2) ^ turn % 2
        pair = {}
        for name in ("TakesATenthLonger", "Reference")[:: 1 if lot else -1]:
            [record] = run_tasks(
                [task(name, number, turn)],
                folder,
                machine,
                make_record,
                timeout=60,
                observer=Nobody(),
            )
            pair[name] = process_seconds(
                [epoch.training.wall_seconds for epoch in record.epochs[1:]]
            )
        ours.append(pair["TakesATenthLonger"])
        theirs.append(pair["Reference"])
        found = compare(ours, theirs)
        if found.outcome != "undecided":
            break
    print(number, len(ours), f"{found.ratio:.3f}", found.outcome, flush=True)
    return {
        "rounds": len(ours),
        "ratio": found.ratio,
        "outcome": found.outcome,
        "ratios": [round(a / b, 4) for a, b in zip(ours, theirs, strict=True)],
    }


@cache
def images():
    """4,000 images in batches of 100, so that a tenth more images is exactly a tenth more steps."""
    return materialise(FALLBACK, find_workload("softmax").input, places_of(argparse.Namespace()))


def task(name, number, turn):
    """A job of either contestant."""
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
        assignment=Train(job=job, adapter=adapter, data=images().folder, train_evaluated=1),
    )


if __name__ == "__main__":
    {"simulated": simulated, "planted": planted}[sys.argv[1]](*sys.argv[2:])
