"""Timing noise, recorded on a shared machine or made up, and verdicts on it."""

from __future__ import annotations

import json
from math import exp, log

import numpy as np

from bench.records.files import PROJECT
from bench.statistics.sequential import EVERY_ROUND
from bench.statistics.timing import MARGIN, VERDICT_LEVEL, median_interval, verdict

# Recorded on a shared machine of two cores: 160 fresh processes of one backend (mlp-relu,
# PyTorch, one thread, mnist-5k), one after the other; the median of epochs 2 to 10 of each in units
# of 0.1 ms. Others' work took most of the core for minutes at a time: within a round one process
# takes 0.40 to 2.59 times as long as the other.
RECORDED = """
1522 1423 1554 1347 603 577 643 597 584 624 1390 1568 1393 1752 1535 593 608 606 615 655 617 1532
1423 612 601 664 621 655 1503 1524 1528 1534 616 598 613 602 614 1520 1501 1758 1521 1468 579 586
625 574 604 586 604 588 690 632 606 607 667 614 597 622 644 626 615 658 691 584 634 618 1472 1360
609 576 574 609 684 634 1279 1442 1528 1462 1374 1515 1500 1609 1513 1499 1453 1513 1518 595 593 617
645 581 580 594 617 1457 1503 1588 1278 1470 1288 1391 1457 1469 1319 1531 1373 1228 1447 1389 1291
1487 1431 1535 1609 1493 1520 1581 1692 1638 1479 1678 1550 1648 606 663 686 670 623 621 601 595 591
600 628 1348 1718 1514 1567 1432 601 661 651 617 640 618 653 646 636 641 671 692 679 592 625 588 596
571 622 681
"""
PROCESSES = np.log(np.array(RECORDED.split(), dtype=float))  # (160)
# Turns of the same work by two loops in one process: the recording nearest to identical
# backends.
TURNS = PROJECT / "results" / "speed" / "pytorch.softmax.json"
NOISE = ("even", "bursts", "pairs", "steps", "drift", "processes", "turns")
TRIALS = 1000
# Rounds; enough to find nearly all false alarms that ever come.
PATIENCE = 40


def pieces(random, recorded, trials, count):
    """Jobs as recorded, in pieces of a dozen or two in their order."""
    starts = random.integers(0, len(recorded), (trials, count))
    keep = random.random((trials, count)) > 1 / 16
    for place in range(1, count):
        starts[:, place] = np.where(keep[:, place], starts[:, place - 1] + 1, starts[:, place])
    return recorded[starts % len(recorded)]


def bursts(random, trials, count, share=1 / 3, length=3.0):
    """Log of 2 to 5 for that share of the jobs, for so many in a row on average; else 0."""
    leave, enter = 1 / length, share / (1 - share) / length
    found, on = np.zeros((trials, count)), random.random(trials) < share
    factor = random.uniform(2, 5, trials)
    for place in range(count):
        found[:, place] = np.where(on, np.log(factor), 0.0)
        draw = random.random(trials)
        entering = ~on & (draw < enter)
        factor = np.where(entering, random.uniform(2, 5, trials), factor)
        on = np.where(on, draw >= leave, entering)
    return found


def jobs(random, noise, trials, count):
    """Logarithms of the seconds of consecutive jobs, all of the same work: (trials, count)."""
    size = (trials, count)
    if noise == "even":
        return random.normal(0, 0.03, size)
    if noise == "bursts":
        return random.normal(0, 0.03, size) + bursts(random, trials, count)
    if noise == "pairs":  # of jobs: in A B B A they hit the same backend twice in a row
        struck = (random.random(size) < 0.1) * np.log(random.uniform(2, 5, size))
        return random.normal(0, 0.03, size) + struck + np.roll(struck, 1, axis=1)
    if noise == "steps":
        # The end of an epoch waits for a timer of 10 ms (2^k - 1), as in tf.data's tuning.
        seconds, timer = random.lognormal(0.2, 0.12, size), 0.01 * (2.0 ** np.arange(4, 12) - 1)
        waited = timer[np.searchsorted(timer, seconds)]
        logs = np.log(np.where(random.random(size) < 0.7, waited, seconds))
        return logs + random.normal(0, 0.002, size)
    if noise == "drift":  # and the second of a round is 3 % slower
        return random.normal(0, 0.03, size).cumsum(axis=1) + 0.03 * (np.arange(count) % 2)
    if noise == "processes":
        return pieces(random, PROCESSES, trials, count)
    seconds = json.loads(TURNS.read_text())["seconds"]
    turns = np.stack([seconds[name]["wall"] for name in ("track", "plain")], axis=1)
    return pieces(random, np.log(turns.ravel()), *size)


def rounds_of(random, noise, trials, rounds, *, slower=0.0, order="abba"):
    """Log ratios within rounds: (trials, rounds).

    The order is A B B A, or drawn by lot; A takes the share `slower` longer.
    """
    taken = jobs(random, noise, trials, 2 * rounds).reshape(trials, rounds, 2)
    first = taken[..., 0] - taken[..., 1]
    lots = random.choice([-1, 1], (trials, rounds)) if order == "lot" else (-1) ** np.arange(rounds)
    return first * lots + log(1 + slower)


def said(logs, looks=EVERY_ROUND, margin=MARGIN):
    """The verdict on log ratios, as `compare` gives it."""
    found = median_interval(logs, VERDICT_LEVEL, looks)
    return verdict(found and (exp(found[0]), exp(found[1])), margin)


def ever_decided(logs, looks=EVERY_ROUND, patience=PATIENCE):
    """Whether there is a verdict after any round, for a user who looks after every round."""
    rounds = range(1, patience + 1)
    return any(said(logs[:n], looks) in ("faster", "slower") for n in rounds)
