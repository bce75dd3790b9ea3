"""`bench export`: writes a run in another format."""

from __future__ import annotations

import argparse
import sys

from bench.command.report import warn_left_out
from bench.records.files import write_atomically


def export(options: argparse.Namespace) -> int:
    """`bench export`: write a run in another format, to standard output or a file."""
    from bench.report.export.run import export  # see bench.command.report.write_run_report

    content, left_out, disagreement = export(options.run, options.format)
    warn_left_out(left_out)
    if disagreement:
        print(f"bench: {disagreement}", file=sys.stderr)
    if options.output:
        write_atomically(options.output, content)
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    return 0
