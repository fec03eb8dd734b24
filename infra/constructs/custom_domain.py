"""A domain of the customer's own (AWS only, by configuration)."""

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_certificatemanager as acm
from constructs import Construct

from infra.constructs.publish import publish
from infra.outputs import Output


class CustomDomain(Construct):
    """Serves the API at the root of the domain; the record in the customer's zone is the customer's to make."""

    def __init__(
        self, scope: Construct, name: str, *, api: apigateway.RestApi, domain_name: str, certificate_arn: str
    ) -> None:
        super().__init__(scope, name)
        domain = apigateway.DomainName(
            self,
            "Domain",
            domain_name=domain_name,
            certificate=acm.Certificate.from_certificate_arn(self, "Certificate", certificate_arn),
            endpoint_type=apigateway.EndpointType.REGIONAL,
            security_policy=apigateway.SecurityPolicy.TLS_1_2,
        )
        domain.add_base_path_mapping(api, stage=api.deployment_stage)
        publish(self, Output.DOMAIN_TARGET, domain.domain_name_alias_domain_name)
