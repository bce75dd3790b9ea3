"""Makes two folded parts of "Can I trust this?": the frameworks' defaults, and the gaps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from backends.defaults import SETTINGS
from backends.defaults_of import defaults_of
from backends.family import GAPS_OF_ALL
from backends.registry import GAPS, refusal
from bench.report.form.blocks import Block, Table, Text
from specs.loading import find_suite, find_workload

_DEFAULTS = (
    "Each framework's default, the value in the workload, and what we set. The tests read these"
    " defaults from the installed frameworks."
)


def defaults(backends: Sequence[str]) -> list[Block]:
    """A row per setting, default and adapter's treatment, with the names of the backends."""
    by_setting_of = {
        name: {default.setting: default for default in defaults_of(name)} for name in backends
    }
    rows: list[tuple[str, ...]] = []
    for setting in SETTINGS:
        backends_by_text: dict[tuple[str, str], list[str]] = defaultdict(list)
        for backend, by_setting in by_setting_of.items():
            if default := by_setting.get(setting.name):
                backends_by_text[default.text, default.ours].append(backend)
        first = (setting.name, setting.workload_value)
        for (text, ours), names in backends_by_text.items():
            rows.append((*first, ", ".join(names), text, ours))
            first = ("", "")
    columns = ("setting", "workload value", "backends", "default", "what we set")
    return [Text(_DEFAULTS), Table(columns, tuple(rows))]


def gaps(backends: Sequence[str]) -> list[Block]:
    """A row per feature or model that a backend lacks, or that is not verified."""
    rows = [
        (backend, feature, gap.kind, gap.reason)
        for backend in backends
        for feature, gap in GAPS.get(backend, {}).items()
    ]
    rows += [
        (backend, ", ".join(workloads), "never", reason)
        for backend in backends
        for reason, workloads in refused(backend).items()
    ]
    rows += [("all", feature, gap.kind, gap.reason) for feature, gap in GAPS_OF_ALL.items()]
    return [Table(("backend", "feature", "gap", "why"), tuple(rows))]


def refused(backend: str) -> dict[str, list[str]]:
    """Reason -> the course's workloads that a backend cannot run; empty for most backends."""
    by_reason: dict[str, list[str]] = {}
    for part in find_suite("course").workloads:
        if reason := refusal(backend, find_workload(part.workload)):
            by_reason.setdefault(reason, []).append(part.workload)
    return by_reason
