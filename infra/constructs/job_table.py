"""The one table: clients, assets, jobs, task tokens and uniqueness, by key prefix."""

from typing import Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from infra.config import Config

JOBS_BY_CLIENT: Final = "gsi1"
JOBS_BY_ASSET: Final = "gsi2"
JOBS_IN_FLIGHT: Final = "gsi3"
INDEXES: Final = (JOBS_BY_CLIENT, JOBS_BY_ASSET, JOBS_IN_FLIGHT)
"""A client's jobs by status, oldest first; the jobs of an asset; sparse, by silence, for the sweeper."""

TTL_ATTRIBUTE: Final = "ttl"


class JobTable(Construct):
    """DynamoDB, on demand, encrypted, with point-in-time recovery and expiry."""

    def __init__(self, scope: Construct, name: str, config: Config) -> None:
        super().__init__(scope, name)
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=_text("pk"),
            sort_key=_text("sk"),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.AWS_MANAGED,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute=TTL_ATTRIBUTE,
            deletion_protection=config.is_production,
            removal_policy=RemovalPolicy.RETAIN if config.is_production else RemovalPolicy.DESTROY,
        )
        for index in INDEXES:
            self.table.add_global_secondary_index(
                index_name=index,
                partition_key=_text(f"{index}pk"),
                sort_key=_text(f"{index}sk"),
                projection_type=dynamodb.ProjectionType.ALL,
            )


def _text(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
