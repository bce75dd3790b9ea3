"""Writes the result of a check as JUnit XML, which CI systems show."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from bench.statistics.gate import CheckResult

# Characters that XML cannot hold; frameworks put escape sequences into their messages.
_CONTROL = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x08\x0b\x0c\x0e-\x1f]")


def junit(checked: CheckResult, name: str) -> bytes:
    """The result of a check as JUnit XML in UTF-8.

    It has a test case per result, and one per workload and device for doubts, with the remarks as
    its output. A result that was not checked is a failure, or skipped where that is allowed.
    """
    suite = ET.Element("testsuite", name=_CONTROL.sub("", name))
    for verdict in checked.results:
        workload, backend, device = verdict.result
        end = "" if verdict.passed else "skipped" if checked.lets_pass(verdict) else "failure"
        message = f"{verdict.status}: {verdict.reason}"
        _add_case(suite, f"accuracy.{workload}", f"{backend} {device}", end, message)
    for doubts in checked.doubts:
        end = "" if doubts.passed else "failure"
        message = f"in doubt: {'; '.join(doubts.reasons)}"
        case = _add_case(suite, f"doubts.{doubts.workload}", doubts.device, end, message)
        if doubts.remarks:
            ET.SubElement(case, "system-out").text = _CONTROL.sub("", "\n".join(doubts.remarks))
    failures, skipped = (str(len(suite.findall(f"*/{end}"))) for end in ("failure", "skipped"))
    suite.attrib.update(tests=str(len(suite)), failures=failures, skipped=skipped)
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))


def _add_case(suite: ET.Element, classname: str, name: str, end: str, message: str) -> ET.Element:
    case = ET.SubElement(
        suite, "testcase", classname=_CONTROL.sub("", classname), name=_CONTROL.sub("", name)
    )
    if end:
        ET.SubElement(case, end, message=_CONTROL.sub("", message))
    return case
