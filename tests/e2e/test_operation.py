"""What an operator relies on: enforced permissions, clean logs, commands that mean what they say."""

import json
import re
import time
from pathlib import Path

import pytest

from tests.e2e.cloud import Api, Cloud


def test_a_missing_grant_fails_the_job_with_a_clear_reason(api: Api, cloud: Cloud, recording: bytes) -> None:
    asset = api.upload(recording)
    with _without_grant(cloud, function="FunctionDispatch", action="s3:PutObject"):
        done = api.finished(api.enhance(asset["id"], 77).json())
    assert done["status"] == "failed"
    row = cloud.aws("dynamodb").get_item(
        TableName=cloud.outputs["TableName"],
        Key={"pk": {"S": f"C#{api.client_id}"}, "sk": {"S": f"J#{done['id']}"}},
    )["Item"]
    assert row["attempt"]["N"] == "1"
    assert "PutObject is not permitted" in row["error_message"]["S"]
    assert api.finished(api.enhance(asset["id"], 77).json())["status"] == "succeeded"


def test_no_secret_token_or_signed_url_in_any_log(api: Api, cloud: Cloud, recording: bytes) -> None:
    api.token(client_secret="a-wrong-secret-of-a-client")
    query = {"grant_type": "client_credentials", "client_id": api.client_id, "client_secret": api.client_secret}
    api.http.post("/ims/token/v3", params=query)
    done = api.finished(api.enhance(api.upload(recording)["id"], 78).json())
    assert api.download(done).status_code == 200
    logs = "\n".join(path.read_text(errors="replace") for path in (cloud.home / "logs").glob("*"))
    logs += cloud.cleartake("logs", "-n", "10000").stdout  # the functions' own lines too
    assert "AdobeApi" in logs or "JobSteps" in logs
    assert done["id"] in logs
    tokens = task_tokens(cloud)
    assert tokens
    known = cloud.credentials
    for secret in (
        known["client_secret"],
        known["second_client_secret"],
        "a-wrong-secret-of-a-client",
        api.headers["Authorization"].removeprefix("Bearer "),
        *tokens,
    ):
        assert secret not in logs
    assert not re.search(r"X-Amz-(Signature|Security-Token)=\w{16}", logs)
    assert "eyJ" not in logs  # how every token of ours begins, whoever's it is


def task_tokens(cloud: Cloud) -> list[str]:
    """Return the task tokens of all work orders that were ever written."""
    s3, bucket = cloud.aws("s3"), cloud.outputs["WorkBucketName"]
    orders = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix="orders/")["Contents"]]
    return [json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())["task_token"] for key in orders]


def test_up_again_says_that_it_runs_and_status_shows_it(cloud: Cloud) -> None:
    assert "lready running" in cloud.cleartake("up").stdout
    assert str(cloud.port) in cloud.cleartake("status").stdout


def test_the_smoke_test_does_the_main_job(cloud: Cloud) -> None:
    for _ in range(2):  # the second time with the same client
        shown = cloud.cleartake("smoke", "--local").stdout
        steps = [line.split()[1] for line in shown.splitlines() if line.startswith("ok ")]
        assert steps == ["token", "asset", "upload", "probe", "enhancement", "download"]
        assert "-enhanced-90p.mp3" in shown


def test_what_happens_is_counted_in_the_functions_logs(api: Api, cloud: Cloud, recording: bytes) -> None:
    assert api.finished(api.enhance(api.upload(recording)["id"], 71).json())["status"] == "succeeded"
    shown = cloud.cleartake("logs", "-n", "10000").stdout
    assert '"EnhancementsSucceeded"' in shown
    assert '"RealTimeFactor"' in shown


def test_a_taken_port_names_the_remedy(cloud: Cloud, tmp_path: Path) -> None:
    other = Cloud(tmp_path / "other", port=cloud.port)
    done = other.cleartake("up", check=False)
    try:
        assert done.returncode != 0
        assert "CLEARTAKE_PORT=" in done.stderr + done.stdout
        assert not _processes_of(other)
    finally:
        other.cleartake("down", check=False)
    assert cloud.cleartake("status").returncode == 0


def test_credentials_are_for_their_owner_only(cloud: Cloud) -> None:
    path = cloud.home / "local.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(json.loads(path.read_text())) == {
        "base_url", "client_id", "client_secret", "second_client_id", "second_client_secret",
    }  # fmt: skip


def test_clients_are_administered(cloud: Cloud, api: Api) -> None:
    made = cloud.cleartake("clients", "create", "acme").stdout
    client_id = re.search(r"client_id\s+(\S+)", made)[1]  # type: ignore[index]
    secret = re.search(r"client_secret\s+(\S+)", made)[1]  # type: ignore[index]
    assert client_id in cloud.cleartake("clients", "list").stdout
    assert api.token(client_id=client_id, client_secret=secret).status_code == 200
    rotated = re.search(r"client_secret\s+(\S+)", cloud.cleartake("clients", "rotate", client_id).stdout)[1]  # type: ignore[index]
    assert api.token(client_id=client_id, client_secret=rotated).status_code == 200
    cloud.cleartake("clients", "disable", client_id)
    assert api.token(client_id=client_id, client_secret=rotated).status_code == 401


@pytest.mark.slow
def test_down_leaves_no_process_and_up_finds_the_data(tmp_path: Path, recording: bytes) -> None:
    cloud = Cloud(tmp_path / "home")
    try:
        cloud.cleartake("up")
        known = cloud.credentials
        api = Api(known["base_url"], known["client_id"], known["client_secret"], [0])
        asset = api.upload(recording)
        job = api.finished(api.enhance(asset["id"]).json())
        cloud.cleartake("down")
        assert not _processes_of(cloud)
        cloud.cleartake("up")
        assert cloud.credentials == known
        assert api.asset(asset["id"]) == asset
        assert len(api.download(job).content) > 10_000
        assert api.finished(api.enhance(asset["id"], 20).json())["status"] == "succeeded"
    finally:
        cloud.cleartake("down", check=False)
    assert not _processes_of(cloud)


def _processes_of(cloud: Cloud) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"CLEARTAKE_HOME={cloud.home}".encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


class _without_grant:  # noqa: N801 - reads as a statement
    """Take one action out of a function's role, and give it back."""

    def __init__(self, cloud: Cloud, *, function: str, action: str) -> None:
        self.iam, self.action = cloud.aws("iam"), action
        configuration = cloud.aws("lambda").get_function_configuration(FunctionName=cloud.outputs[function])
        self.role = configuration["Role"].rsplit("/", 1)[1]

    def __enter__(self) -> None:
        self.kept = {}
        for name in self.iam.list_role_policies(RoleName=self.role)["PolicyNames"]:
            document = self.iam.get_role_policy(RoleName=self.role, PolicyName=name)["PolicyDocument"]
            self.kept[name] = document
            reduced = json.loads(json.dumps(document))
            for statement in reduced["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                statement["Action"] = [one for one in actions if one != self.action] or ["none:None"]
            self.iam.put_role_policy(RoleName=self.role, PolicyName=name, PolicyDocument=json.dumps(reduced))

    def __exit__(self, *_details: object) -> None:
        for name, document in self.kept.items():
            self.iam.put_role_policy(RoleName=self.role, PolicyName=name, PolicyDocument=json.dumps(document))
        time.sleep(0.1)
