"""The AWS clients a worker needs (boto3 clients are thread-safe, sessions are not)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from gpu_container.serving.settings import ServingSettings

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_s3 import S3Client
    from types_boto3_stepfunctions import SFNClient


@dataclass(frozen=True)
class Clients:
    """What a worker may call; its credentials allow no more than this either."""

    s3: "S3Client"
    dynamodb: "DynamoDBClient"
    stepfunctions: "SFNClient"


def make_clients(settings: ServingSettings, make: Callable[..., Any] = boto3.client) -> Clients:
    """Make the clients with a session's ``make``; ``AWS_ENDPOINT_URL`` and the region are read by boto3 itself."""
    patient = Config(
        connect_timeout=5,
        read_timeout=60,
        # A minute on average before an attempt is given up: storage that refuses for that long has cost no job one.
        retries={"mode": "standard", "total_max_attempts": 10},
        # Each order moves one file with several connections, and every order has its heartbeats.
        max_pool_connections=10 * settings.max_concurrent + 5,
    )
    # A heartbeat that hangs is worth less than the next one.
    brisk = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})
    return Clients(
        s3=make("s3", config=patient.merge(Config(s3={"addressing_style": settings.s3_addressing}))),
        dynamodb=make("dynamodb", config=brisk),
        stepfunctions=make("stepfunctions", config=brisk),
    )
