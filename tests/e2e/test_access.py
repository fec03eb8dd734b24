"""What a container could do with the keys it is lent: the emulator's IAM decides, as AWS's would."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from gpu_container.contract import AccessGrant, ProbeAccess, WorkAccess
from infra.outputs import function_output
from lambdas.core.workflow import FunctionName
from lambdas.dialects.registry import DIALECTS
from tests.e2e.cloud import Api, Cloud


@dataclass(frozen=True)
class Done:
    """A finished job, its client, and where its things lie."""

    cloud: Cloud
    client_id: str
    asset_id: str
    id: str

    @classmethod
    def make(cls, cloud: Cloud, api: Api, asset_id: str, strength: int) -> "Done":
        job = api.finished(api.enhance(asset_id, strength).json())
        assert job["status"] == "succeeded"
        return cls(cloud, api.client_id, asset_id, job["id"])

    @property
    def row(self) -> dict[str, Any]:
        return {"TableName": self.cloud.outputs["TableName"], "Key": self.key}

    @property
    def key(self) -> dict[str, Any]:
        return {"pk": {"S": f"C#{self.client_id}"}, "sk": {"S": f"J#{self.id}"}}

    @property
    def upload(self) -> dict[str, str]:
        return {"Bucket": self.cloud.outputs["AudioBucketName"], "Key": f"in/{self.client_id}/{self.asset_id}"}

    @property
    def result(self) -> dict[str, str]:
        key = f"out/{self.client_id}/{self.asset_id}/{self.id}-1"
        return {"Bucket": self.cloud.outputs["AudioBucketName"], "Key": key}

    @property
    def wet(self) -> dict[str, str]:
        """Return the kept wet track; there is one for all strengths."""
        bucket = self.cloud.outputs["WorkBucketName"]
        found = self.cloud.aws("s3").list_objects_v2(Bucket=bucket, Prefix=f"wet/{self.client_id}/{self.asset_id}/")
        (track,) = (one["Key"] for one in found["Contents"] if ".parts/" not in one["Key"])
        return {"Bucket": bucket, "Key": track}

    def beside(self, name: str) -> dict[str, str]:
        return {**self.result, "Key": f"{self.result['Key']}{name}"}

    def asked(self, **changes: Any) -> WorkAccess:
        """Return what the job's worker asked with."""
        attempt = self.cloud.aws("dynamodb").get_item(
            TableName=self.cloud.outputs["TableName"], Key={"pk": {"S": f"T#{self.id}-1"}, "sk": {"S": "T"}}
        )["Item"]
        return WorkAccess(**{"job_id": self.id, "attempt": 1, "task_token": attempt["task_token"]["S"]} | changes)

    @contextmanager
    def running_again(self) -> Iterator[None]:
        """Let the row say that the work still goes on."""
        dynamodb = self.cloud.aws("dynamodb")

        def say(status: str) -> None:
            dynamodb.update_item(
                **self.row,
                UpdateExpression="SET #s = :s",
                ExpressionAttributeNames={"#s": "status"},
                ExpressionAttributeValues={":s": {"S": status}},
            )

        say("running")
        try:
            yield
        finally:
            say("succeeded")


@pytest.fixture(scope="module")
def mine(cloud: Cloud, api: Api, recording: bytes) -> Done:
    return Done.make(cloud, api, api.upload(recording)["id"], 31)


@pytest.fixture(scope="module")
def sibling(cloud: Cloud, api: Api, mine: Done) -> Done:
    """Return another job on the same recording."""
    return Done.make(cloud, api, mine.asset_id, 32)


@pytest.fixture(scope="module")
def foreign(cloud: Cloud, stranger: Api, recording: bytes) -> Done:
    return Done.make(cloud, stranger, stranger.upload(recording)["id"], 31)


def ask(cloud: Cloud, request: WorkAccess | ProbeAccess) -> dict[str, Any]:
    """Ask for keys, as a container does."""
    answer = cloud.aws("lambda").invoke(
        FunctionName=cloud.outputs["FunctionAccess"], Payload=request.model_dump_json().encode()
    )
    body: dict[str, Any] = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, body
    return body


