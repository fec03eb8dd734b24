"""How the CPU lane's invocations and the fan-out's executions end tasks."""

import pytest

from gpu_container.contract import ErrorCode, WorkFailure, WorkResult
from lambdas.core.jobs import Job
from lambdas.core.services.completion import Answer, Notice
from lambdas.core.services.execution import inference_id_of
from lambdas.entrypoints.complete import answer_of, end_of
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


def end(world: World, inference_id: str, status: str, **more: object) -> None:
    """Deliver EventBridge's form of an execution's end."""
    detail = {"name": inference_id, "status": status, "input": "{}", "output": None, "error": None, "cause": None}
    told = end_of(detail | more)
    if isinstance(told, Notice):
        world.completion.complete(told)
    else:
        world.completion.settle(told)


def test_a_fan_outs_output_is_the_answer_and_counts_once() -> None:
    world = World()
    job, inference_id = started(world)
    result = world.result_for(job)
    end(world, inference_id, "SUCCEEDED", output=result.model_dump_json())
    end(world, inference_id, "FAILED")
    told = world.tasks.answers["token"]
    assert isinstance(told, WorkResult)
    assert told.output == result.output


def test_a_fan_outs_failure_keeps_its_code() -> None:
    world = World()
    job, inference_id = started(world)
    failure = WorkFailure(
        job_id=job.id, attempt=1, error_code=ErrorCode.INPUT_CORRUPT, message="broken frame", retryable=False
    )
    end(world, inference_id, "SUCCEEDED", output=failure.model_dump_json())
    assert world.tasks.answers["token"] == ("input_corrupt", "broken frame")


@pytest.mark.parametrize(
    ("status", "error"), [("FAILED", "Lane.Died"), ("TIMED_OUT", "Lane.Died"), ("ABORTED", "Execution.Stopped")]
)
def test_a_fan_out_that_ends_without_an_answer(status: str, error: str) -> None:
    world = World()
    _, inference_id = started(world)
    end(world, inference_id, status, error="States.ExceedToleratedFailureThreshold", cause="a part failed")
    answered, cause = world.tasks.answers["token"]
    assert answered == error
    assert cause == f"{status}: States.ExceedToleratedFailureThreshold: a part failed"


def test_an_output_that_the_event_leaves_out_is_read_where_it_is() -> None:
    world = World()
    job, inference_id = started(world)
    attempt = world.attempts.get(inference_id)
    assert attempt is not None
    assert attempt.output_location is not None
    world.answers.documents[attempt.output_location] = world.result_for(job).model_dump_json().encode()
    end(world, inference_id, "SUCCEEDED", output=None, outputDetails={"included": False})
    assert isinstance(world.tasks.answers["token"], WorkResult)


def test_a_late_end_of_an_earlier_attempt_is_nobodys() -> None:
    world = World()
    job, first = started(world)
    world.tasks.fail("token", "Worker.Lost", "")
    end(world, first, "SUCCEEDED", output=world.result_for(job).model_dump_json())
    assert world.tasks.answers["token"] == ("Worker.Lost", "")
    world.completion.settle(Answer("unheard-of", b"{}"))
    assert len(world.tasks.answers) == 1
