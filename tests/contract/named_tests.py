"""Pages of ``docs/`` that name a test for each of their claims: a claim whose test has gone is none."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")


def page(name: str) -> str:
    """Return a page's text."""
    return (ROOT / "docs" / name).read_text()


def missing(text: str) -> list[str]:
    """Return the tests that a page names and nobody has written."""
    return [f"{path}::{name}" for path, name in NAMED.findall(text) if name not in _tests_in(ROOT / path)]


def rows(text: str, heading: str) -> list[str]:
    """Return the rows of the table under a heading, without its head."""
    table = text.split(f"## {heading}\n", 1)[1].split("## ", 1)[0]
    return [line for line in table.splitlines() if line.startswith("| ")][1:]


def _tests_in(path: Path) -> set[str]:
    """Return the tests of a file as pytest names them, without importing it."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        inner = node.body if isinstance(node, ast.ClassDef) else []
        names |= {f"{node.name}::{one.name}" for one in inner if isinstance(one, ast.FunctionDef)}  # type: ignore[attr-defined]
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
    return names
