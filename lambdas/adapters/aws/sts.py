"""The workers' role, lent for half an hour at a time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_container.contract import AccessGrant
from lambdas.adapters.aws.errors import domain_errors
from lambdas.core.access import Tags

if TYPE_CHECKING:
    from types_boto3_sts.client import STSClient

SESSION_S = 1800
"""boto3 renews from a quarter of an hour before the end: a function's whole invocation needs no second session, a long
order on the endpoint some, and what was taken from a container is worth nothing half an hour later."""


@dataclass(frozen=True)
class StsIssuer:
    """Takes on the workers' role with an order's tags. A role taken on by a role lives for an hour at most."""

    client: "STSClient"
    role_arn: str

    def issue(self, name: str, tags: Tags) -> AccessGrant:
        """Return temporary credentials that reach what ``tags`` name."""
        with domain_errors():
            answer = self.client.assume_role(
                RoleArn=self.role_arn,
                RoleSessionName=name,
                DurationSeconds=SESSION_S,
                Tags=[{"Key": tag.value, "Value": value} for tag, value in tags.items()],
            )
        credentials = answer["Credentials"]
        return AccessGrant(
            access_key_id=credentials["AccessKeyId"],
            secret_access_key=credentials["SecretAccessKey"],
            session_token=credentials["SessionToken"],
            expires_at=credentials["Expiration"],
        )
