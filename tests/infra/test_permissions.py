"""Each function has its own role, and the role says what it may do: this table is read in a review."""

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from gpu_container.contract import Dereverb, Part
from gpu_container.serving.heartbeat import Heartbeat
from infra.constructs import grants
from infra.constructs.work_role import RESULT_KEY, UPLOAD_KEY, WET_KEY, tagged
from lambdas.adapters.aws.items import client_key
from lambdas.core.access import Tag, work_tags
from lambdas.core.assets import object_key_of, wet_key_of
from lambdas.core.jobs import output_key_of
from lambdas.core.sources import SOURCE_ROLE_PATTERN
from lambdas.core.workflow import FunctionName
from lambdas.dialects.common import Dialect
from lambdas.dialects.registry import DIALECTS
from tests.infra.templates import Assembly, listed
from tests.ports.test_contract import ORDER, a_job, an_asset

ASSET, JOB = an_asset(version_id="v1"), a_job()
GPU_ROLE = "GpuRoleD860A26A"

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
WEBHOOK_ROWS = {"dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem"}
DIALECT = READ | WRITE | {"sqs:SendMessage", "kms:GetPublicKey", "sts:AssumeRole"}
EVERY_FUNCTION = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}

CANCELLING = {dialect.function.value for dialect in DIALECTS if dialect.cancels}
FETCHING = {dialect.function.value for dialect in DIALECTS if dialect.fetches}
TELLING = {dialect.function.value for dialect in DIALECTS if dialect.has_webhooks}
DELETING = {dialect.function.value for dialect in DIALECTS if dialect.deletes}

IN_PARTS = {"s3:ListMultipartUploadParts", "s3:ListBucket"}

MAY = {
    FunctionName.ADOBE_API: DIALECT,
    FunctionName.ADOBE_V2_API: DIALECT,
    FunctionName.DOCS: set(),
    # Cancelling gives a slot back; webhooks' secrets are sealed.
    FunctionName.NATIVE_API: DIALECT | {"dynamodb:DeleteItem", "kms:Encrypt"},
    FunctionName.TOKEN: {"dynamodb:GetItem", "kms:Sign", "kms:GetPublicKey"},
    FunctionName.PROBE: {"lambda:InvokeFunction"},
    FunctionName.INTAKE: READ
    | WRITE
    | GET
    | {"s3:ListBucket", "s3:ListBucketMultipartUploads", "kms:Decrypt", "sqs:SendMessage"}
    | CONSUME,
    FunctionName.ADMIT: TABLE | {"states:StartExecution", "sqs:SendMessage"} | CONSUME,
    FunctionName.JOB_STEPS: TABLE | GET | {"s3:ListBucket", "kms:Decrypt", "sqs:SendMessage"},
    FunctionName.DISPATCH: READ
    | WRITE
    | {"s3:PutObject", "kms:GenerateDataKey", "kms:Decrypt"}
    | {"sagemaker:InvokeEndpointAsync", "sagemaker:DescribeEndpoint"}
    | {"lambda:InvokeFunction", "states:StartExecution"},
    FunctionName.ENHANCE_CPU: {"lambda:InvokeFunction", "sns:Publish", "kms:GenerateDataKey", "kms:Decrypt"},
    FunctionName.ACCESS: {"dynamodb:GetItem", "sts:AssumeRole", "sts:TagSession"},
    FunctionName.COMPLETE: {"dynamodb:GetItem", "kms:Decrypt", "states:SendTaskSuccess", "states:SendTaskFailure"}
    | GET
    | {"states:DescribeExecution"}  # of a fan-out whose end was told without its output
    | {"s3:ListBucket"}
    | {"sqs:SendMessage"}  # its dead letters
    | CONSUME,
    FunctionName.SWEEP: TABLE
    | GET
    | {"s3:ListBucket", "kms:Decrypt"}
    | {"sqs:SendMessage", "states:DescribeExecution", "states:StartExecution"}
    | {"states:SendTaskHeartbeat", "states:SendTaskSuccess", "states:SendTaskFailure"},
    FunctionName.ERASE: TABLE
    | {"s3:ListBucketVersions", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"}
    | {"sqs:SendMessage"}
    | CONSUME,
    # It meets strangers' servers: it writes recordings and can neither read one nor see any table. It reads clients'
    # own buckets under the roles that they lend.
    FunctionName.FETCH: {"s3:PutObject", "s3:AbortMultipartUpload", "kms:GenerateDataKey", "kms:Decrypt"}
    | {"sqs:SendMessage", "sts:AssumeRole"}
    | CONSUME,
    FunctionName.FETCH_LOST: {"sqs:SendMessage"} | CONSUME,
    FunctionName.WEBHOOK: WEBHOOK_ROWS | {"sqs:SendMessage"} | CONSUME,
    FunctionName.DELIVER: WEBHOOK_ROWS | {"kms:Decrypt", "sqs:SendMessage"} | CONSUME,
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
        ("s3:DeleteObject", "Erase"),
        ("s3:DeleteObjectVersion", "Erase"),
        ("kms:Sign", "Token"),
        ("sagemaker:InvokeEndpointAsync", "Dispatch"),
        ("sns:Publish", "EnhanceCpu"),
        ("sts:TagSession", "Access"),
        ("s3:ListBucketMultipartUploads", "Intake"),
    ],
)
def test_one_function_alone_may(aws: Assembly, action: str, holder: str) -> None:
    functions = aws.functions()
    assert [name for name in functions if action in aws.actions(aws.role_of(functions[name]))] == [holder]


