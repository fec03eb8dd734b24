"""Policy statements, each as narrow as its user: one function here is one sentence about who may do what."""

from collections.abc import Sequence

from aws_cdk import Aws, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn

from infra.config import Config
from lambdas.core.sources import SOURCE_ROLE_PREFIX

READ = ("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query")
WRITE = ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem")
DELETE = ("dynamodb:DeleteItem",)
"""``TransactWriteItems`` has no permission of its own: each item in it needs the permission of its verb."""


def _allow(
    actions: Sequence[str], resources: Sequence[str], conditions: dict[str, dict[str, object]] | None = None
) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions)


def table_get(table: dynamodb.ITable) -> iam.PolicyStatement:
    """Allow reading single items."""
    return _allow(["dynamodb:GetItem"], [table.table_arn])


def table_use(table: dynamodb.ITable, indexes: Sequence[str], *actions: str) -> iam.PolicyStatement:
    """Allow ``actions`` on the table and on its named indexes."""
    return _allow(actions, [table.table_arn, *(f"{table.table_arn}/index/{index}" for index in indexes)])


def table_progress(table: dynamodb.ITable, partition: str) -> iam.PolicyStatement:
    """Allow a worker to write since when it works and how far it is, and nothing else of any item, in one partition."""
    begun = ["started_at", "started_percent"]
    told = ["status", "attempt", *begun, "progress", "part_steps", "step_percent", "heartbeat_at"]
    return _allow(
        ["dynamodb:UpdateItem"],
        [table.table_arn],
        {
            "ForAllValues:StringEquals": {
                "dynamodb:LeadingKeys": [partition],
                "dynamodb:Attributes": ["pk", "sk", *told],
            },
            # Else ReturnValues would read back what the attribute list forbids.
            "StringEqualsIfExists": {"dynamodb:ReturnValues": ["NONE", "UPDATED_OLD", "UPDATED_NEW"]},
        },
    )


def webhook_rows(table: dynamodb.ITable) -> iam.PolicyStatement:
    """Allow reading and writing webhooks and their deliveries, and nothing else that lies in the table."""
    return _allow(
        ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem"],
        [table.table_arn],
        {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["W#*"]}},
    )


def objects_get(bucket: s3.IBucket, prefix: str) -> iam.PolicyStatement:
    """Allow reading the objects under ``prefix``, in any version (HEAD needs the same permission)."""
    return _allow(["s3:GetObject", "s3:GetObjectVersion"], [bucket.arn_for_objects(f"{prefix}*")])


def objects_put(bucket: s3.IBucket, prefix: str) -> iam.PolicyStatement:
    """Allow writing objects under ``prefix``."""
    return _allow(["s3:PutObject"], [bucket.arn_for_objects(f"{prefix}*")])


def objects_put_in_parts(bucket: s3.IBucket, prefix: str) -> iam.PolicyStatement:
    """Allow writing objects under ``prefix`` whole or in parts, and looking at what was written."""
    actions = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:GetObject"]
    return _allow(actions, [bucket.arn_for_objects(f"{prefix}*")])


def uploads_in_parts(bucket: s3.IBucket, prefix: str) -> tuple[iam.PolicyStatement, ...]:
    """Allow, beside `objects_put`, seeing which parts have arrived and whether they are one object yet; no reading.

    Starting an upload, its parts and its end need no more than writing does.
    """
    return (
        _allow(["s3:ListMultipartUploadParts"], [bucket.arn_for_objects(f"{prefix}*")]),
        objects_exist(bucket, prefix),
    )


def uploads_abort(bucket: s3.IBucket, prefix: str) -> iam.PolicyStatement:
    """Allow dropping the parts of unfinished uploads under ``prefix``."""
    return _allow(["s3:AbortMultipartUpload"], [bucket.arn_for_objects(f"{prefix}*")])


def objects(bucket: s3.IBucket, keys: Sequence[str], *actions: str) -> iam.PolicyStatement:
    """Allow ``actions`` on the objects with these keys, which may hold policy variables."""
    return _allow(actions, [bucket.arn_for_objects(key) for key in keys])


def objects_exist(bucket: s3.IBucket, prefix: str) -> iam.PolicyStatement:
    """Allow seeing that a key is missing: without it S3 answers 403 instead of 404."""
    return _allow(["s3:ListBucket"], [bucket.bucket_arn], {"StringLike": {"s3:prefix": [f"{prefix}*"]}})


