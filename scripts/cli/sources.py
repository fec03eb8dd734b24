"""Recordings as a command line names them: a file, an address, an asset, an object in a bucket."""

import argparse

from cleartake_client import FetchedSource, Recording, S3Source, UrlSource
from scripts.local.paths import LauncherError

PLACES = "FILE|URL|s3://…"


def add_role(parser: argparse.ArgumentParser) -> None:
    """Let a command take recordings out of buckets."""
    parser.add_argument("--role", metavar="ARN", help="role that you lend for reading s3://…, see docs/sources.md")


def recording_of(source: str, role_arn: str | None) -> Recording:
    """Return what the client takes; raises `LauncherError` for a bucket without a role."""
    if not source.startswith("s3://"):
        return source
    if role_arn is None:
        raise LauncherError(f"{source} needs --role ARN, the role that you lend for reading it: see docs/sources.md")
    return S3Source(source, role_arn)


def fetched_source_of(source: str, role_arn: str | None) -> FetchedSource:
    """Return what the service is to fetch. Raises as `recording_of`."""
    recording = recording_of(source, role_arn)
    return recording if isinstance(recording, S3Source) else UrlSource(source)