@pytest.mark.parametrize(
    ("machine", "starters", "watchers"),
    [
        ("Enhancement", {"Admit"}, {"Sweep"}),
        ("fan-out", {"Dispatch"}, {"Complete", "Sweep"}),
        ("AssetIntake", {"Sweep"}, set()),
    ],
)
def test_executions_have_few_starters_and_watchers(
    aws: Assembly, machine: str, starters: set[str], watchers: set[str]
) -> None:
    holders: dict[str, set[str]] = {"states:StartExecution": set(), "states:DescribeExecution": set()}
    for name, properties in aws.functions().items():
        for statement in aws.statements(aws.role_of(properties)):
            for action in holders.keys() & set(listed(statement["Action"])):
                if machine in json.dumps(statement["Resource"]):
                    holders[action].add(name)
    assert holders == {"states:StartExecution": starters, "states:DescribeExecution": watchers}


def test_roles_of_clients_are_taken_on_by_one_function_and_by_their_names(aws: Assembly) -> None:
    """The first lock is the external id in the role's own policy; this is the second."""
    statements = list(aws.statements(aws.role_of(aws.functions()["Fetch"])))
    (roles,) = (s for s in statements if "sts:AssumeRole" in listed(s["Action"]))
    assert listed(roles["Action"]) == ["sts:AssumeRole"]
    named = ["", ["arn:", {"Ref": "AWS::Partition"}, ":iam::*:role/cleartake-source-*"]]
    assert roles["Resource"] == {"Fn::Join": named}
    assert re.fullmatch(SOURCE_ROLE_PATTERN, "arn:aws:iam::123456789012:role/cleartake-source-x")


def test_the_dialects_alone_assume_roles_each_its_own(aws: Assembly) -> None:
    functions = aws.functions()
    holders = {name for name, one in functions.items() if "sts:AssumeRole" in aws.actions(aws.role_of(one))}
    # Access lends workers the keys to one order; Fetch borrows clients' roles.
    assert holders == {dialect.function.value for dialect in DIALECTS} | {"Access", "Fetch"}


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
        ("DeliveryQueue", {"Webhook", "Deliver"} | TELLING),
        ("FailureQueue", {"Fetch", "FetchLost"}),
        ("FetchQueue", FETCHING),
        ("DeliveryDeadLetters", {"Deliver"}),
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
        if "sqs:SendMessage" in listed(statement["Action"])
        and re.search(f"(Queues|Webhooks|Fetching){queue}", json.dumps(statement["Resource"]))
    }
    assert found == senders


