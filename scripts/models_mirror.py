"""Copies the locked model files to a folder in a bucket of yours: ``make models-mirror TO=s3://bucket/folder/``.

From then on neither set-up nor the image build depends on who carries them: ``-c modelsMirror=…`` for the build in the
account, ``CLEARTAKE_MODELS_MIRROR`` for ``make setup``. S3 itself checks every upload against the lock's SHA-256.
"""

import argparse
import base64
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpu_container.model_files import entries
from infra.config import Config
from infra.outputs import Output
from scripts.cli.stacks import asking, aws, published, stage_config
from scripts.local.paths import LauncherError
from scripts.models import default_directory, fetch


def mirror(s3: Any, folder: str, files: Mapping[str, Path], *, kms_key: str | None = None) -> list[str]:
    """Bring what is missing or different into ``folder``; return the names of the files that were copied.

    Parameters
    ----------
    folder
        ``s3://bucket/folder/``, with the slash at the end.
    files
        SHA-256 in hexadecimal → the file that has it.
    kms_key
        Encrypts the copies; without it S3's own key does.
    """
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
    copied = []
    for sha256, path in files.items():
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        if _checksum(s3, bucket, prefix + path.name) == checksum:
            continue
        with path.open("rb") as body:
            s3.put_object(
                Bucket=bucket,
                Key=prefix + path.name,
                Body=body,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=checksum,
                **encryption or {"ServerSideEncryption": "AES256"},
            )
        copied.append(path.name)
    return copied


def _checksum(s3: Any, bucket: str, key: str) -> str | None:
    """Return what S3 has verified of an object; None where there is none."""
    try:
        head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in {"404", "NoSuchKey"}:
            return None
        raise
    return str(head.get("ChecksumSHA256"))


def locked_files(directory: Path) -> dict[str, Path]:
    """Return every locked file by its SHA-256, fetched and checked first."""
    fetch(directory)
    return {str(entry["sha256"]): directory / str(entry["file"]) for entry in entries().values() if "file" in entry}


def target(given: str | None, stage: str) -> str:
    """Return the folder to fill: the one that was given, else the one that the deployed stage reads.

    Raises
    ------
    LauncherError
        If neither is there, or it is not a folder in a bucket.
    """
    folder = given or published(stage_config(stage)).get(Output.MODELS_MIRROR)
    if folder is None:
        raise LauncherError(f"The stage {stage} reads no mirror. Name one: make models-mirror TO=s3://bucket/folder/")
    try:
        return str(Config(models_mirror=folder).models_mirror)
    except ValueError:
        raise LauncherError(f"{folder!r} is not a folder in a bucket: s3://bucket/folder/") from None


def main() -> int:
    """Run ``python -m scripts.models_mirror``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", metavar="s3://BUCKET/FOLDER/", help="(default: what the deployed stage reads)")
    parser.add_argument("--stage", default="dev", help="dev, stage or prod (default: %(default)s)")
    parser.add_argument("--kms-key", help="encrypts the copies; whoever reads them needs it too (default: S3's own)")
    parser.add_argument("--dir", type=Path, default=default_directory(), help="where the files are on this machine")
    arguments = parser.parse_args()
    try:
        folder = target(arguments.to, arguments.stage)
        with asking():
            copied = mirror(aws("s3"), folder, locked_files(arguments.dir), kms_key=arguments.kms_key)
    except (LauncherError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{folder}: {', '.join(copied) or 'nothing new'}, all checked\nBuild from it: -c modelsMirror={folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
