"""A member of a team that does as it is told: `tests/backends/test_team.py`."""

import os
import time


class Member:
    """Made with its number; `act` gets what each number does."""

    def __init__(self, description):
        self._number = description["number"]

    def act(self, plan):
        what, *arguments = plan[self._number]
        if what == "sleep":
            time.sleep(*arguments)
        if what == "kill":
            os.kill(os.getpid(), *arguments)
        if what == "raise":
            kind, text = arguments
            raise type(kind, (Exception,), {})(text)
        return self._number