def test_who_tells_clients_reaches_their_webhooks_and_nothing_else_of_theirs(aws: Assembly) -> None:
    """They call strangers, or read what strangers chose: neither may see a job, a recording or another secret."""
    for name in ("Webhook", "Deliver"):
        statements = list(aws.statements(aws.role_of(aws.functions()[name])))
        (rows,) = (s for s in statements if "dynamodb:GetItem" in listed(s["Action"]))
        assert rows["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["W#*"]}}
        assert "/index/" not in json.dumps(rows["Resource"])
        assert not any(
            action.startswith(("s3:", "sts:", "states:")) for s in statements for action in listed(s["Action"])
        )


def test_one_function_alone_opens_the_secrets_of_webhooks(aws: Assembly) -> None:
    """Whoever makes webhooks may seal their secrets; reading one back is for the function that signs with it."""
    reached = {
        name: [s for s in aws.statements(aws.role_of(properties)) if "kms:Decrypt" in listed(s["Action"])]
        for name, properties in aws.functions().items()
    }
    assert {name for name, found in reached.items() if "WebhookKey" in json.dumps(found)} == {"Deliver"}
    (opening,) = reached["Deliver"]
    assert listed(opening["Action"]) == ["kms:Decrypt"]


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
        "ecr-public:GetAuthorizationToken",
        "sts:GetServiceBearerToken",
    }


def test_no_action_is_a_pattern(aws: Assembly) -> None:
    for name, policy in aws.of_type("AWS::IAM::Policy").items():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            assert not any("*" in action for action in listed(statement["Action"])), name


WORKERS = ("Probe", "EnhanceCpu", "Gpu")


def workers(aws: Assembly) -> dict[str, list[dict[str, Any]]]:
    """Return what the roles may do that run clients' bytes through a decoder."""
    roles = {name: aws.role_of(aws.functions()[name]) for name in ("Probe", "EnhanceCpu")} | {"Gpu": GPU_ROLE}
    return {name: list(aws.statements(role)) for name, role in roles.items()}


@pytest.mark.parametrize("worker", WORKERS)
def test_a_container_by_itself_reaches_no_recording_and_no_row(aws: Assembly, worker: str) -> None:
    statements = workers(aws)[worker]
    actions = {action for statement in statements for action in listed(statement["Action"])}
    assert "lambda:InvokeFunction" in actions
    assert not {action for action in actions if action.startswith(("dynamodb:", "states:", "sts:"))}
    reached = [json.dumps(s["Resource"]) for s in statements if any("s3:" in one for one in listed(s["Action"]))]
    assert not [text for text in reached if "BucketsAudio" in text or "/wet/" in text]
    (invoke,) = (s for s in statements if "lambda:InvokeFunction" in listed(s["Action"]))
    assert "Access" in json.dumps(invoke["Resource"])


def test_orders_are_found_by_who_knows_their_names(aws: Assembly) -> None:
    """They hold task tokens: one container must not find another's."""
    listings = [s["Condition"] for s in workers(aws)["Gpu"] if "s3:ListBucket" in listed(s["Action"])]
    assert listings == [{"StringLike": {"s3:prefix": ["orders/" + "?" * 36 + "*"]}}]


def test_keys_are_lent_by_one_function_to_one_role(aws: Assembly) -> None:
    role = aws.one("AWS::IAM::Role", "KeysWorkRole")
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    lender = aws.role_of(aws.functions()["Access"])
    assert trust["Principal"] == {"AWS": {"Fn::GetAtt": [lender, "Arn"]}}
    (assume,) = (s for s in aws.statements(lender) if "sts:AssumeRole" in listed(s["Action"]))
    assert assume["Resource"] == {"Fn::GetAtt": [work_role(aws), "Arn"]}


