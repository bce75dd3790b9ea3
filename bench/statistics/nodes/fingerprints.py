"""Compares the final weights of nodes: a node whose bits differ from the other nodes' is wrong.

A program that trains from one seed on one kind of device often gives weights that are equal to the
last bit, on every node and in every repeat. A node that differs then has a fault without an error
message (silent data corruption). If a program sums in a changing order, healthy nodes differ, too.
So a training counts only if nine of ten nodes are equal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from typing import NamedTuple

from msgspec import Struct

MOST_OTHERS = 0.1  # the share of nodes that may differ; one node always may
FEWEST_EQUAL = 3


class Trained(NamedTuple):
    """The final weights of one job.

    Attributes:
        training: all that decides the bits: backend, versions, kind of device, data, seed, others.
        name: the training in words, for the report.
        node: the node that ran the job.
        checksum: the checksum of the weights.
    """

    training: Hashable
    name: str
    node: str
    checksum: str


class Fingerprint(Struct, frozen=True, kw_only=True):
    """The nodes' weights after one training.

    Attributes:
        name: the name of the training.
        nodes: the number of nodes that ran it.
        equal: the number of nodes whose weights are equal to the last bit, in all repeats.
        others: the nodes that differ, if nearly all nodes are equal.
        is_repeatable: whether nearly all nodes are equal; if not, a difference shows nothing.
    """

    name: str
    nodes: int
    equal: int
    others: tuple[str, ...]
    is_repeatable: bool


def compare_fingerprints(ends: Iterable[Trained]) -> list[Fingerprint]:
    """One fingerprint per training that ran on at least two nodes."""
    trainings: dict[Hashable, list[Trained]] = defaultdict(list)
    for end in ends:
        trainings[end.training].append(end)
    fingerprints = [_fingerprint(same) for same in trainings.values()]
    return [fingerprint for fingerprint in fingerprints if fingerprint.nodes > 1]


def _fingerprint(same: list[Trained]) -> Fingerprint:
    by_node: dict[str, set[str]] = defaultdict(set)
    for end in same:
        by_node[end.node].add(end.checksum)
    repeated = Counter(next(iter(bits)) for bits in by_node.values() if len(bits) == 1)
    usual, equal = next(iter(repeated.most_common(1)), ("", 0))
    others = tuple(sorted(node for node, bits in by_node.items() if bits != {usual}))
    few_differ = len(others) <= max(1, MOST_OTHERS * len(by_node))
    is_repeatable = few_differ and equal >= FEWEST_EQUAL
    return Fingerprint(
        name=same[0].name,
        nodes=len(by_node),
        equal=equal,
        others=others if is_repeatable else (),
        is_repeatable=is_repeatable,
    )
