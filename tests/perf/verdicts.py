"""Measures how often verdicts are right.

`python -m tests.perf.verdicts simulated OUTPUT` simulates recorded noise, in a minute. `python -m
tests.perf.verdicts planted FOLDER OUTPUT` runs PyTorch beside a PyTorch that is 5 % slower, in an
hour. It needs the result of `bench calibrate --backend pytorch --threads 1 --epochs 2 --rounds 20
--results FOLDER`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np
from msgspec.structs import replace

from bench.command.setup import places_of
from bench.data.cache import materialise
from bench.data.dataset import FALLBACK
from bench.machine.host import this_machine
from bench.records.noise import FOLDER, read_calibrations
from bench.runner.environments import Environments
from bench.runner.group import GroupRunner, key_of
from bench.runner.turns import Wanted
from bench.statistics.noise import process_spread
from bench.statistics.sequential import rounds_needed
from bench.statistics.timing import VERDICT_LEVEL
from bench.statistics.turns import compare_turns
from specs.loading import find_workload
from tests.support.noise import NOISE, ever_decided, rounds_of, said
from tests.support.tasks import make_task

TRIALS, PATIENCE = 1000, 40
PLANTED, COMPARISONS, MOST_ROUNDS = 0.05, 5, 36
PLAIN, SLOWER = "backends.pytorch.eager:PyTorch", "tests.support.slower:TrainsALittleMore"


class Silent:
    """An observer of a run that prints nothing."""

    def planned(self, tasks):
        pass

    started = advanced = ended = turned = lambda *_, **__: None


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
    """Compare PyTorch with a slower PyTorch by turns, several times.

    A comparison ends with a verdict, or after as many rounds as 15 minutes of softmax allow.
    """
    calibrations = read_calibrations([Path(folder) / FOLDER])[0]
    comparisons = [
        comparison(number, Path(folder) / "planted", calibrations) for number in range(COMPARISONS)
    ]
    right = sum(result["outcome"] == "slower" for result in comparisons)
    result = {
        "planted": PLANTED,
        "most_rounds": MOST_ROUNDS,
        "found": right,
        "of": COMPARISONS,
        "comparisons": comparisons,
    }
    Path(output).write_text(json.dumps(result, indent=1) + "\n")
    print(f"{right} of {COMPARISONS} found")


def comparison(number, folder, calibrations):
    """Run rounds of one comparison until there is a verdict."""
    rounds, loads = [], []
    for count in range(MOST_ROUNDS):
        tasks = [task(name, number, count) for name in (SLOWER, PLAIN)]
        runner = GroupRunner(
            folder=folder,
            machine=this_machine(),
            timeout=120.0,
            observer=Silent(),
            reused={},
            wanted=Wanted(),
            taken={},
        )
        records = runner.run(tasks)
        assert all(record.verification.passed for record in records)
        turns = runner.taken[key_of(tasks)]
        assert not turns.refused, turns.refused
        by_job = {member.job: member.epoch_seconds for member in turns.members}
        rounds.append(np.log(by_job[tasks[0].key]) - np.log(by_job[tasks[1].key]))
        loads.append(round(os.getloadavg()[0], 1))
        spread = process_spread(records[0], calibrations)
        result = compare_turns(rounds, spread)
        print(number, count, f"{result.ratio:.3f}", result.outcome, loads[-1], flush=True)
        if result.outcome != "undecided":
            break
    return {
        "rounds": len(rounds),
        "ratio": round(result.ratio, 4),
        "interval": [result.sure_low, result.sure_high],
        "outcome": result.outcome,
        "processes": spread.source,
        "medians": [round(float(np.exp(np.median(ratios))), 4) for ratios in rounds],
        "loads": loads,
    }


@cache
def images():
    """4,000 images, so that 5 % more batches of 100 images are exactly 5 % more steps."""
    return materialise(FALLBACK, find_workload("softmax").input, places_of(argparse.Namespace()))


def task(adapter, number, count):
    """A job of PyTorch, with this adapter."""
    made = make_task(
        adapter, images(), backend="pytorch", epochs=2, batch_size=100, round=count, threads=1
    )
    python = Environments({}).python("torch")
    assert python is not None, "run: bench environment create torch"
    return replace(made, key=f"{made.key}.{number}.{count}", python=str(python))


if __name__ == "__main__":
    {"simulated": simulated, "planted": planted}[sys.argv[1]](*sys.argv[2:])
