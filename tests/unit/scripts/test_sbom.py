"""The bills of materials: what CycloneDX 1.6 asks for, and every locked package in them."""

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from gpu_container.model_files import entries
from scripts import sbom

LOCK = """\
first==1.0 \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
    # via cleartake (pyproject.toml)
Second_Package[extra]==2.0.1 ; python_full_version < '3.12' \\
    --hash=sha256:{a}
    # via
    #   first
    #   -r requirements/other.in
""".format(a="a" * 64, b="b" * 64)


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("sbom")
    assert sbom.main(["--out", str(folder)]) == 0
    return {path.name.removesuffix(".cdx.json"): json.loads(path.read_text()) for path in folder.iterdir()}


def test_a_lock_is_read_with_hashes_markers_and_parents() -> None:
    first, second = sbom.read_lock(LOCK)
    assert (first.purl, first.hashes, first.marker, first.wanted_by) == (
        "pkg:pypi/first@1.0", ("a" * 64, "b" * 64), None, (),
    )  # fmt: skip
    assert second.purl == "pkg:pypi/second-package@2.0.1"
    assert (second.marker, second.wanted_by) == ("python_full_version < '3.12'", ("first",))


@pytest.mark.parametrize("text", ["loose>=1.0\n", "bare==1.0\n    # via cleartake\n"])
def test_what_is_not_pinned_and_hashed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a pinned|without a hash"):
        sbom.read_lock(text)


@pytest.mark.parametrize("name", sbom.SHIPPED)
def test_required_fields(bills: dict[str, dict[str, Any]], name: str) -> None:
    bill = bills[name]
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    uuid.UUID(bill["serialNumber"].removeprefix("urn:uuid:"))
    assert bill["metadata"]["component"]["type"] == "application"
    for component in bill["components"]:
        assert component["type"] in {"library", "machine-learning-model"}
        assert component["name"]
        assert component["version"]
        hashes = component.get("hashes") or component["externalReferences"][0]["hashes"]
        assert hashes
        assert all(one["alg"] == "SHA-256" and re.fullmatch("[0-9a-f]{64}", one["content"]) for one in hashes)
        assert len({one["content"] for one in hashes}) == len(hashes)
        if component["type"] == "library":
            assert re.fullmatch(r"pkg:pypi/[a-z0-9][a-z0-9-]*@\S+", component["purl"])


@pytest.mark.parametrize("name", sbom.SHIPPED)
def test_references_are_unique_and_lead_somewhere(bills: dict[str, dict[str, Any]], name: str) -> None:
    bill = bills[name]
    product = bill["metadata"]["component"]["bom-ref"]
    references = [product, *(component["bom-ref"] for component in bill["components"])]
    assert len(set(references)) == len(references)
    edges = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    assert edges.keys() == set(references)
    reached, waiting = {product}, [product]
    while waiting:
        fresh = set(edges[waiting.pop()]) - reached
        reached |= fresh
        waiting += fresh
    assert reached == set(references)


@pytest.mark.parametrize("name", sbom.SHIPPED)
def test_every_locked_package_and_every_model_file_is_listed(bills: dict[str, dict[str, Any]], name: str) -> None:
    lock = (Path(sbom.LOCKS) / f"{name}.txt").read_text()
    libraries = [one for one in bills[name]["components"] if one["type"] == "library"]
    assert len(libraries) == len(re.findall(r"^[A-Za-z0-9]", lock, re.MULTILINE)) > 5
    models = {one["name"] for one in bills[name]["components"] if one["type"] == "machine-learning-model"}
    assert models == ({key for key, entry in entries().items() if "file" in entry} if name != "lambda" else set())


def test_the_same_locks_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = sbom.write_all(tmp_path / "a"), sbom.write_all(tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
