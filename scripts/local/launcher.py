"""Brings one local cloud up and down: emulator, stacks, the endpoint's look-alike, edge."""

import http.client
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from infra.outputs import Output, function_output
from lambdas.core.workflow import FunctionName
from scripts import models
from scripts.local import deploy, edge, emulator, processes, tenants
from scripts.local.paths import HOST, Cloud, LauncherError, lane_concurrency, outputs_of

EMULATOR, SAGEMAKER, EDGE = "emulator", "sagemaker", "edge"
STOP_GRACES_S = {EDGE: 5.0, SAGEMAKER: 40.0, EMULATOR: 30.0}
"""In the order of stopping: no request comes in any more, then no work, and the emulator saves a quiet state."""

EMULATOR_START_S = 180.0
"""For a busy machine; one that ends at its start is noticed at once."""
SAGEMAKER_START_S = 180.0
"""It waits for the container's first ping, which waits for the models."""
EDGE_START_S = 60.0


@dataclass(frozen=True)
class Started:
    """What ``up`` reports."""

    credentials: tenants.Credentials
    seconds: float
    was_running: bool


def up(cloud: Cloud, say: Callable[[str], None]) -> Started:
    """Start whatever does not run yet, deploy whatever changed, and return the credentials."""
    began = time.monotonic()
    cloud.home.mkdir(parents=True, exist_ok=True)
    with processes.exclusive(cloud.run / "lock"):
        was_running = all(processes.running(cloud.run, name) for name in parts(cloud))
        _require_same_ports(cloud)
        _require_free_ports(cloud)
        emulator_is_new = _start_emulator(cloud, say)
        if emulator_is_new and not cloud.credentials_file.exists() and deploy.was_interrupted(cloud):
            # Nobody can have used it yet, and half of what was made may have been lost.
            processes.stop(cloud.run, EMULATOR, grace_s=STOP_GRACES_S[EMULATOR])
            shutil.rmtree(cloud.state, ignore_errors=True)
            _start_emulator(cloud, say)
        outputs = deploy.deploy(cloud, say)
        _fetch_models()
        # Each is asked for its health only after both were started: they come up side by side.
        if cloud.has_gpu:
            _start_sagemaker(cloud, outputs)
        else:
            processes.stop(cloud.run, SAGEMAKER, grace_s=STOP_GRACES_S[SAGEMAKER])
        _start_edge(cloud, outputs)
        credentials = tenants.ensure_in_cloud(cloud, outputs[Output.TABLE_NAME])
        _wait_until_healthy(cloud, EDGE, cloud.base_url + edge.HEALTH_PATH, EDGE_START_S)
        if cloud.has_gpu:
            _wait_until_healthy(cloud, SAGEMAKER, f"{cloud.sagemaker_url}/health", SAGEMAKER_START_S)
        if emulator_is_new:
            _sweep(cloud, outputs)
    return Started(credentials, time.monotonic() - began, was_running)


def parts(cloud: Cloud) -> tuple[str, ...]:
    """Return the names of the processes that make up the cloud."""
    return tuple(name for name in STOP_GRACES_S if cloud.has_gpu or name != SAGEMAKER)


def down(cloud: Cloud) -> list[str]:
    """Stop what ``up`` started here and nothing else; return the names of what was running."""
    with processes.exclusive(cloud.run / "lock"):
        return [name for name, grace_s in STOP_GRACES_S.items() if processes.stop(cloud.run, name, grace_s=grace_s)]


def delete_data(cloud: Cloud) -> None:
    """Forget everything that was uploaded, made and deployed in a stopped cloud."""
    with processes.exclusive(cloud.run / "lock"):
        if any(processes.running(cloud.run, name) for name in STOP_GRACES_S):
            raise LauncherError("The cloud still runs. Run `make down` first.")
        shutil.rmtree(cloud.state, ignore_errors=True)
        for file in (cloud.credentials_file, cloud.outputs_file):
            file.unlink(missing_ok=True)


def _ports(cloud: Cloud) -> dict[str, tuple[int, str]]:
    """Return each process's port and the variable that chooses it."""
    return {
        EDGE: (cloud.port, "CLEARTAKE_PORT"),
        EMULATOR: (cloud.emulator_port, "CLEARTAKE_EMULATOR_PORT"),
        SAGEMAKER: (cloud.sagemaker_port, "CLEARTAKE_SAGEMAKER_PORT"),
    }


def _require_same_ports(cloud: Cloud) -> None:
    """Refuse to mix two sets of ports in one home: the stacks would point at the wrong ones."""
    for name, (port, _) in _ports(cloud).items():
        process = processes.running(cloud.run, name)
        if process and process.port != port:
            raise LauncherError(
                f"The cloud in {cloud.home} runs on other ports. Run `make down` first, "
                "or give the new one a home of its own: CLEARTAKE_HOME=.cleartake-2"
            )


