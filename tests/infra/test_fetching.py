"""Fetching ends before its function does, is tried as its schedule says, and reaches this machine only here."""

import json

from lambdas.core.services.intake import ATTEMPT_LIVES
from lambdas.core.sources import FETCH_DELAYS_S, FETCH_RECEIVES, FETCH_TIMEOUT_S
from tests.infra.templates import Assembly


def test_a_slow_source_is_told_so_before_the_function_is_cut_off(aws: Assembly) -> None:
    timeout_s = aws.functions()["Fetch"]["Timeout"]
    queue = aws.one("AWS::SQS::Queue", "FetchingFetchQueue")
    assert timeout_s - 60 > FETCH_TIMEOUT_S
    assert timeout_s < queue["VisibilityTimeout"] < 2 * timeout_s
    assert queue["RedrivePolicy"]["maxReceiveCount"] == FETCH_RECEIVES > len(FETCH_DELAYS_S) + 1


def test_what_kills_the_function_is_told_and_nothing_expires_unheard(aws: Assembly) -> None:
    queue = aws.one("AWS::SQS::Queue", "FetchingFetchQueue")
    dead = aws.one("AWS::SQS::Queue", "FetchingFetchDeadLetters")
    assert queue["MessageRetentionPeriod"] == dead["MessageRetentionPeriod"] == 14 * 86_400
    sources = aws.of_type("AWS::Lambda::EventSourceMapping").items()
    (lost,) = (source["Properties"] for name, source in sources if "FetchLost" in name)
    assert "FetchDeadLetters" in json.dumps(lost["EventSourceArn"])
    assert lost["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert dead["VisibilityTimeout"] == 6 * aws.functions()["FetchLost"]["Timeout"]


def test_a_failure_outlives_another_attempt_that_may_still_write(aws: Assembly) -> None:
    failures = aws.one("AWS::SQS::Queue", "FetchingFailureQueue")
    last_s = (failures["RedrivePolicy"]["maxReceiveCount"] - 1) * failures["VisibilityTimeout"]
    assert last_s > ATTEMPT_LIVES.total_seconds() > FETCH_TIMEOUT_S
    assert last_s > 2 * 86_400, "and a day without room in the account"


def test_it_knows_no_table_and_calls_the_machine_itself_on_one_machine_only(aws: Assembly, local: Assembly) -> None:
    deployed, here = (one.functions()["Fetch"]["Environment"]["Variables"] for one in (aws, local))
    assert "CLEARTAKE_TABLE" not in deployed
    assert "CLEARTAKE_ALLOW_LOOPBACK" not in deployed
    assert here["CLEARTAKE_ALLOW_LOOPBACK"] == "true"


def test_few_fetch_at_a_time(aws: Assembly) -> None:
    sources = aws.of_type("AWS::Lambda::EventSourceMapping").items()
    (fetches,) = (source["Properties"] for name, source in sources if "FetchingFetchFunction" in name)
    assert fetches["BatchSize"] == 1
    assert fetches["ScalingConfig"] == {"MaximumConcurrency": 10}
