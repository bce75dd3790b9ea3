"""The exceptions that a user sees as a message without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """A mistake that the user can correct.

    The command line prints it without a traceback and exits with 2.

    Args:
        problem: one sentence that names the value and says what is wrong with it.
        expected: a description of a correct value.
        hint: what to do or type; "" if there is nothing to suggest.
    """

    def __init__(self, problem: str, *, expected: str = "", hint: str = "") -> None:
        super().__init__(problem)
        self.problem, self.expected, self.hint = problem, expected, hint

    def __str__(self) -> str:
        lines = [self.problem]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class SpecError(UserError):
    """A workload or suite is not valid. The problem begins with the file and the JSON path."""


def closest(name: str, among: list[str]) -> str:
    """A hint with the most similar name, or "" if no name is similar."""
    import difflib  # only a mistake needs it

    matches = difflib.get_close_matches(name, among, n=1, cutoff=0.6)
    return f"did you mean '{matches[0]}'?" if matches else ""
