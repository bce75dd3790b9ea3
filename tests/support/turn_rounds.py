"""Simulated rounds of processes that train by turns, and how often `compare_turns` is right.

`python -m tests.support.turn_rounds [TRIALS]` prints a table. With recorded turns
(`results/speed/turns.json`) it also draws from those.
"""

from __future__ import annotations

import json
import sys
from itertools import combinations
from math import log, sqrt
from typing import NamedTuple

import numpy as np

from bench.records.files import PROJECT
from bench.statistics.timing import correct_for_many
from bench.statistics.turns import ProcessSpread, compare_turns, rounds_to_find

# [{"backend", "workload", "first": [seconds per turn], "second": [seconds per turn]}]: two fresh
# processes of one backend each.
TRACES = PROJECT / "results" / "speed" / "turns.json"
LUCK = ("gauss", "laplace", "t3", "two-speed", "rare")
KINDS = ("disturbed", "bursts", "drift", "phases")
PAIRS = 20  # of a calibration
PATIENCE = 40  # rounds
PLANTED_ROUNDS = 36  # 15 minutes of two processes that take 25 s
TABLE = 63  # pairs


class Law(NamedTuple):
    """How processes and turns scatter.

    `spread`: the standard deviation of the log ratio of two processes. `width`: half of the turns'
    log ratios lie within it. `share`: of the turns that are disturbed. `load`: how many times more
    turns scatter than at calibration. `backends`: those that have a turn in a sweep.
    """

    luck: str = "gauss"
    spread: float = 0.03
    kind: str = "disturbed"
    width: float = 0.02
    share: float = 0.1
    load: float = 1.0
    backends: int = 2

    def __str__(self):
        return (
            f"{self.luck} {100 * self.spread:.2g} %; {self.kind} {100 * self.share:.0f} %, width"
            f" {100 * self.width:.2g} % x {self.load:g}, {self.backends} backends"
        )

    def rounds(self, random, size, sweeps, load=1.0):
        """Log ratios of identical backends: (*size, sweeps)."""
        logs = self.processes(random, (*size, 2))
        return logs[..., 0, None] - logs[..., 1, None] + self.turns(random, size, sweeps, load)

    def processes(self, random, size):
        """Log of a process's own slowness."""
        scale = self.spread / sqrt(2)
        if self.luck == "gauss":
            return random.normal(0, scale, size)
        if self.luck == "laplace":
            return random.laplace(0, scale / sqrt(2), size)
        if self.luck == "t3":
            return random.standard_t(3, size) * scale / sqrt(3)
        slow = 0.2 if self.luck == "two-speed" else 0.08
        return (random.random(size) < slow) * scale / sqrt(slow * (1 - slow))

    def turns(self, random, size, sweeps, load):
        """Log ratios of two backends' turns within each sweep: (*size, sweeps)."""
        full = (*size, sweeps * self.backends)
        logs = random.normal(0, load * self.width / 0.6745 / sqrt(2), full)
        if self.kind == "drift":
            logs += random.normal(0, 0.02, full).cumsum(axis=-1)
        # On average a burst lasts for four turns, of any backends.
        logs += disturbances(random, full, self.share, 4.0 if self.kind == "bursts" else 1.0)
        logs = logs.reshape((*size, sweeps, self.backends))
        places = random.random(logs.shape).argsort(axis=-1)[..., :2]
        pair = np.take_along_axis(logs, places, axis=-1)
        ratios = pair[..., 0] - pair[..., 1]
        if self.kind == "phases":  # from some sweep on, half of the processes are 10 % slower
            late = np.arange(sweeps) >= random.integers(0, sweeps, (*size, 1))
            ratios += 0.1 * late * random.choice([-1, 0, 0, 1], (*size, 1))
        return ratios


