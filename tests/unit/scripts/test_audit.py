"""An audit is green only if the service has answered for everything."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scripts.audit import CANARY, Exit, Pin, audit, pins, pip_audit, rounds, tell

LOCKED = {("boto3", "1.44.5"), ("numpy", "2.4.6")}


def service(vulnerable: Mapping[str, str], *, unknown: frozenset[str] = frozenset()) -> Any:
    def ask(asked: Iterable[Pin]) -> Mapping[str, Any]:
        listed = []
        for name, version in asked:
            found = [{"id": vulnerable[name]}] if name in vulnerable else []
            told = {"skip_reason": "?"} if name in unknown else {"vulns": found}
            listed.append({"name": name, "version": version, **told})
        return {"dependencies": listed}

    return ask


def outcome(ask: Any) -> tuple[str, Exit]:
    lines, code = tell(audit(LOCKED, ask), len(LOCKED))
    return "\n".join(lines), code


def test_everything_known_and_nothing_found_is_green() -> None:
    assert outcome(service({CANARY[0]: "CVE-1"})) == ("No known vulnerability in 2 packages.", Exit.CLEAN)


def test_a_vulnerable_package_is_named() -> None:
    text, code = outcome(service({CANARY[0]: "CVE-1", "numpy": "CVE-2"}))
    assert "numpy 2.4.6: CVE-2" in text
    assert code is Exit.VULNERABLE


def test_a_service_that_does_not_answer_is_not_run() -> None:
    text, code = outcome(lambda _: None)
    assert text.startswith("NOT RUN")
    assert code is Exit.NOT_RUN


def test_a_service_that_knows_of_no_vulnerability_at_all_is_not_run() -> None:
    assert outcome(service({}))[1] is Exit.NOT_RUN


def test_packages_of_which_it_says_nothing_are_named_and_not_green() -> None:
    text, code = outcome(service({CANARY[0]: "CVE-1"}, unknown=frozenset({"boto3"})))
    assert "NOT RUN for 1 of 2 packages: boto3 1.44.5" in text
    assert code is Exit.NOT_RUN


def test_a_vulnerability_is_told_even_where_other_answers_are_missing() -> None:
    text, code = outcome(service({CANARY[0]: "CVE-1", "numpy": "CVE-2"}, unknown=frozenset({"boto3"})))
    assert "boto3" in text
    assert code is Exit.VULNERABLE


def test_every_version_of_every_lock_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(
        "numpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:1\nnumpy==2.5.5\n"
    )
    (tmp_path / "b.txt").write_text("av==18.1 \\\n    --hash=sha256:2\n    # via -r x\n")
    wanted = pins(tmp_path.glob("*.txt"))
    assert wanted == {("numpy", "2.4.6"), ("numpy", "2.5.5"), ("av", "18.1")}
    assert rounds(wanted) == [[("av", "18.1"), ("numpy", "2.4.6")], [("numpy", "2.5.5")]]


def test_an_environment_without_the_tool_is_no_answer() -> None:
    assert pip_audit(Path(sys.executable))([CANARY]) is None
    assert pip_audit(Path("/nonexistent/python"))([CANARY]) is None