def _require_free_ports(cloud: Cloud) -> None:
    """Refuse before anything is started, so that nothing has to be stopped again."""
    for name, (port, variable) in _ports(cloud).items():
        if not processes.running(cloud.run, name):
            processes.require_free_port(port, variable, name)


def _start_emulator(cloud: Cloud, say: Callable[[str], None]) -> bool:
    """Start the emulator unless it runs; return whether it was started."""
    if processes.running(cloud.run, EMULATOR):
        return False
    processes.stop(cloud.run, EMULATOR)  # what a killed one may have left of its group
    _start(
        cloud,
        EMULATOR,
        emulator.command(),
        environment=emulator.environment(cloud),
    )
    _wait_until_healthy(cloud, EMULATOR, f"{cloud.emulator_url}{emulator.HEALTH_PATH}", EMULATOR_START_S)
    say(f"AWS emulator on {cloud.emulator_url}")
    return True


def _sweep(cloud: Cloud, outputs: Mapping[str, str]) -> None:
    """Take up now the jobs that the last stop interrupted; the schedule would do it within a minute."""
    name = outputs[function_output(FunctionName.SWEEP)]
    emulator.client(cloud, "lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")


def _start_sagemaker(cloud: Cloud, outputs: Mapping[str, str]) -> None:
    answers_uri = f"s3://{outputs[Output.WORK_BUCKET]}/async"
    command = [
        sys.executable, "-m", "scripts.local.sagemaker_sim",
        "--port", str(cloud.sagemaker_port),
        "--endpoint-name", outputs[Output.ENDPOINT_NAME],
        "--output-bucket-prefix", f"{answers_uri}/out",
        "--failure-bucket-prefix", f"{answers_uri}/failed",
        "--success-topic", outputs[Output.SUCCESS_TOPIC_ARN],
        "--error-topic", outputs[Output.ERROR_TOPIC_ARN],
        "--state-dir", str(cloud.state / "sagemaker"),
        "--environment", f"CLEARTAKE_ACCESS_FUNCTION={outputs[function_output(FunctionName.ACCESS)]}",
        "--concurrency", str(lane_concurrency()),
    ]  # fmt: skip
    if _keeps_running(cloud, SAGEMAKER, command):
        return
    _start(
        cloud,
        SAGEMAKER,
        command,
        environment={**emulator.aws_environment(cloud), "CLEARTAKE_S3_ADDRESSING": "path"},
    )


def _fetch_models() -> None:
    """Bring what the lanes load; a fraction of a second if it is there."""
    try:
        models.fetch(models.default_directory())
    except RuntimeError as error:
        raise LauncherError(f"The models could not be fetched: {error}") from error


def _start_edge(cloud: Cloud, outputs: Mapping[str, str]) -> None:
    command = [
        sys.executable, "-m", "scripts.local.edge",
        "--port", str(cloud.port),
        "--upstream", cloud.emulator_url,
        "--api-id", outputs[Output.REST_API_ID],
        "--stage", outputs[Output.STAGE_NAME],
    ]  # fmt: skip
    if _keeps_running(cloud, EDGE, command):
        return
    _start(
        cloud,
        EDGE,
        command,
        environment=emulator.clean_environment(),
    )


def _keeps_running(cloud: Cloud, name: str, command: list[str]) -> bool:
    """Whether ``name`` runs exactly as wanted; one that runs otherwise (a new API id, say) is stopped."""
    process = processes.running(cloud.run, name)
    if process and process.command == tuple(command):
        return True
    processes.stop(cloud.run, name, grace_s=STOP_GRACES_S[name])
    return False


def _start(cloud: Cloud, name: str, command: list[str], *, environment: Mapping[str, str]) -> None:
    port, variable = _ports(cloud)[name]
    processes.require_free_port(port, variable, name)
    processes.start(name, command, port=port, run=cloud.run, logs=cloud.logs, environment=environment)


def _wait_until_healthy(cloud: Cloud, name: str, url: str, limit_s: float) -> None:
    log = processes.log_file(cloud.logs, name)
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if processes.running(cloud.run, name) is None:
            raise LauncherError(f"{name} ended at its start:\n{processes.tail(log)}\nAll of it: {log}")
        if answers(url):
            return
        time.sleep(processes.POLL_S)
    raise LauncherError(f"{name} did not answer within {limit_s:.0f} s:\n{processes.tail(log)}\nAll of it: {log}")


def local_environment() -> dict[str, str]:
    """Turn this process to the local cloud and return the AWS variables that do it."""
    cloud = Cloud.from_environment()
    emulator.enter(cloud)  # which also takes away a profile of the person's own
    return {**emulator.AWS_CREDENTIALS, "AWS_ENDPOINT_URL": cloud.emulator_url}


def local_table() -> str:
    """Return the name of the local cloud's table."""
    return outputs_of(Cloud.from_environment())[Output.TABLE_NAME]


def answers(url: str) -> bool:
    """Whether ``url`` answers 200."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or HOST, address.port, timeout=2.0)
    try:
        connection.request("GET", address.path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
