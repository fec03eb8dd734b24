"""Bills of materials (CycloneDX 1.6 JSON), one for each thing that ships: ``python -m scripts.sbom --out build/sbom``.

Made of the hash-locked requirements and ``models.lock`` alone: the same locks give the same bytes on any machine. What
the image's base brings (Debian, CPython) is in no lock of ours: scan the built image for it.

Format: https://cyclonedx.org/docs/1.6/json/; package URLs: https://github.com/package-url/purl-spec (type ``pypi``).
"""

import argparse
import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_container.model_files import entries

REPOSITORY = Path(__file__).resolve().parent.parent
LOCKS = REPOSITORY / "requirements"

SHIPPED = ("lambda", "container-cpu", "container-gpu")
"""Lock files of what runs in the account; the rest never leaves a developer's machine."""

MARKER = "cleartake:environment-marker"

_PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\]+?))?\s*\\?$"
)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Pin:
    """One locked package: its files' hashes, where it is installed, and who asked for it."""

    name: str
    version: str
    hashes: tuple[str, ...]
    marker: str | None
    wanted_by: tuple[str, ...]

    @property
    def purl(self) -> str:
        """Package URL, which is also its reference in the document."""
        return f"pkg:pypi/{re.sub(r'[-_.]+', '-', self.name).lower()}@{self.version}"


def read_lock(text: str) -> list[Pin]:
    """Read a lock file as ``uv pip compile --generate-hashes`` writes it.

    Raises
    ------
    ValueError
        If a package has no hash, or a line is none that is known: nothing may be left out in silence.
    """
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            blocks.append([line])
        elif line.strip() and blocks:
            blocks[-1].append(line.strip())
    return [_pin(block) for block in blocks]


def _pin(block: Sequence[str]) -> Pin:
    found = _PIN.match(block[0])
    if found is None:
        raise ValueError(f"not a pinned requirement: {block[0]!r}")
    hashes = tuple(_HASH.findall("\n".join(block)))
    if not hashes:
        raise ValueError(f"{found['name']} is locked without a hash")
    return Pin(found["name"], found["version"], hashes, found["marker"], tuple(_wanted_by(block[1:])))


def _wanted_by(lines: Iterable[str]) -> Iterable[str]:
    """Yield the names in a block's ``# via`` comment; the project itself and its ``.in`` files are not packages."""
    comments = (line.lstrip("# ").removeprefix("via").strip() for line in lines if line.startswith("#"))
    return (name for name in comments if re.fullmatch(r"[A-Za-z0-9._-]+", name))


def bill_of(name: str, pins: Sequence[Pin], models: Mapping[str, Mapping[str, Any]], *, version: str) -> dict[str, Any]:
    """Return the document for one shipped thing."""
    product = f"pkg:generic/cleartake-{name}@{version}"
    weights = [_model(key, entry) for key, entry in models.items() if "file" in entry]
    components = sorted([*map(_package, pins), *weights], key=lambda one: str(one["bom-ref"]))
    content = {
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": product,
                "name": f"cleartake-{name}",
                "version": version,
                "purl": product,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
        "dependencies": _dependencies(product, pins, weights),
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        **content,
    }


def _package(pin: Pin) -> dict[str, Any]:
    # The hashes are those of the files at the index, any of which may be the one that is installed.
    files = {
        "type": "distribution",
        "url": f"https://pypi.org/project/{pin.name}/{pin.version}/",
        "hashes": [{"alg": "SHA-256", "content": content} for content in pin.hashes],
    }
    marker = {"properties": [{"name": MARKER, "value": pin.marker}]} if pin.marker else {}
    return {
        "type": "library",
        "bom-ref": pin.purl,
        "name": pin.name,
        "version": pin.version,
        "purl": pin.purl,
        "externalReferences": [files],
        **marker,
    }


def _model(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{name}",
        "name": name,
        "version": str(entry["sha256"])[:12],
        "hashes": [{"alg": "SHA-256", "content": entry["sha256"]}],
        "licenses": [{"expression": entry["licence"]}],
    }


def _dependencies(product: str, pins: Sequence[Pin], weights: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Turn "wanted by" round: each reference once, with what it depends on; the product with all that nobody wants."""
    edges: dict[str, set[str]] = {product: {str(one["bom-ref"]) for one in weights}}
    edges |= {pin.purl: set() for pin in pins} | {str(one["bom-ref"]): set() for one in weights}
    by_name: dict[str, list[str]] = {}
    for pin in pins:
        by_name.setdefault(pin.name, []).append(pin.purl)
    for pin in pins:
        parents = [purl for name in pin.wanted_by for purl in by_name.get(name, ())]
        for parent in parents or [product]:
            edges[parent].add(pin.purl)
    return [{"ref": ref, "dependsOn": sorted(children)} for ref, children in sorted(edges.items())]


def write_all(out: Path) -> list[Path]:
    """Write one document for each of `SHIPPED` and return their paths."""
    version = str(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"])
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name in SHIPPED:
        models = entries() if name.startswith("container") else {}
        bill = bill_of(name, read_lock((LOCKS / f"{name}.txt").read_text()), models, version=version)
        path = out / f"{name}.cdx.json"
        path.write_text(json.dumps(bill, indent=1) + "\n")
        written.append(path)
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the bills and print where they are."""
    parser = argparse.ArgumentParser(prog="python -m scripts.sbom", description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "build" / "sbom")
    for path in write_all(parser.parse_args(arguments).out):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