class Recorded(NamedTuple):
    """Recorded pairs of processes of one backend: log ratios by sweep."""

    name: str
    pairs: tuple
    load: float = 1.0

    def __str__(self):
        return f"recorded: {self.name}, {len(self.pairs)} pairs"

    def rounds(self, random, size, sweeps, load=1.0):
        """Whole pairs as recorded, from a random sweep on, in either direction."""
        drawn = np.empty((*size, sweeps))
        for place in np.ndindex(*size):
            pair = self.pairs[random.integers(len(self.pairs))]
            start = random.integers(len(pair))
            drawn[place] = pair[(start + np.arange(sweeps)) % len(pair)] * random.choice([-1, 1])
        return drawn


LAWS = (
    *(
        Law(luck, spread, kind, width, share)
        for luck in LUCK
        for spread, kind, width, share in (
            (0.02, "disturbed", 0.007, 0.05),
            (0.02, "bursts", 0.02, 0.2),
            (0.03, "drift", 0.02, 0.1),
            (0.04, "phases", 0.02, 0.1),
            (0.06, "disturbed", 0.01, 0.2),
        )
    ),
    Law("gauss", 0.02, "bursts", 0.02, 0.2, backends=8),
    Law("gauss", 0.02, "disturbed", 0.04, 0.2, load=3.0),
    Law("t3", 0.02, "bursts", 0.02, 0.2, load=4.0, backends=8),
    Law("gauss", 0.005, "disturbed", 0.04, 0.0, load=4.0),
)


def disturbances(random, size, share, length):
    """Log of 1.1 to 2 for that share of the turns, for so many in a row on average; else 0."""
    found, sizes = np.zeros(size), np.log(random.uniform(1.1, 2, size))
    on, current = np.zeros(size[:-1], dtype=bool), sizes[..., 0]
    enter = min(1.0, share / (1 - share) / length)
    for place in range(size[-1]):
        draw = random.random(size[:-1])
        if place == 0 or length == 1:
            entering, on = draw < share, draw < share
        else:
            entering = ~on & (draw < enter)
            on = np.where(on, draw >= 1 / length, entering)
        current = np.where(entering, sizes[..., place], current)
        found[..., place] = on * current
    return found


def traces(path=TRACES):
    """The recorded pairs by backend and workload, and all of them; nothing without the file."""
    if not path.exists():
        return []
    by_name = {}
    for trace in json.loads(path.read_text()):
        turns = min(len(trace["first"]), len(trace["second"]))
        ratios = np.log(trace["first"][:turns]) - np.log(trace["second"][:turns])
        by_name.setdefault(f"{trace['backend']} on {trace['workload']}", []).append(ratios)
    by_name["all"] = [ratios for pairs in by_name.values() for ratios in pairs]
    return [Recorded(name, tuple(pairs)) for name, pairs in by_name.items() if len(pairs) >= PAIRS]


def calibrated(random, law, sweeps=9, pairs=PAIRS):
    """A calibration from fresh processes of the law."""
    medians = np.median(law.rounds(random, (pairs,), sweeps), axis=-1)
    return ProcessSpread(log_ratios=tuple(map(float, medians)), source="simulated")


def errors(random, law, trials, sweeps=9, patience=PATIENCE):
    """Shares of comparisons of a backend with itself, looked at after every round.

    They are: a faster one is named after the first round; after any; the usual interval misses 1
    after the last; the sure interval misses 1 after any.
    """
    counts = np.zeros(4)
    for _ in range(trials):
        spread = calibrated(random, law, sweeps)
        rounds = list(law.rounds(random, (patience,), sweeps, law.load))
        looks = [compare_turns(rounds[:n], spread) for n in range(1, patience + 1)]
        named = [look.outcome in ("faster", "slower") for look in looks]
        missed = [not look.sure_low <= 1 <= look.sure_high for look in looks]
        last = looks[-1]
        counts += (named[0], any(named), not last.low <= 1 <= last.high, any(missed))
    return counts / trials


