"""The API has exactly the dialects' routes, and answers for everything else in a format its clients know."""

import json
from typing import Any

import pytest

from infra.routes import FALLBACK_FUNCTION, OWN_ROUTES, api_prefixes, api_routes
from lambdas.core.rates import DEFAULT_LIMITS, RateClass
from tests.infra.templates import Assembly

TOO_MANY = {
    "error_code": "429050",
    "message": "Too many requests",
    "type": "/v1/problems/rate_exceeded",
    "title": "Too many requests",
    "status": 429,
    "detail": "Too many requests",
    "code": "rate_exceeded",
    "retryable": True,
}


@pytest.fixture(scope="module")
def methods(aws: Assembly) -> dict[tuple[str, str], str]:
    """Map method and path to the logical name of the function behind them."""
    resources = aws.of_type("AWS::ApiGateway::Resource")
    functions = {_function_id(aws, name): name for name in aws.functions()}

    def path(reference: dict[str, Any]) -> str:
        if "Ref" not in reference:
            return ""
        properties = resources[f"api/{reference['Ref']}"]["Properties"]
        return f"{path(properties['ParentId'])}/{properties['PathPart']}"

    found = {}
    for method in aws.of_type("AWS::ApiGateway::Method").values():
        properties = method["Properties"]
        behind = json.dumps(properties["Integration"]["Uri"])
        (name,) = (name for logical, name in functions.items() if f'"{logical}"' in behind)
        found[properties["HttpMethod"], path(properties["ResourceId"]) or "/"] = name
    return found


def _function_id(aws: Assembly, name: str) -> str:
    (logical,) = (
        key.split("/")[1]
        for key, resource in aws.of_type("AWS::Lambda::Function").items()
        if resource["Properties"]["Description"].endswith(f" {name}")
    )
    return logical


def test_every_route_of_every_dialect_is_there_and_no_other(methods: dict[tuple[str, str], str]) -> None:
    explicit = {key: name for key, name in methods.items() if key[0] != "ANY"}
    assert explicit == {(route.method, route.path): route.function.value for route in (*api_routes(), *OWN_ROUTES)}


def test_other_methods_on_a_route_reach_its_dialect(methods: dict[tuple[str, str], str]) -> None:
    for route in api_routes():
        assert methods["ANY", route.path] == route.function.value


def test_every_prefix_has_a_catch_all_and_so_has_the_root(methods: dict[tuple[str, str], str]) -> None:
    for prefix in api_prefixes():
        assert methods["ANY", prefix.path] == prefix.function.value
        assert methods["ANY", f"{prefix.path}/{{proxy+}}"] == prefix.function.value
    assert methods["ANY", "/"] == methods["ANY", "/{proxy+}"] == FALLBACK_FUNCTION.value


def test_only_the_token_route_reaches_the_signer(methods: dict[tuple[str, str], str]) -> None:
    assert [key for key, name in methods.items() if name == "Token"] == [("POST", "/ims/token/v3")]


def test_gateway_answers_are_for_clients_of_every_dialect(aws: Assembly) -> None:
    """Adobe's two fields, and a problem document's (RFC 9457) with the native API's two."""
    answers = {
        response["Properties"]["ResponseType"]: response["Properties"]
        for response in aws.of_type("AWS::ApiGateway::GatewayResponse").values()
    }
    assert {"DEFAULT_4XX", "DEFAULT_5XX", "THROTTLED", "QUOTA_EXCEEDED", "MISSING_AUTHENTICATION_TOKEN"} <= set(answers)
    for kind, answer in answers.items():
        template = answer["ResponseTemplates"]["application/json"]
        body = json.loads(template.replace("$context.error.messageString", '"as the gateway says"'))
        problem = {"type", "title", "detail", "code", "retryable"} | ({"status"} if "StatusCode" in answer else set())
        assert set(body) == {"error_code", "message"} | problem, kind
        assert body["type"] == f"/v1/problems/{body['code']}"
        assert body["message"] == body["detail"]
        assert str(body.get("status")) == answer.get("StatusCode", "None")
        assert body["retryable"] is ("gatewayresponse.header.retry-after" in answer.get("ResponseParameters", {}))
    assert answers["MISSING_AUTHENTICATION_TOKEN"]["StatusCode"] == "404"


