"""Writes the OpenAPI document of the whole API, or tells whether the committed one is still it."""

import argparse
import json
import sys
from pathlib import Path

from lambdas.dialects.openapi import document

COMMITTED = Path(__file__).resolve().parents[1] / "docs" / "openapi.json"


def text() -> str:
    """Return the document as it is committed."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Compare, or write with ``--write``; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew docs/openapi.json")
    if parser.parse_args().write:
        COMMITTED.write_text(text(), encoding="utf-8")
        return 0
    if COMMITTED.read_text(encoding="utf-8") == text():
        return 0
    print("docs/openapi.json is not what the route table says; renew it: python -m scripts.openapi --write")
    return 1


if __name__ == "__main__":
    sys.exit(main())