def object_exists_by_name(bucket: s3.IBucket, prefix: str, *, known_characters: int) -> iam.PolicyStatement:
    """Allow the same to who knows an object's name, or so much of it that none can be found by trying."""
    pattern = f"{prefix}{'?' * known_characters}*"
    return _allow(["s3:ListBucket"], [bucket.bucket_arn], {"StringLike": {"s3:prefix": [pattern]}})


def uploads_list(bucket: s3.IBucket) -> iam.PolicyStatement:
    """Allow seeing which uploads in parts are not finished; the action knows no narrower resource than the bucket."""
    return _allow(["s3:ListBucketMultipartUploads"], [bucket.bucket_arn])


def objects_erase(bucket: s3.IBucket, prefix: str) -> iam.PolicyStatement:
    """Allow deleting the objects under ``prefix`` for good, in every version."""
    return _allow(["s3:DeleteObject", "s3:DeleteObjectVersion"], [bucket.arn_for_objects(f"{prefix}*")])


def versions_list(bucket: s3.IBucket, *prefixes: str) -> iam.PolicyStatement:
    """Allow listing every version of the objects under ``prefixes``."""
    patterns = [f"{prefix}*" for prefix in prefixes]
    return _allow(["s3:ListBucketVersions"], [bucket.bucket_arn], {"StringLike": {"s3:prefix": patterns}})


def data_key_read(key: kms.IKey) -> iam.PolicyStatement:
    """Allow decrypting objects."""
    return _allow(["kms:Decrypt"], [key.key_arn])


def data_key_write_by_s3(key: kms.IKey) -> iam.PolicyStatement:
    """Allow the same through S3 alone, which asks for the object's own permission first."""
    via = f"s3.{Stack.of(key).region}.{Aws.URL_SUFFIX}"
    return _allow(["kms:GenerateDataKey", "kms:Decrypt"], [key.key_arn], {"StringEquals": {"kms:ViaService": [via]}})


def data_key_write(key: kms.IKey) -> iam.PolicyStatement:
    """Allow encrypting objects; finishing a multipart upload decrypts its parts' keys."""
    return _allow(["kms:GenerateDataKey", "kms:Decrypt"], [key.key_arn])


def key_use(key: kms.IKey, *actions: str) -> iam.PolicyStatement:
    """Allow ``actions`` on one key."""
    return _allow(actions, [key.key_arn])


def queue_send(queue: sqs.IQueue) -> iam.PolicyStatement:
    """Allow sending to ``queue``."""
    return _allow(["sqs:SendMessage"], [queue.queue_arn])


def machine_start(machine_arn: str) -> iam.PolicyStatement:
    """Allow starting executions."""
    return _allow(["states:StartExecution"], [machine_arn])


def machine_answer(config: Config, machine: sfn.IStateMachine, *actions: str) -> iam.PolicyStatement:
    """Allow answering the task tokens of one state machine.

    The service checks these actions against the machine's ARN, though its reference lists no resource for them; the
    emulator goes by the reference.
    """
    return _allow(actions, ["*"] if config.local else [machine.state_machine_arn])


def executions_read(*executions_arns: str) -> iam.PolicyStatement:
    """Allow asking how an execution fares."""
    return _allow(["states:DescribeExecution"], executions_arns)


def role_assume(role: iam.IRole) -> iam.PolicyStatement:
    """Allow taking on ``role``."""
    return _allow(["sts:AssumeRole"], [role.role_arn])


def role_assume_tagged(role: iam.IRole) -> iam.PolicyStatement:
    """Allow taking on ``role`` with tags that say for what."""
    return _allow(["sts:AssumeRole", "sts:TagSession"], [role.role_arn])


def source_roles_assume() -> tuple[iam.PolicyStatement, str]:
    """Allow taking on the roles that clients lend, in whatever account; returns also the pattern of their names."""
    pattern = f"arn:{Aws.PARTITION}:iam::*:role/{SOURCE_ROLE_PREFIX}*"
    return _allow(["sts:AssumeRole"], [pattern]), pattern


def endpoint_invoke(endpoint_arn: str) -> iam.PolicyStatement:
    """Allow handing work to the asynchronous endpoint."""
    return _allow(["sagemaker:InvokeEndpointAsync"], [endpoint_arn])


def endpoint_watch(endpoint_arn: str) -> iam.PolicyStatement:
    """Allow asking whether the endpoint has an instance."""
    return _allow(["sagemaker:DescribeEndpoint"], [endpoint_arn])


def function_invoke(function_arn: str) -> iam.PolicyStatement:
    """Allow handing work to one function."""
    return _allow(["lambda:InvokeFunction"], [function_arn])