class Keys:
    """A container's clients, and whether a call of theirs is permitted."""

    def __init__(self, cloud: Cloud, grant: dict[str, Any]) -> None:
        granted = AccessGrant.model_validate(grant)
        self._session = boto3.session.Session(
            granted.access_key_id, granted.secret_access_key, granted.session_token, "us-east-1"
        )
        self._url = f"http://127.0.0.1:{cloud.emulator_port}"

    def may(self, service: str, call: str, **arguments: Any) -> bool:
        config = Config(s3={"addressing_style": "path"})
        client = self._session.client(service, endpoint_url=self._url, config=config)  # type: ignore[call-overload]
        try:
            getattr(client, call)(**arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            assert code in {"AccessDenied", "AccessDeniedException", "403"}, code
            return False
        return True

    def may_get(self, ref: dict[str, str]) -> bool:
        return self.may("s3", "get_object", **ref)

    def may_put(self, ref: dict[str, str]) -> bool:
        return self.may("s3", "put_object", **ref, Body=b"x")


@pytest.fixture(scope="module")
def keys(cloud: Cloud, mine: Done) -> Keys:
    """Return the keys of one running job's container."""
    with mine.running_again():
        return Keys(cloud, ask(cloud, mine.asked()))


def test_a_container_reaches_what_its_order_names(keys: Keys, mine: Done) -> None:
    assert [keys.may_get(ref) for ref in (mine.upload, mine.result, mine.wet)] == [True, True, True]
    parts = {**mine.wet, "Key": f"{mine.wet['Key']}.parts/0"}
    written = (mine.result, mine.beside(".report.json"), mine.wet, parts)
    assert [keys.may_put(ref) for ref in written] == [True] * len(written)
    assert keys.may("s3", "create_multipart_upload", **mine.result)


def test_a_container_reaches_no_other_clients_and_no_other_jobs_recording(
    keys: Keys, mine: Done, sibling: Done, foreign: Done
) -> None:
    others = (foreign.upload, foreign.result, foreign.wet, sibling.result, sibling.beside(".report.json"))
    assert [keys.may_get(ref) for ref in others] == [False] * len(others)
    assert [keys.may_put(ref) for ref in others] == [False] * len(others)
    # Not even one whose name begins as its own.
    assert [keys.may_put(ref) for ref in (mine.upload, mine.beside("0"), mine.beside("/x"))] == [False] * 3


def test_a_container_can_neither_look_around_nor_delete_nor_lend(keys: Keys, cloud: Cloud, mine: Done) -> None:
    outputs = cloud.outputs
    assert not any(
        keys.may(*call, **arguments)
        for call, arguments in (
            (("s3", "list_objects_v2"), {"Bucket": outputs["AudioBucketName"]}),
            (("s3", "list_objects_v2"), {"Bucket": outputs["WorkBucketName"], "Prefix": "orders/"}),
            (("s3", "delete_object"), mine.result),
            (("dynamodb", "get_item"), mine.row),
            (("dynamodb", "query"), {"TableName": outputs["TableName"], "KeyConditionExpression": "pk = sk"}),
            (("lambda", "invoke"), {"FunctionName": outputs["FunctionAccess"], "Payload": b"{}"}),
            (("stepfunctions", "list_state_machines"), {}),
        )
    )


def test_a_probe_reads_its_upload_and_nothing_else(cloud: Cloud, mine: Done, foreign: Done) -> None:
    keys = Keys(cloud, ask(cloud, ProbeAccess(input_key=mine.upload["Key"])))
    assert keys.may_get(mine.upload)
    assert not any(keys.may_get(ref) for ref in (foreign.upload, mine.result, mine.wet))
    assert not any(keys.may_put(ref) for ref in (mine.upload, mine.result, mine.wet))


def test_an_ended_job_and_a_guessed_token_are_lent_nothing(cloud: Cloud, mine: Done, sibling: Done) -> None:
    assert ask(cloud, mine.asked())["outcome"] == "refused"
    with mine.running_again(), sibling.running_again():
        assert ask(cloud, mine.asked(task_token=sibling.asked().task_token))["outcome"] == "refused"
        assert ask(cloud, mine.asked())["outcome"] == "granted"


def own_keys(cloud: Cloud, function: FunctionName) -> Keys:
    """Take a function's role on: the emulator lends it to the function's process, and the test to itself."""
    functions, iam, sts = (cloud.aws(name) for name in ("lambda", "iam", "sts"))
    deployed = cloud.outputs[function_output(function)]
    role = functions.get_function_configuration(FunctionName=deployed)["Role"]
    name = role.rsplit("/", 1)[1]
    trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    anybody = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}],
    }
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(anybody))
    try:
        lent = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    finally:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    return Keys(
        cloud,
        {
            "access_key_id": lent["AccessKeyId"],
            "secret_access_key": lent["SecretAccessKey"],
            "session_token": lent["SessionToken"],
            "expires_at": lent["Expiration"],
        },
    )


