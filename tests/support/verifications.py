"""Records that a verification may apply to."""

from __future__ import annotations

from msgspec.structs import replace

from tests.support.records import make_record


def record(**changes):
    made = make_record(changes.pop("key", "k"), backend="pytorch", **changes.pop("job", {}))
    return replace(made, **{"adapter_checksum": "a", **changes})
