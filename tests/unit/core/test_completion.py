"""How the CPU lane's invocations end tasks."""

from gpu_container.contract import ErrorCode, WorkFailure, WorkResult
from lambdas.core.jobs import Job
from lambdas.core.services.execution import inference_id_of
from lambdas.entrypoints.complete import answer_of
from tests.unit.world import World, ref_of


def started(world: World) -> tuple[Job, str]:
    world.warmth.warm = False
    client, _ = world.client()
    job = world.queued_job(client.id)
    world.admission.admit([client.id])
    job = world.job(job)
    world.dispatch.dispatch(ref_of(job), "token")
    return job, inference_id_of(job, "token")


def record(inference_id: str, condition: str, payload: object) -> dict[str, object]:
    """Lambda's own form: the request it was given, how it fared, and what the function said."""
    return {
        "version": "1.0",
        "requestContext": {"requestId": "r", "condition": condition, "approximateInvokeCount": 1},
        "requestPayload": {"job_id": "…", "inference_id": inference_id},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": payload,
    }


def test_a_result_succeeds_once() -> None:
    world = World()
    job, inference_id = started(world)
    result = world.result_for(job)
    answer = answer_of(record(inference_id, "Success", result.model_dump(mode="json")))
    world.completion.settle(answer)
    world.completion.settle(answer)
    told = world.tasks.answers["token"]
    assert isinstance(told, WorkResult)
    assert told.output == result.output


def test_a_failure_that_the_worker_tells_keeps_its_code() -> None:
    world = World()
    job, inference_id = started(world)
    failure = WorkFailure(
        job_id=job.id, attempt=1, error_code=ErrorCode.INPUT_CORRUPT, message="broken frame", retryable=False
    )
    world.completion.settle(answer_of(record(inference_id, "Success", failure.model_dump(mode="json"))))
    assert world.tasks.answers["token"] == ("input_corrupt", "broken frame")


def test_a_function_that_died_fails_its_task() -> None:
    world = World()
    _, inference_id = started(world)
    died = {"errorType": "Runtime.ExitError", "errorMessage": "RequestId: r Error: Runtime exited: signal: killed"}
    world.completion.settle(answer_of(record(inference_id, "RetriesExhausted", died)))
    assert world.tasks.answers["token"] == ("Lane.Died", died["errorMessage"])


def test_an_order_for_which_there_was_no_room_may_go_elsewhere() -> None:
    world = World()
    _, inference_id = started(world)
    world.completion.settle(answer_of(record(inference_id, "EventAgeExceeded", None)))
    error, _ = world.tasks.answers["token"]
    assert error == "Lane.NoCapacity"


def test_nonsense_is_a_malformed_result_and_a_stranger_is_nobody() -> None:
    world = World()
    _, inference_id = started(world)
    world.completion.settle(answer_of(record("unknown", "Success", {})))
    assert not world.tasks.answers
    world.completion.settle(answer_of(record(inference_id, "Success", None)))
    assert world.tasks.answers["token"] == ("engine_failed", "the worker's result is malformed")