@pytest.mark.parametrize("function", [FunctionName.PROBE, FunctionName.ENHANCE_CPU])
def test_a_containers_own_role_reaches_no_recording(cloud: Cloud, mine: Done, function: FunctionName) -> None:
    own = own_keys(cloud, function)
    assert not any(own.may_get(ref) or own.may_put(ref) for ref in (mine.upload, mine.result, mine.wet))
    assert not own.may("dynamodb", "get_item", **mine.row)


READ_UPLOAD, READ_RESULT, READ_ROW = "read an upload", "read a result", "read a row"
LOOKS = {READ_UPLOAD, READ_RESULT, READ_ROW}
"""What a permitted try leaves as it was; the others are tried only where they are forbidden."""
WRITE_RESULT, DELETE_RESULT, WRITE_ROW = "write a result", "delete a result", "write a row"
START, ANSWER, GET_KEYS = "start an enhancement", "say that one is done", "get a container's keys"

WRITES_ROWS = {READ_ROW, WRITE_ROW}
MAY: dict[FunctionName, set[str]] = {
    **{dialect.function: WRITES_ROWS for dialect in DIALECTS},
    FunctionName.TOKEN: {READ_ROW},
    FunctionName.DOCS: set(),
    FunctionName.INTAKE: {READ_UPLOAD, *WRITES_ROWS},
    FunctionName.ADMIT: {START, *WRITES_ROWS},
    FunctionName.JOB_STEPS: {READ_RESULT, *WRITES_ROWS},
    FunctionName.DISPATCH: WRITES_ROWS,
    FunctionName.ACCESS: {READ_ROW},
    FunctionName.COMPLETE: {ANSWER, READ_ROW},
    FunctionName.SWEEP: {ANSWER, *WRITES_ROWS},
    FunctionName.ERASE: {DELETE_RESULT, *WRITES_ROWS},
    FunctionName.FETCH: set(),
    FunctionName.FETCH_LOST: set(),
    # Of webhooks alone, which is a condition on rows: the templates are the proof of that.
    FunctionName.WEBHOOK: WRITES_ROWS,
    FunctionName.DELIVER: WRITES_ROWS,
    FunctionName.PROBE: {GET_KEYS},
    FunctionName.ENHANCE_CPU: {GET_KEYS},
}


@pytest.mark.parametrize("function", FunctionName)
def test_a_function_is_refused_what_is_not_its_business(cloud: Cloud, mine: Done, function: FunctionName) -> None:
    own, outputs = own_keys(cloud, function), cloud.outputs
    tries: dict[str, tuple[str, str, dict[str, Any]]] = {
        READ_UPLOAD: ("s3", "get_object", mine.upload),
        READ_RESULT: ("s3", "get_object", mine.result),
        READ_ROW: ("dynamodb", "get_item", mine.row),
        WRITE_RESULT: ("s3", "put_object", {**mine.result, "Body": b"x"}),
        DELETE_RESULT: ("s3", "delete_object", mine.result),
        WRITE_ROW: ("dynamodb", "put_item", {"TableName": outputs["TableName"], "Item": mine.key}),
        START: ("stepfunctions", "start_execution", {"stateMachineArn": outputs["EnhancementMachineArn"]}),
        ANSWER: ("stepfunctions", "send_task_success", {"taskToken": "guessed", "output": "{}"}),
        GET_KEYS: ("lambda", "invoke", {"FunctionName": outputs["FunctionAccess"], "Payload": b"{}"}),
    }
    forbidden = tries.keys() - MAY[function]

    assert {name for name in forbidden if own.may(tries[name][0], tries[name][1], **tries[name][2])} == set()
    looks = LOOKS & MAY[function]
    assert {name for name in looks if own.may(tries[name][0], tries[name][1], **tries[name][2])} == looks