def table_errors(random, law, tables, backends=9, looks=(1, 2, 3, 5, 8, 12, 20)):
    """The share of tables of identical backends that name a faster one in any look."""
    found = 0
    for _ in range(tables):
        spread = calibrated(random, law)
        slowness = law.processes(random, (backends, looks[-1]))
        pairs = [
            list(
                (slowness[a] - slowness[b])[:, None] + law.turns(random, (looks[-1],), 9, law.load)
            )
            for a, b in combinations(range(backends), 2)
        ]
        found += any(
            pair.outcome in ("faster", "slower")
            for look in looks
            for pair in correct_for_many([compare_turns(pair[:look], spread) for pair in pairs])
        )
    return found / tables


def found_share(random, law, trials, ratio, rounds, sweeps=9, table=1):
    """The share of runs that find the ratio after so many rounds, in a table of so many pairs."""
    found = 0
    for _ in range(trials):
        planted = log(ratio) + law.rounds(random, (rounds,), sweeps, law.load)
        comparison = compare_turns(list(planted), calibrated(random, law, sweeps))
        found += comparison.outcome == "slower" and comparison.chance * table <= (
            0.05 if table > 1 else 1.0
        )
    return found / trials


def asked_and_found(random, law, difference, calibrations=40, runs=25):
    """Numbers of rounds that `rounds_to_find` asks for, and the share of runs that find it then."""
    asked, found = [], []
    for _ in range(calibrations):
        spread = calibrated(random, law)
        so_far = list(law.rounds(random, (3,), 9, law.load))
        rounds = rounds_to_find(difference, spread, so_far)
        if rounds is None:
            continue
        asked.append(rounds)
        planted = log(1 + difference) + law.rounds(random, (runs, rounds), 9, law.load)
        found += [compare_turns(list(run), spread).outcome == "slower" for run in planted]
    return asked, float(np.mean(found)) if found else 0.0


def main(trials=1000):
    """Print the table."""
    random = np.random.default_rng(0)
    print(
        f"A backend with itself, {trials} times: % that name a faster one after round 1, after any"
    )
    print(f"of {PATIENCE}; % of intervals that miss: 95 % at the end, 99 % after any")
    for law in (*LAWS, *traces()):
        print("  " + " ".join(f"{100 * x:5.1f}" for x in errors(random, law, trials)), f" {law}")
    print(f"% of {trials // 5} tables of 9 identical backends that name a faster one in 7 looks")
    for luck in LUCK:
        law = Law(luck, 0.04)
        print(f"  {100 * table_errors(random, law, trials // 5):5.1f}  {law}")
    print(f"5 % found, % of {trials // 5} runs of {PLANTED_ROUNDS} rounds")
    for luck in LUCK:
        shares = [
            (spread, found_share(random, Law(luck, spread), trials // 5, 1.05, PLANTED_ROUNDS))
            for spread in (0.02, 0.03, 0.035, 0.04, 0.045, 0.05, 0.06)
        ]
        print(" ", luck, *(f"{100 * spread:.2g} %: {100 * found:.0f};" for spread, found in shares))
    print(f"1.5 found in one round in a table of {TABLE} pairs, % of {trials}: 9, 12, 15 sweeps")
    for spread in (0.03, 0.04):
        for width in (0.007, 0.02, 0.04):
            law = Law("gauss", spread, width=width)
            shares = [found_share(random, law, trials, 1.5, 1, n, TABLE) for n in (9, 12, 15)]
            print("  " + " ".join(f"{100 * share:5.1f}" for share in shares), f" {law}")
    print("Rounds that `rounds_to_find` asks for, and % of runs that find the difference then")
    for difference in (0.05, 0.1, 0.2, 0.5):
        for law in (Law(spread=0.03), Law("t3", 0.04), Law(spread=0.02, load=3.0)):
            asked, found = asked_and_found(random, law, difference)
            numbers = f"{min(asked)} to {max(asked)}" if asked else "None"
            print(f"  {difference:4.2f} {numbers} {100 * found:.0f}  {law}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
