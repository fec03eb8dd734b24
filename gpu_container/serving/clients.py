"""The AWS clients a worker needs, made once per process (boto3 clients are thread-safe, sessions are not)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from gpu_container.serving.settings import ServingSettings

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_s3 import S3Client
    from types_boto3_stepfunctions import SFNClient


@dataclass(frozen=True)
class Clients:
    """What a worker may call; its role allows no more than this either."""

    s3: "S3Client"
    dynamodb: "DynamoDBClient"
    stepfunctions: "SFNClient"


def make_clients(settings: ServingSettings) -> Clients:
    """Make the clients; ``AWS_ENDPOINT_URL`` and the region are read by boto3 itself."""
    patient = Config(
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": 5},
        # Each order moves one file with several connections, and every order has its heartbeats.
        max_pool_connections=10 * settings.max_concurrent + 5,
    )
    # A heartbeat that hangs is worth less than the next one.
    brisk = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})
    return Clients(
        s3=boto3.client("s3", config=patient.merge(Config(s3={"addressing_style": settings.s3_addressing}))),
        dynamodb=boto3.client("dynamodb", config=brisk),
        stepfunctions=boto3.client("stepfunctions", config=brisk),
    )
