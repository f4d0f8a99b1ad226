"""Output for programs: JSON and JUnit XML."""

import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

from kvbackends import __version__
from kvbackends.cli.digest import Digest, Failure
from kvbackends.testing.running import Result

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(
    digests: Sequence[Digest], plugins: Sequence[str], status: int, problem: str
) -> dict[str, Any]:
    """Return the whole run as JSON objects."""
    return {
        "version": 1,
        "kvbackends": __version__,
        "exit_status": status,
        "problem": problem,
        "stores": [_store(each, plugins) for each in digests],
    }


def _store(digest: Digest, plugins: Sequence[str]) -> dict[str, Any]:
    return {
        "url": digest.subject.shown,
        "summary": digest.subject.summary,
        "features": digest.features,
        "overrides": sorted(digest.subject.native),
        "counts": dict(digest.counts),
        "areas": [
            {
                "area": row.area,
                **{
                    mode: {"passed": cell.passed, "failed": cell.failed}
                    for mode, cell in row.cells.items()
                },
                "lacking": {"checks": row.lacking_checks, "features": list(row.lacking)},
                "failing": list(row.failing),
            }
            for row in digest.rows
        ],
        "not_asked": digest.not_asked,
        "failures": [_failure(each, plugins) for each in digest.failures],
        "runs": [_run(each) for each in digest.results],
    }


def _failure(failure: Failure, plugins: Sequence[str]) -> dict[str, Any]:
    return {
        "check": failure.check.name,
        "summary": failure.check.summary,
        "rule": failure.check.rule,
        "rule_text": failure.check.rule_text,
        "modes": failure.modes,
        "cases": [each.case for each in failure.runs],
        "message": failure.message,
        "likely": failure.likely,
        "printed": failure.teller.printed,
        "example": failure.example,
        "where": [frame._asdict() for frame in failure.where],
        "reproduce": failure.reproduce(plugins),
        "details": failure.teller.details,
    }


def _run(result: Result) -> dict[str, Any]:
    return {
        "check": result.check,
        "mode": result.mode,
        "case": result.case,
        "outcome": result.outcome,
        "message": result.message,
        "seconds": round(result.seconds, 4),
    }


def as_junit(digests: Sequence[Digest], plugins: Sequence[str], problem: str) -> bytes:
    """Return a suite for each store; if nothing could run, one with the reason as its error."""
    root = ET.Element("testsuites", name="kvbackends conformance")
    for digest in digests:
        _suite(root, digest, plugins)
    if problem:
        suite = ET.SubElement(root, "testsuite", name="kvbackends", tests="1", errors="1")
        case = ET.SubElement(suite, "testcase", classname="kvbackends", name="can run")
        ET.SubElement(case, "error", message=_text(problem))
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _suite(root: ET.Element, digest: Digest, plugins: Sequence[str]) -> None:
    counts = digest.counts
    suite = ET.SubElement(
        root,
        "testsuite",
        name=_text(digest.subject.shown),
        tests=str(len(digest.results)),
        failures=str(counts["failed"]),
        skipped=str(counts["lacking"] + counts["skipped"]),
        errors="0",
        time=f"{sum(each.seconds for each in digest.results):.3f}",
    )
    failures = {each.check.name: each for each in digest.failures}
    for result in digest.results:
        _case(suite, result, failures.get(result.check), plugins)


def _case(
    suite: ET.Element, result: Result, failure: Failure | None, plugins: Sequence[str]
) -> None:
    area, _, name = result.check.partition(".")
    case = ET.SubElement(
        suite,
        "testcase",
        classname=f"{_text(suite.get('name', ''))}.{area}",
        name=_text(f"{name}[{result.case}]"),
        time=f"{result.seconds:.3f}",
    )
    if result.outcome == "failed" and failure is not None:
        element = ET.SubElement(case, "failure", message=_text(result.message))
        told = f"rule: {failure.check.rule}\nreproduce: {failure.reproduce(plugins)}"
        element.text = _text(f"{told}\n\n{result.details}")
    elif result.outcome in {"lacking", "skipped"}:
        ET.SubElement(case, "skipped", message=_text(result.message))


def _text(text: str) -> str:
    # XML cannot represent most control characters.
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
