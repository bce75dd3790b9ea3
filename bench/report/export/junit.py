"""Writes the result of a check as JUnit XML, which CI systems show."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from bench.report.form.visible import visible
from bench.statistics.gate import CheckResult

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # frameworks put them into their messages


def junit(checked: CheckResult, name: str) -> bytes:
    """The result of a check as JUnit XML in UTF-8.

    It has a test case per result. Doubts have a test case per workload and device, with the remarks
    as its output. A result that was not checked is a failure, or is skipped if that is allowed.
    """
    suite = ET.Element("testsuite", name=_text(name))
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
            ET.SubElement(case, "system-out").text = "\n".join(map(_text, doubts.remarks))
    failures, skipped = (str(len(suite.findall(f"*/{end}"))) for end in ("failure", "skipped"))
    suite.attrib.update(tests=str(len(suite)), failures=failures, skipped=skipped)
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))


def _add_case(suite: ET.Element, classname: str, name: str, end: str, message: str) -> ET.Element:
    case = ET.SubElement(suite, "testcase", classname=_text(classname), name=_text(name))
    if end:
        ET.SubElement(case, end, message=_text(message))
    return case


def _text(text: str) -> str:
    """The text without control characters, which XML cannot contain."""
    return visible(_COLOURS.sub("", text))
