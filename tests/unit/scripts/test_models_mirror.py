"""Model files in a bucket of the customer's: what goes there, and that it is asked first."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from scripts import models, models_mirror
from scripts.local.paths import LauncherError

FOLDER = "s3://ours/models/"
WEIGHTS = b"weights"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("DEFAULT_REGION", "eu-west-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="ours", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield client


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    path = tmp_path / "net.onnx"
    path.write_bytes(WEIGHTS)
    return {hashlib.sha256(WEIGHTS).hexdigest(): path}


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lock one small file, whose source of its own is gone."""
    entry = {
        "file": "net.onnx",
        "sha256": hashlib.sha256(WEIGHTS).hexdigest(),
        "size_bytes": len(WEIGHTS),
        "licence": "MIT",
        "sources": [{"kind": "path", "path": "/nonexistent/net.onnx"}],
    }
    monkeypatch.setattr(models, "entries", lambda: {"net": entry})


def test_files_are_copied_once_encrypted_and_with_their_checksum(s3: Any, files: dict[str, Path]) -> None:
    assert models_mirror.mirror(s3, FOLDER, files) == ["net.onnx"]
    assert models_mirror.mirror(s3, FOLDER, files) == []
    head = s3.head_object(Bucket="ours", Key="models/net.onnx", ChecksumMode="ENABLED")
    assert head["ServerSideEncryption"] == "AES256"
    assert head["ChecksumSHA256"]


def test_a_key_of_the_customers_may_encrypt(s3: Any, files: dict[str, Path]) -> None:
    models_mirror.mirror(s3, FOLDER, files, kms_key="alias/ours")
    assert s3.head_object(Bucket="ours", Key="models/net.onnx")["ServerSideEncryption"] == "aws:kms"


def test_other_bytes_under_the_same_name_are_replaced(s3: Any, files: dict[str, Path]) -> None:
    s3.put_object(Bucket="ours", Key="models/net.onnx", Body=b"other")
    assert models_mirror.mirror(s3, FOLDER, files) == ["net.onnx"]
    assert s3.get_object(Bucket="ours", Key="models/net.onnx")["Body"].read() == WEIGHTS


def test_a_bucket_that_refuses_is_an_error(s3: Any, files: dict[str, Path]) -> None:
    with pytest.raises(ClientError):
        models_mirror.mirror(s3, "s3://somebody-elses/", files)


@pytest.mark.usefixtures("lock")
class TestFetching:
    def test_the_mirror_is_asked_first(self, s3: Any, files: dict[str, Path], tmp_path: Path) -> None:
        models_mirror.mirror(s3, FOLDER, files)
        (fetched,) = models.fetch(tmp_path / "here", mirror=FOLDER)
        assert fetched.read_bytes() == WEIGHTS

    def test_a_mirror_with_other_bytes_is_passed_over(self, s3: Any, tmp_path: Path) -> None:
        s3.put_object(Bucket="ours", Key="models/net.onnx", Body=b"other")
        with pytest.raises(RuntimeError, match="s3: the file is another one than the lock names"):
            models.fetch(tmp_path / "here", mirror=FOLDER)
        assert not list((tmp_path / "here").iterdir())

    def test_an_empty_mirror_leaves_the_locks_own_sources(self, s3: Any, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match=r"s3: .*404.*; path: "):
            models.fetch(tmp_path / "here", mirror=FOLDER)


def test_without_an_argument_the_deployed_stage_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_mirror, "published", lambda config: {"ModelsMirror": FOLDER})
    assert models_mirror.target(None, "prod") == FOLDER
    monkeypatch.setattr(models_mirror, "published", lambda config: {})
    with pytest.raises(LauncherError, match="reads no mirror"):
        models_mirror.target(None, "prod")


@pytest.mark.parametrize("folder", ["s3://bucket/models", "bucket", "https://example.org/models/"])
def test_what_is_no_folder_in_a_bucket_is_refused(folder: str) -> None:
    with pytest.raises(LauncherError, match="not a folder in a bucket"):
        models_mirror.target(folder, "dev")
