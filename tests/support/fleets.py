"""Simulated fleets of nodes, and how often `bench.statistics.nodes.slow` is right about them.

`python -m tests.support.fleets [TRIALS]` prints the tables of `docs/method.md`.
"""

from __future__ import annotations

import json
import sys
from math import log, sqrt
from typing import NamedTuple

import numpy as np

from bench.records.files import PROJECT
from bench.statistics.nodes.slow import compare_nodes, visible
from tests.support.turn_rounds import LUCK, Law

# Log ratios of two processes of one backend, which the bench is shipped with.
SPREADS = PROJECT / "bench" / "statistics" / "process_spreads.json"
RECORDED = [ratio for each in json.loads(SPREADS.read_text()) for ratio in each["log_ratios"]]
TRIALS = 150
ROUNDS, BACKENDS = 5, 2
WORKLOADS = ("softmax", "mlp-relu", "cnn")
PLANTED = 0.05


class Fleet(NamedTuple):
    """A fleet: nodes of one kind that train some workloads in every backend, in some rounds.

    `luck`, `spread`: the law of processes, see `tests.support.turn_rounds.Law`; "recorded": as
    pairs of processes on the machine of `results/speed`, whatever `spread` says. `between`: the
    standard deviation of healthy nodes. `share`: of a node's rounds that other work disturbed
    without being seen, all workloads of the round by the same 10 to 100 %.
    """

    nodes: int = 12
    luck: str = "gauss"
    spread: float = 0.04
    between: float = 0.005
    share: float = 0.0
    workloads: int = len(WORKLOADS)
    backends: int = BACKENDS

    def __str__(self):
        law = self.luck if self.luck == "recorded" else f"{self.luck} {100 * self.spread:.2g} %"
        return f"{law}, nodes {100 * self.between:.2g} %, disturbed {100 * self.share:.2g} %"

    def processes(self, random, size):
        """Logarithms of the slowness of fresh processes."""
        if self.luck != "recorded":
            return Law(self.luck, self.spread).processes(random, size)
        return random.choice(RECORDED, size) * random.choice([-1, 1], size) / sqrt(2)

    def sessions(self, random, rounds, slow=0.0, slow_nodes=1):
        """Workload -> node -> log ratios of its sessions; the first nodes are slow."""
        own = random.normal(0, self.between, self.nodes)
        own[:slow_nodes] += log(1 + slow)
        size = (self.workloads, self.nodes, rounds)
        logs = own[:, None, None] + self.processes(random, (*size, self.backends))
        rounds_of = (self.nodes, rounds)
        disturbed = random.random(rounds_of) < self.share
        logs += (disturbed * np.log(random.uniform(1.1, 2, rounds_of)))[..., None]
        return relative(logs)


def relative(logs):
    """Times as logs (workload, node, round, backend) -> what `compare_nodes` takes."""
    of_node = np.median(logs, axis=2)  # (workload, node, backend)
    logs = logs - np.median(of_node, axis=1)[:, None, None, :]
    values = np.median(logs, axis=-1)  # (workload, node, round)
    return {
        f"w{w}": {f"n{n}": values[w, n] for n in range(values.shape[1])}
        for w in range(values.shape[0])
    }


def named(by_workload):
    """The numbers of the nodes that are called slow."""
    return {int(n[1:]) for n, s in compare_nodes(by_workload).items() if s.outcome == "slow"}


def false_alarms(random, fleet, trials, rounds):
    """The share of healthy fleets in which a node is named."""
    return np.mean([bool(named(fleet.sessions(random, rounds))) for _ in range(trials)])


def found(random, fleet, trials, rounds, slow=PLANTED, slow_nodes=1):
    """The share of fleets in which all slow nodes are named, and no other."""
    wanted = set(range(slow_nodes))
    runs = (fleet.sessions(random, rounds, slow, slow_nodes) for _ in range(trials))
    return np.mean([wanted == named(run) for run in runs])


def asked_and_found(random, fleet, trials, first=5, slow=PLANTED):
    """After a first run with a slow node: the rounds it asks for, and the share that finds it then.

    The rounds are the 5th, 50th and 95th of 100 runs; infinite if it asks for none. Only runs with
    a number count for the share.
    """
    asked, hits = [], []
    for _ in range(trials):
        needed = visible(fleet.sessions(random, first, slow), slow).needed
        asked.append(np.inf if needed is None else -(-needed // fleet.workloads))
        if needed is not None:
            hits.append(0 in named(fleet.sessions(random, asked[-1], slow)))
    return np.percentile(asked, [5, 50, 95], method="nearest"), np.mean(hits) if hits else 0.0


def main(trials=TRIALS):
    """Print the tables."""
    random = np.random.default_rng(0)
    print(f"Healthy fleets of 400, % of {trials} in which a node is named after 5, 20 rounds")
    fleets = [
        Fleet(400, luck, share=share) for luck in (*LUCK, "recorded") for share in (0.0, 0.05)
    ]
    for fleet in (*fleets, Fleet(400, between=0.007), Fleet(400, between=0.01)):
        shares = [100 * false_alarms(random, fleet, trials, rounds) for rounds in (5, 20)]
        print("  " + " ".join(f"{share:5.1f}" for share in shares), f" {fleet}", flush=True)
    print(f"One of 12 is 5 % slower: rounds asked for (5, 50, 95 % of {trials}), % found with them")
    for luck in (*LUCK, "recorded"):
        for backends, spread in ((2, 0.04), (1, 0.04), (2, 0.06)):
            fleet = Fleet(luck=luck, backends=backends, spread=spread)
            asked, share = asked_and_found(random, fleet, trials)
            rounds = " ".join(f"{number:3.0f}" for number in asked)
            print(f"  {rounds} {100 * share:5.1f}  {fleet}, {backends} backends", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
