"""``docs/security.md`` names a test for each control; a control whose test has gone is none."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")


def test_every_named_test_exists() -> None:
    named = NAMED.findall(PAGE)
    assert len(named) > 40
    assert [f"{path}::{name}" for path, name in named if name not in _tests_in(ROOT / path)] == []


def test_every_control_names_a_test() -> None:
    table = PAGE.split("## Controls", 1)[1].split("## ", 1)[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 25
    assert [row for row in rows if not NAMED.search(row)] == []


def _tests_in(path: Path) -> set[str]:
    """Return the tests of a file as pytest names them, without importing it."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        inner = node.body if isinstance(node, ast.ClassDef) else []
        names |= {f"{node.name}::{one.name}" for one in inner if isinstance(one, ast.FunctionDef)}  # type: ignore[attr-defined]
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
    return names
