"""Compares the weights that nodes end with: a node whose bits differ from the others' is wrong.

Where the same program trains from the same seed on the same kind of device, its weights are often
equal to the last bit, on every node and in every repeat. A node that differs then has a fault that
no error shows (silent data corruption). Where a program sums in an order that changes, nodes differ
anyway, and nothing is concluded: so a training counts only if nine of ten nodes are equal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from typing import NamedTuple

from msgspec import Struct

MOST_OTHERS = 0.1  # of the nodes may differ; one may in any case
FEWEST_EQUAL = 3


class Trained(NamedTuple):
    """The end of one job.

    Attributes:
        training: what decides the bits: backend, versions, kind of device, data, seed and others.
        name: that in words, as far as a reader needs it.
        node: where it ran.
        checksum: of the weights.
    """

    training: Hashable
    name: str
    node: str
    checksum: str


class Fingerprint(Struct, frozen=True, kw_only=True):
    """The nodes' weights after one training.

    Attributes:
        name: of the training.
        nodes: how many trained it.
        equal: how many of them are equal to the last bit, in all their repeats.
        others: the nodes that differ, if nearly all others are equal.
        is_repeatable: whether nearly all are equal; else nothing follows from a difference.
    """

    name: str
    nodes: int
    equal: int
    others: tuple[str, ...]
    is_repeatable: bool


def compare_fingerprints(ends: Iterable[Trained]) -> list[Fingerprint]:
    """A fingerprint per training that two nodes or more have done."""
    trainings: dict[Hashable, list[Trained]] = defaultdict(list)
    for end in ends:
        trainings[end.training].append(end)
    found = [_fingerprint(same) for same in trainings.values()]
    return [each for each in found if each.nodes > 1]


def _fingerprint(same: list[Trained]) -> Fingerprint:
    by_node: dict[str, set[str]] = defaultdict(set)
    for end in same:
        by_node[end.node].add(end.checksum)
    repeated = Counter(next(iter(bits)) for bits in by_node.values() if len(bits) == 1)
    usual, equal = next(iter(repeated.most_common(1)), ("", 0))
    others = tuple(sorted(node for node, bits in by_node.items() if bits != {usual}))
    few = len(others) <= max(1, MOST_OTHERS * len(by_node))
    is_repeatable = few and equal >= FEWEST_EQUAL
    return Fingerprint(
        name=same[0].name,
        nodes=len(by_node),
        equal=equal,
        others=others if is_repeatable else (),
        is_repeatable=is_repeatable,
    )
