"""What of our own text a module runs: a change to any of it may change what it computes."""

from __future__ import annotations

import hashlib
import re

from bench import environments

_DIGITS = 16
# Our modules that a file of ours imports, however it is written; the rules' test holds imports to these forms.
_IMPORTS = re.compile(r"^\s*(?:from|import) ((?:bench|backends|specs)(?:\.\w+)*)(?: import (.+))?$", re.MULTILINE)


def checksum_of(*modules: str) -> str:
    """Of the text of these modules ("package.module", or an adapter's "package.module:Class") and all they import."""
    found: dict[str, bytes] = {}
    ahead = [module.partition(":")[0] for module in modules]
    while ahead:
        module = ahead.pop()
        path = environments.PROJECT.joinpath(*module.split(".")).with_suffix(".py")
        if module in found or not path.is_file():
            continue
        found[module] = path.read_bytes()
        for name, parts in _IMPORTS.findall(found[module].decode()):
            ahead += [name, *(f"{name}.{part.strip()}" for part in parts.split(","))]  # one of these is a file
    return hashlib.sha256(b"".join(found[module] for module in sorted(found))).hexdigest()[:_DIGITS]
