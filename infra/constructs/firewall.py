"""The web application firewall in front of the API (AWS only)."""

from aws_cdk import Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from infra.config import PRODUCT, Config
from infra.constructs.gateway_responses import THROTTLED
from infra.constructs.logs import log_group, vended_name

_COUNTED_ONLY = (
    "SizeRestrictions_BODY",  # a batch may be longer than 8 KB; the API has limits of its own
    "GenericRFI_BODY",  # a source given by URL looks like remote file inclusion
    "EC2MetaDataSSRF_BODY",  # likewise; what fetches URLs guards against it where it can resolve names
    "NoUserAgent_HEADER",  # some workflow services send none
)

_TOO_MANY = "TooMany"
_RETRY_AFTER_S = 30
"""The window of five minutes slides, and is looked at every few seconds: who calls a little less is let in soon."""


class Firewall(Construct):
    """A rate limit for each address, the common rules, and logs without secrets."""

    def __init__(self, scope: Construct, name: str, config: Config, *, stage: apigateway.Stage) -> None:
        super().__init__(scope, name)
        acl = wafv2.CfnWebACL(
            self,
            "Acl",
            scope="REGIONAL",
            default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=_visibility("Api"),
            custom_response_bodies={
                _TOO_MANY: wafv2.CfnWebACL.CustomResponseBodyProperty(
                    content=THROTTLED.body(), content_type="APPLICATION_JSON"
                )
            },
            rules=[
                _rate_rule(config),
                _managed_rule(1, "AWSManagedRulesCommonRuleSet", _COUNTED_ONLY),
                _managed_rule(2, "AWSManagedRulesKnownBadInputsRuleSet"),
                _managed_rule(3, "AWSManagedRulesAmazonIpReputationList"),
            ],
        )
        wafv2.CfnWebACLAssociation(self, "Association", resource_arn=stage.stage_arn, web_acl_arn=acl.attr_arn)
        self._log(config, acl)

    def _log(self, config: Config, acl: wafv2.CfnWebACL) -> None:
        """Log what was blocked; the token endpoint takes secrets in its query string, so that part is left out."""
        # The service writes only to groups whose names begin so.
        name = f"aws-waf-logs-{PRODUCT}-{config.stage}"
        log_group(self, "Logs", config, group_name=name)
        arn = Stack.of(self).format_arn(service="logs", resource="log-group").rstrip("/")
        redacted = [
            wafv2.CfnLoggingConfiguration.FieldToMatchProperty(query_string={}),
            *(
                wafv2.CfnLoggingConfiguration.FieldToMatchProperty(single_header={"Name": header})
                for header in ("authorization", "x-api-key")
            ),
        ]
        wafv2.CfnLoggingConfiguration(
            self,
            "Logging",
            resource_arn=acl.attr_arn,
            log_destination_configs=[f"{arn}:{vended_name(self, config, name)}"],
            redacted_fields=redacted,
        ).node.add_dependency(self.node.find_child("Logs"))


def _visibility(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    # Sampled requests would show query strings in the console.
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=f"{PRODUCT}{name}", sampled_requests_enabled=False
    )


def _rate_rule(config: Config) -> wafv2.CfnWebACL.RuleProperty:
    statement = wafv2.CfnWebACL.RateBasedStatementProperty(
        limit=config.requests_of_an_address, aggregate_key_type="IP", evaluation_window_sec=300
    )
    return wafv2.CfnWebACL.RuleProperty(
        name="RatePerAddress",
        priority=0,
        # What it says comes before what the gateway would: 403, for good and without a word of when to come again.
        action=wafv2.CfnWebACL.RuleActionProperty(
            block=wafv2.CfnWebACL.BlockActionProperty(
                custom_response=wafv2.CfnWebACL.CustomResponseProperty(
                    response_code=THROTTLED.status,
                    custom_response_body_key=_TOO_MANY,
                    response_headers=[
                        wafv2.CfnWebACL.CustomHTTPHeaderProperty(name="retry-after", value=str(_RETRY_AFTER_S))
                    ],
                )
            )
        ),
        statement=wafv2.CfnWebACL.StatementProperty(rate_based_statement=statement),
        visibility_config=_visibility("RatePerAddress"),
    )


def _managed_rule(priority: int, name: str, counted: tuple[str, ...] = ()) -> wafv2.CfnWebACL.RuleProperty:
    overrides = [
        wafv2.CfnWebACL.RuleActionOverrideProperty(
            name=rule, action_to_use=wafv2.CfnWebACL.RuleActionProperty(count={})
        )
        for rule in counted
    ]
    statement = wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
        vendor_name="AWS", name=name, rule_action_overrides=overrides or None
    )
    return wafv2.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
        statement=wafv2.CfnWebACL.StatementProperty(managed_rule_group_statement=statement),
        visibility_config=_visibility(name),
    )
