"""Each function has its own role, and the role says what it may do: this table is read in a review."""

import json

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from infra.constructs import grants
from lambdas.core.workflow import FunctionName
from lambdas.dialects.common import Dialect
from lambdas.dialects.registry import DIALECTS
from tests.infra.templates import Assembly, listed

READ = {"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"}
WRITE = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem"}
TABLE = READ | WRITE | {"dynamodb:DeleteItem"}
GET = {"s3:GetObject", "s3:GetObjectVersion"}
CONSUME = {
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
}
DIALECT = READ | WRITE | {"sqs:SendMessage", "kms:GetPublicKey", "sts:AssumeRole"}
EVERY_FUNCTION = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}

CANCELLING = {dialect.function.value for dialect in DIALECTS if dialect.cancels}
DELETING = {dialect.function.value for dialect in DIALECTS if dialect.deletes}

IN_PARTS = {"s3:ListMultipartUploadParts", "s3:ListBucket"}

MAY = {
    FunctionName.ADOBE_API: DIALECT,
    FunctionName.ADOBE_V2_API: DIALECT,
    FunctionName.NATIVE_API: DIALECT | {"dynamodb:DeleteItem"},  # cancelling gives a slot back
    FunctionName.DOCS: set(),
    FunctionName.TOKEN: {"dynamodb:GetItem", "kms:Sign", "kms:GetPublicKey"},
    FunctionName.INTAKE: READ | WRITE | GET | {"s3:ListBucket", "kms:Decrypt", "sqs:SendMessage"},
    FunctionName.PROBE: GET | {"kms:Decrypt"},
    FunctionName.ADMIT: TABLE | {"states:StartExecution", "sqs:SendMessage"} | CONSUME,
    FunctionName.JOB_STEPS: TABLE | GET | {"s3:ListBucket", "kms:Decrypt", "sqs:SendMessage"},
    FunctionName.DISPATCH: READ
    | WRITE
    | {"s3:PutObject", "kms:GenerateDataKey", "kms:Decrypt"}
    | {"sagemaker:InvokeEndpointAsync", "sagemaker:DescribeEndpoint", "lambda:InvokeFunction"},
    FunctionName.ENHANCE_CPU: GET
    | {"s3:PutObject", "s3:AbortMultipartUpload", "s3:ListBucket", "kms:GenerateDataKey", "kms:Decrypt"}
    | {"dynamodb:UpdateItem", "states:SendTaskHeartbeat", "sns:Publish"},
    FunctionName.COMPLETE: {"dynamodb:GetItem", "kms:Decrypt", "states:SendTaskSuccess", "states:SendTaskFailure"}
    | GET
    | {"s3:ListBucket"}
    | {"sqs:SendMessage"}  # its dead letters
    | CONSUME,
    FunctionName.SWEEP: TABLE
    | GET
    | {"s3:ListBucket", "kms:Decrypt"}
    | {"sqs:SendMessage", "states:DescribeExecution"}
    | {"states:SendTaskHeartbeat", "states:SendTaskSuccess", "states:SendTaskFailure"},
    FunctionName.ERASE: TABLE
    | {"s3:ListBucketVersions", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"}
    | {"sqs:SendMessage"}
    | CONSUME,
}


def test_every_function_is_deployed(aws: Assembly) -> None:
    assert set(aws.functions()) == {name.value for name in FunctionName}


def test_no_two_functions_share_a_role(aws: Assembly) -> None:
    roles = [aws.role_of(properties) for properties in aws.functions().values()]
    assert len(set(roles)) == len(roles)


@pytest.mark.parametrize("name", FunctionName)
def test_function_may_do_exactly_this(aws: Assembly, name: FunctionName) -> None:
    role = aws.role_of(aws.functions()[name.value])
    assert aws.actions(role) - EVERY_FUNCTION == MAY[name]


@pytest.mark.parametrize(
    ("action", "holder"),
    [
        ("states:StartExecution", "Admit"),
        ("states:DescribeExecution", "Sweep"),
        ("s3:DeleteObject", "Erase"),
        ("s3:DeleteObjectVersion", "Erase"),
        ("kms:Sign", "Token"),
        ("sagemaker:InvokeEndpointAsync", "Dispatch"),
        ("lambda:InvokeFunction", "Dispatch"),
        ("sns:Publish", "EnhanceCpu"),
    ],
)
def test_one_function_alone_may(aws: Assembly, action: str, holder: str) -> None:
    functions = aws.functions()
    assert [name for name in functions if action in aws.actions(aws.role_of(functions[name]))] == [holder]


def test_the_dialects_alone_assume_roles_each_its_own(aws: Assembly) -> None:
    functions = aws.functions()
    holders = {name for name, one in functions.items() if "sts:AssumeRole" in aws.actions(aws.role_of(one))}
    assert holders == {dialect.function.value for dialect in DIALECTS}


def test_only_who_reads_the_workers_answers_may_report_success(aws: Assembly) -> None:
    functions = aws.functions()
    holders = {n for n, f in functions.items() if "states:SendTaskSuccess" in aws.actions(aws.role_of(f))}
    assert holders == {"Complete", "Sweep"}


def test_erasing_reaches_recordings_and_what_was_made_of_them_and_nothing_else(aws: Assembly) -> None:
    statements = list(aws.statements(aws.role_of(aws.functions()["Erase"])))
    deleting = [s for s in statements if "s3:DeleteObject" in listed(s["Action"])]
    reached = [json.dumps(resource) for s in deleting for resource in listed(s["Resource"])]
    assert sorted(text.rsplit('"', 2)[1] for text in reached) == ["/in/*", "/out/*", "/wet/*"]
    listings = [s["Condition"]["StringLike"]["s3:prefix"] for s in statements if "s3:ListBucketVersions" in s["Action"]]
    assert sorted(listings) == [["in/*", "out/*"], ["wet/*"]]


@pytest.mark.parametrize(
    ("queue", "senders"),
    [
        ("OutcomeQueue", {"Intake", "JobSteps", "Sweep", "Erase"} | CANCELLING),
        ("StopQueue", {"Erase"} | CANCELLING),
        ("EraseQueue", {"Intake", "Sweep"} | DELETING),
    ],
)
def test_each_queue_has_few_senders(aws: Assembly, queue: str, senders: set[str]) -> None:
    functions = aws.functions()
    found = {
        name
        for name, properties in functions.items()
        for statement in aws.statements(aws.role_of(properties))
        if "sqs:SendMessage" in listed(statement["Action"]) and f"Queues{queue}" in json.dumps(statement["Resource"])
    }
    assert found == senders


def test_only_tracing_and_logging_name_every_resource(aws: Assembly) -> None:
    """Everything else names its resources; what AWS offers no resource for is listed here."""
    unscoped = {
        action
        for policy in aws.of_type("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "*" in listed(statement["Resource"])
        for action in listed(statement["Action"])
    }
    assert unscoped == {
        "xray:PutTraceSegments",
        "xray:PutTelemetryRecords",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "logs:CreateLogDelivery",
        "logs:GetLogDelivery",
        "logs:UpdateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:DescribeResourcePolicies",
        "logs:DescribeLogGroups",
        "cloudwatch:PutMetricData",
        "ecr:GetAuthorizationToken",
    }


def test_no_action_is_a_pattern(aws: Assembly) -> None:
    for name, policy in aws.of_type("AWS::IAM::Policy").items():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            assert not any("*" in action for action in listed(statement["Action"])), name


def test_the_container_may_report_progress_and_nothing_more(aws: Assembly) -> None:
    statements = list(aws.statements("GpuRoleD860A26A"))
    actions = {action for statement in statements for action in listed(statement["Action"])}
    assert "states:SendTaskHeartbeat" in actions
    assert not actions & {"states:SendTaskSuccess", "states:SendTaskFailure", "dynamodb:PutItem", "dynamodb:GetItem"}
    listings = [s["Condition"] for s in statements if "s3:ListBucket" in listed(s["Action"])]
    assert listings == [{"StringLike": {"s3:prefix": [prefix]}} for prefix in ("orders/*", "wet/*")]
    (update,) = (s for s in statements if "dynamodb:UpdateItem" in listed(s["Action"]))
    assert update["Action"] == "dynamodb:UpdateItem"
    assert update["Condition"] == {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["C#*"]},
        "ForAllValues:StringEquals": {
            "dynamodb:Attributes": ["pk", "sk", "status", "attempt", "progress", "heartbeat_at"]
        },
        "StringEqualsIfExists": {"dynamodb:ReturnValues": ["NONE", "UPDATED_OLD", "UPDATED_NEW"]},
    }


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_presign_role_trusts_the_api_alone(aws: Assembly, dialect: Dialect) -> None:
    start = f"api/{dialect.function.value}DialectPresignRole"
    (name,) = (key for key in aws.of_type("AWS::IAM::Role") if key.startswith(start))
    (trust,) = aws.all()[name]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    api_role = aws.role_of(aws.functions()[dialect.function.value])
    assert trust["Principal"] == {"AWS": {"Fn::GetAtt": [api_role, "Arn"]}}
    statements = list(aws.statements(name.split("/")[1]))
    by_action = {action: json.dumps(s["Resource"]) for s in statements for action in listed(s["Action"])}
    assert "/in/*" in by_action["s3:PutObject"]
    assert "/out/*" in by_action["s3:GetObject"]
    assert set(by_action) == {
        "s3:PutObject",
        "s3:GetObject",
        "s3:GetObjectVersion",
        "kms:GenerateDataKey",
        "kms:Decrypt",
        *(IN_PARTS if dialect.uploads_in_parts else ()),
    }


def test_a_dialect_with_uploads_in_parts_may_list_them_and_still_read_none() -> None:
    stack = Stack(App(analytics_reporting=False), "Parts")
    bucket = s3.Bucket.from_bucket_name(stack, "Audio", "audio")
    role = iam.Role(stack, "PresignRole", assumed_by=iam.AccountRootPrincipal())
    for statement in grants.uploads_in_parts(bucket, "in/"):
        role.add_to_policy(statement)
    (policy,) = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    assert [statement["Action"] for statement in statements] == ["s3:ListMultipartUploadParts", "s3:ListBucket"]
    assert "audio/in/*" in json.dumps(statements[0]["Resource"])
    assert statements[1]["Condition"] == {"StringLike": {"s3:prefix": ["in/*"]}}