def test_throttling_answers_as_the_dialect_would(aws: Assembly) -> None:
    for response in aws.of_type("AWS::ApiGateway::GatewayResponse").values():
        properties = response["Properties"]
        if properties["ResponseType"] in {"THROTTLED", "QUOTA_EXCEEDED"}:
            assert properties["StatusCode"] == "429"
            assert json.loads(properties["ResponseTemplates"]["application/json"]) == TOO_MANY
            assert properties["ResponseParameters"] == {"gatewayresponse.header.retry-after": "'1'"}


def test_access_log_keeps_no_query_string(aws: Assembly) -> None:
    fields = json.loads(aws.one("AWS::ApiGateway::Stage")["AccessLogSetting"]["Format"])
    assert set(fields.values()) <= {
        "$context.requestId",
        "$context.requestTime",
        "$context.identity.sourceIp",
        "$context.identity.userAgent",
        "$context.httpMethod",
        "$context.path",
        "$context.resourcePath",
        "$context.status",
        "$context.responseLength",
        "$context.responseLatency",
        "$context.integrationLatency",
        "$context.wafResponseCode",
        "$context.error.responseType",
    }


def test_stage_is_throttled_and_shows_no_request_data(aws: Assembly) -> None:
    stage = aws.one("AWS::ApiGateway::Stage")
    (settings,) = stage["MethodSettings"]
    assert settings["DataTraceEnabled"] is False
    assert settings["LoggingLevel"] == "OFF"
    assert settings["ThrottlingRateLimit"] == 200
    assert stage["TracingEnabled"] is False


def test_firewall_guards_the_stage_and_logs_no_secret(aws: Assembly) -> None:
    assert "DeploymentStagedev" in json.dumps(aws.one("AWS::WAFv2::WebACLAssociation")["ResourceArn"])
    logging = aws.one("AWS::WAFv2::LoggingConfiguration")
    redacted = json.dumps(logging["RedactedFields"])
    assert all(part in redacted for part in ("QueryString", "authorization", "x-api-key"))
    rules = {rule["Name"]: rule for rule in aws.one("AWS::WAFv2::WebACL")["Rules"]}
    assert not any(rule["VisibilityConfig"]["SampledRequestsEnabled"] for rule in rules.values())
    common = rules["AWSManagedRulesCommonRuleSet"]["Statement"]["ManagedRuleGroupStatement"]
    counted = {item["Name"] for item in common["RuleActionOverrides"] if "Count" in item["ActionToUse"]}
    assert "SizeRestrictions_BODY" in counted


def test_an_office_behind_one_address_is_told_to_come_again_and_not_shut_out(aws: Assembly) -> None:
    acl = aws.one("AWS::WAFv2::WebACL")
    (rule,) = (rule for rule in acl["Rules"] if rule["Name"] == "RatePerAddress")
    said = rule["Action"]["Block"]["CustomResponse"]
    body = acl["CustomResponseBodies"][said["CustomResponseBodyKey"]]
    limit = rule["Statement"]["RateBasedStatement"]
    (stage,) = aws.one("AWS::ApiGateway::Stage")["MethodSettings"]

    assert said["ResponseCode"] == 429
    assert said["ResponseHeaders"] == [{"Name": "retry-after", "Value": "30"}]
    assert (body["ContentType"], json.loads(body["Content"])) == ("APPLICATION_JSON", TOO_MANY)
    of_the_stage = stage["ThrottlingRateLimit"] * limit["EvaluationWindowSec"]
    assert limit["Limit"] == of_the_stage / 2, "no address alone uses up what there is for all"
    clients_at_their_limit = limit["Limit"] / (DEFAULT_LIMITS[RateClass.NATIVE] * 5)
    assert clients_at_their_limit >= 5, "an office may have several busy clients"