def test_what_is_lent_is_named_by_the_sessions_tags(aws: Assembly) -> None:
    """Every object, exactly: a session without its tags reaches none."""
    opened = {
        (action, resource)
        for statement in aws.statements(work_role(aws))
        for action in listed(statement["Action"])
        for resource in (json.dumps(one).rsplit('"', 2)[1] for one in listed(statement["Resource"]))
        if action.startswith("s3:")
    }
    upload, job, wet = (f"${{aws:PrincipalTag/{name}}}" for name in ("upload", "job", "wet"))
    written = (f"out/{upload}/{job}", f"out/{upload}/{job}.*", f"wet/{upload}/{wet}", f"wet/{upload}/{wet}.parts/*")
    assert opened == {(action, f"/in/{upload}") for action in GET} | {
        (action, f"/{key}") for action in ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload") for key in written
    }


def test_tags_name_the_objects_that_orders_name(aws: Assembly) -> None:
    """Keys are made in one place and opened in another."""
    tags = {f"${{aws:PrincipalTag/{tag.value}}}": value for tag, value in work_tags(JOB, ASSET, Dereverb.OFF).items()}

    def filled(pattern: str) -> str:
        for variable, value in tags.items():
            pattern = pattern.replace(variable, value)
        return pattern

    assert filled(UPLOAD_KEY) == ASSET.object_key == object_key_of(ASSET.client_id, ASSET.id)
    assert filled(RESULT_KEY) == output_key_of(JOB)
    assert filled(WET_KEY) == wet_key_of(ASSET, JOB.model, Dereverb.OFF)
    assert filled(f"C#{tagged(Tag.CLIENT)}") == client_key(JOB.client_id)["pk"]


def test_a_worker_may_report_progress_and_nothing_more(aws: Assembly) -> None:
    statements = list(aws.statements(work_role(aws)))
    actions = {action for statement in statements for action in listed(statement["Action"])}
    assert {action for action in actions if not action.startswith("s3:")} == {
        "dynamodb:UpdateItem",
        "states:SendTaskHeartbeat",
        "kms:GenerateDataKey",
        "kms:Decrypt",
    }
    (update,) = (s for s in statements if "dynamodb:UpdateItem" in listed(s["Action"]))
    assert update["Action"] == "dynamodb:UpdateItem"
    assert update["Condition"] == {
        "ForAllValues:StringEquals": {
            "dynamodb:LeadingKeys": ["C#${aws:PrincipalTag/client}"],
            "dynamodb:Attributes": [
                *("pk", "sk", "status", "attempt"),
                *("started_at", "started_percent", "progress", "part_steps", "step_percent", "heartbeat_at"),
            ],
        },
        "StringEqualsIfExists": {"dynamodb:ReturnValues": ["NONE", "UPDATED_OLD", "UPDATED_NEW"]},
    }
    (key,) = (s for s in statements if "kms:Decrypt" in listed(s["Action"]))
    assert '"s3."' in json.dumps(key["Condition"]["StringEquals"]["kms:ViaService"])


def test_a_beat_names_the_attributes_that_a_worker_may_write_and_no_other(aws: Assembly) -> None:
    """The emulator does not look for them in an update: here the request itself is held against the template."""
    (update,) = (s for s in aws.statements(work_role(aws)) if "dynamodb:UpdateItem" in listed(s["Action"]))
    asked: list[dict[str, Any]] = []
    table = SimpleNamespace(update_item=lambda **request: asked.append(request))
    parts = (Part(number=0, start_s=0, end_s=5), Part(number=1, start_s=5))
    order = ORDER.model_copy(update={"parts": parts, "task_token": None})
    for part in (*parts, None):
        with Heartbeat(order, SimpleNamespace(dynamodb=table), interval_s=60, part=part) as heartbeat:  # type: ignore[arg-type]
            heartbeat.report(1.0)
            heartbeat.beat()
    named = {name for request in asked for name in request["Key"]}
    for request in asked:
        expressions = f"{request['UpdateExpression']} {request['ConditionExpression']}"
        words = re.findall(r"(?<![:\w])#?[a-z_]+\b(?!\()", expressions)  # neither values nor functions
        named |= {request["ExpressionAttributeNames"].get(word, word) for word in words}
    assert named == set(update["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"])


def work_role(aws: Assembly) -> str:
    (name,) = (key.split("/")[1] for key in aws.of_type("AWS::IAM::Role") if "KeysWorkRole" in key)
    return name


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
