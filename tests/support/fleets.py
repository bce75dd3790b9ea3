"""Simulated fleets of nodes, and how often `bench.statistics.nodes.slow` is right about them.

`python -m tests.support.fleets claim 1000`, `... healthy 300`, and `... planted 1000` make the
tables of `docs/method.md`, as `results/nodes/*.jsonl`, in four minutes each.
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from math import isinf, log, sqrt
from typing import NamedTuple

import numpy as np
from scipy.stats import beta

from bench.machine.host import this_machine
from bench.records.files import PROJECT
from bench.statistics.nodes.slow import compare_nodes, visible
from tests.support.turn_rounds import LUCK, Law

# Log ratios of two processes of one backend, which the bench is shipped with.
SPREADS = PROJECT / "bench" / "statistics" / "process_spreads.json"
RECORDED = [ratio for each in json.loads(SPREADS.read_text()) for ratio in each["log_ratios"]]
ROUNDS, BACKENDS = 5, 2
WORKLOADS = ("softmax", "mlp-relu", "cnn")
PLANTED = 0.05
RESULTS = PROJECT / "results" / "nodes"


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
        return relative(self.logs(random, self.speeds(random, slow, slow_nodes), rounds))

    def speeds(self, random, slow=0.0, slow_nodes=1):
        """Log of each node's own slowness."""
        own = random.normal(0, self.between, self.nodes)
        own[:slow_nodes] += log(1 + slow)
        return own

    def logs(self, random, speeds, rounds):
        """Logs of times: (workload, node, round, backend)."""
        size = (self.workloads, self.nodes, rounds)
        logs = speeds[:, None, None] + self.processes(random, (*size, self.backends))
        rounds_of = (self.nodes, rounds)
        disturbed = random.random(rounds_of) < self.share
        logs += (disturbed * np.log(random.uniform(1.1, 2, rounds_of)))[..., None]
        return logs


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
    """After a first run with a slow node: the rounds it asks for, and what the whole run then says.

    The run goes on to as many rounds, as a user's does: the first ones count, too. It has at least
    the first ones.

    Returns:
        (the rounds, infinite if the command asks for none; for each trial with a number whether the
        slow node is named; likewise whether another is)
    """
    asked, hits, others = [], [], []
    for _ in range(trials):
        speeds = fleet.speeds(random, slow)
        logs = fleet.logs(random, speeds, first)
        needed = visible(relative(logs), slow).needed
        asked.append(np.inf if needed is None else -(-needed // fleet.workloads))
        if needed is None:
            continue
        if asked[-1] > first:
            more = fleet.logs(random, speeds, asked[-1] - first)
            logs = np.concatenate([logs, more], axis=2)
        found_ = named(relative(logs))
        hits.append(0 in found_)
        others.append(bool(found_ - {0}))
    return np.array(asked), hits, others


def at_most(count, of):
    """The exact one-sided 95 % upper bound of a share (C. J. Clopper, E. S. Pearson, 1934)."""
    return 1.0 if count == of else float(beta.ppf(0.95, count + 1, of - count))


def at_least(count, of):
    """The exact one-sided 95 % lower bound of a share."""
    return 1 - at_most(of - count, of)


CLAIMED = 12


def healthy_fleets():
    """Fleets without a slow node, and their rounds; the first ones are those of the claim."""
    laws = (*LUCK, "recorded")
    fleets = [(Fleet(400, luck), rounds) for rounds in (5, 20) for luck in laws]
    fleets += [(Fleet(400, between=b), rounds) for b in (0.007, 0.01) for rounds in (5, 20)]
    fleets += [(Fleet(400, luck, share=0.05), rounds) for rounds in (5, 20) for luck in laws]
    fleets += [(Fleet(400, luck, backends=1, workloads=1), 5) for luck in laws]
    fleets += [
        (Fleet(nodes, luck), rounds)
        for nodes, rounds, luck in product((4, 12, 40), (2, 5, 20), laws)
    ]
    return fleets


def healthy(trials, first=0, last=None):
    """Yield how many healthy fleets have a node that is named."""
    for number, (fleet, rounds) in [*enumerate(healthy_fleets())][first:last]:
        random = np.random.default_rng(number)
        count = round(trials * false_alarms(random, fleet, trials, rounds))
        bound = {"at_most": round(at_most(count, trials), 5)}
        yield fleet._asdict() | {"rounds": rounds, "named": count, "of": trials} | bound


def planted(trials):
    """Yield how many slow nodes are found with the rounds asked for; the claim is 95 %."""
    cases = product((*LUCK, "recorded"), ((2, 0.04), (1, 0.04), (2, 0.06)), (2, 3, 5))
    for number, (luck, (backends, spread), first) in enumerate(cases):
        if luck == "recorded" and spread != Fleet().spread:  # that law has a spread of its own
            continue
        fleet = Fleet(luck=luck, backends=backends, spread=spread)
        random = np.random.default_rng(number)
        asked, hits, others = asked_and_found(random, fleet, trials, first)
        ends = np.percentile(asked, [5, 50, 95], method="nearest")
        yield fleet._asdict() | {
            "first_rounds": first,
            "asked_5_50_95": [None if isinf(each) else int(each) for each in ends],
            "asked_for_none": int(np.isinf(asked).sum()),
            "found": sum(hits),
            "of": len(hits),
            "at_least": round(at_least(sum(hits), len(hits)), 4),
            "another_named": sum(others),
        }


TABLES = {
    "claim": lambda trials: healthy(trials, last=CLAIMED),
    "healthy": lambda trials: healthy(trials, CLAIMED),
    "planted": planted,
}


def main(table, trials):
    """Write a table, a row at a time: the simulation may be stopped."""
    commit = subprocess.check_output(("git", "-C", PROJECT, "rev-parse", "HEAD"), text=True).strip()
    about = {"commit": commit, "cpu": this_machine().cpu, "numpy": np.__version__}
    about["seed"] = f"the row's number, from {CLAIMED if table == 'healthy' else 0} on"
    lines = [json.dumps(about)]
    for row in TABLES[table](trials):
        lines.append(json.dumps(row))
        print(lines[-1], flush=True)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{table}.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
