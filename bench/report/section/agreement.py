"""Makes the alarm at the top of a report: results that disagree with the other backends."""

from __future__ import annotations

import pandas as pd

from bench.report.form.document import Alarm, Block
from bench.report.frame.agreement import headline, lines_of

_MEANING = (
    "In matched mode all backends do the same work from the same weights, so a result that is far"
    " from the others is wrong. It is left out of every figure, ranking and plot below."
)


def alarm_blocks(frame: pd.DataFrame) -> list[Block]:
    """A red box with a line per job that disagrees; nothing if all agree."""
    return [Alarm(headline(frame), _MEANING, tuple(lines_of(frame)))] if headline(frame) else []
