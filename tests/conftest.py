"""Rules of every suite: with CI=1 nothing is skipped in silence."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is the machine's affair; all else stays as it is, on CI as Hypothesis sets it there.
settings.register_profile("cleartake", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cleartake")

ALLOWED_SKIPS = Path(__file__).with_name("ALLOWED_SKIPS")

_unexplained: list[str] = []


def _allowed() -> set[str]:
    """Return the test ids that may be skipped: the first word of each line, a reason behind it."""
    lines = (line.split("#", 1)[0].split() for line in ALLOWED_SKIPS.read_text().splitlines())
    return {words[0] for words in lines if len(words) > 1}


@pytest.fixture(scope="session", autouse=True)
def _services_are_described_once() -> Iterator[None]:
    """Share what boto3 reads from its files: every test on moto begins with a session that would read it again."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(botocore.session, "create_loader", functools.cache(botocore.session.create_loader))
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.skipped and item.nodeid not in _allowed():
        _unexplained.append(item.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Count whole modules that skip themselves, for want of a package say."""
    if report.skipped and report.nodeid not in _allowed():
        _unexplained.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get("CI") and _unexplained:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    if os.environ.get("CI") and _unexplained:
        terminalreporter.section("skipped without a line in tests/ALLOWED_SKIPS", red=True)
        for node in _unexplained:
            terminalreporter.line(node)
