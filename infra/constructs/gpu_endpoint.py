"""The GPU lane in AWS: a SageMaker asynchronous endpoint that runs the container image."""

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.config import Config
from infra.constructs import grants
from infra.constructs.buckets import ASYNC_PREFIX, ORDERS_PREFIX
from infra.constructs.endpoint_scaling import VARIANT, EndpointScaling
from infra.constructs.images import ContainerImage
from infra.constructs.notices import Notices
from infra.constructs.work_role import WorkRole
from infra.nag import accept_objects, accept_wildcard

_IMAGE_START_TIMEOUT_S = 900
_CONCURRENCY = "CLEARTAKE_MAX_CONCURRENT"
"""The container must take at least as many orders at once as the endpoint sends it."""
_NEEDS_GPU = "CLEARTAKE_NEEDS_GPU"
"""A container that computes on the CPU of an instance that is paid for its GPU is not healthy."""
_ID_CHARACTERS = 36
"""Of a job's id (RFC 9562)."""


class GpuEndpoint(Construct):
    """Model, endpoint and scaling; left out whole where there is no SageMaker."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        config: Config,
        *,
        work: s3.IBucket,
        key: kms.IKey,
        keys: WorkRole,
        notices: Notices,
        image: ContainerImage,
    ) -> None:
        super().__init__(scope, name)
        self.role = self._role(config)
        for statement in (
            # SageMaker fetches orders and files answers with the container's role. An order holds its token, so that
            # nobody may find the others': their names begin with a random id, and are listed to who knows them.
            grants.objects_get(work, ORDERS_PREFIX),
            grants.object_exists_by_name(work, ORDERS_PREFIX, known_characters=_ID_CHARACTERS),
            grants.objects_put_in_parts(work, ASYNC_PREFIX),
            grants.data_key_write(key),
            keys.allow_asking(),
            *notices.allow_publishing(),
        ):
            self.role.add_to_policy(statement)
        for prefix in (ORDERS_PREFIX, ASYNC_PREFIX):
            accept_objects(self.role, work, prefix)
        image.repository.grant_pull(self.role)
        model = self._model(config, image, keys)
        endpoint = self._endpoint(config, model, work, notices)
        self.scaling = EndpointScaling(self, "Scaling", config, endpoint=endpoint)

    def _role(self, config: Config) -> iam.Role:
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"),
            description="Runs the audio container",
        )
        group = f"/aws/sagemaker/Endpoints/{config.endpoint_name}"
        arn = Stack.of(self).format_arn(
            service="logs",
            resource="log-group",
            resource_name=f"{group}*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=[
                    "logs:CreateLogGroup",
                    "logs:CreateLogStream",
                    "logs:DescribeLogStreams",
                    "logs:PutLogEvents",
                ],
                resources=[arn],
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],
                conditions={"StringEquals": {"cloudwatch:namespace": ["/aws/sagemaker/Endpoints"]}},
            )
        )
        accept_wildcard(role, arn, "Log streams of one endpoint: SageMaker names them.")
        accept_wildcard(
            role, "*", "PutMetricData and the registry's login accept only '*'; the metric's namespace is a condition."
        )
        return role

    def _model(self, config: Config, image: ContainerImage, keys: WorkRole) -> sagemaker.CfnModel:
        model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=self.role.role_arn,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                image=image.uri,
                environment={_CONCURRENCY: str(config.gpu_concurrency), _NEEDS_GPU: "true", **keys.environment},
            ),
        )
        model.node.add_dependency(self.role)
        return model

    def _endpoint(
        self, config: Config, model: sagemaker.CfnModel, work: s3.IBucket, notices: Notices
    ) -> sagemaker.CfnEndpoint:
        settings = sagemaker.CfnEndpointConfig(
            self,
            "Configuration",
            production_variants=[
                sagemaker.CfnEndpointConfig.ProductionVariantProperty(
                    variant_name=VARIANT,
                    model_name=model.attr_model_name,
                    instance_type=config.gpu_instance_type,
                    inference_ami_version=config.gpu_ami_version,
                    initial_instance_count=1,  # creation proves that the image starts; scaling takes it to zero after
                    initial_variant_weight=1,
                    container_startup_health_check_timeout_in_seconds=_IMAGE_START_TIMEOUT_S,
                )
            ],
            async_inference_config=_async_inference(config, work, notices),
        )
        endpoint = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=config.endpoint_name,
            endpoint_config_name=settings.attr_endpoint_config_name,
            # A new version starts with as many instances as the old one had, not with the initial one.
            retain_all_variant_properties=True,
        )
        endpoint.node.add_dependency(self.role)
        return endpoint


def _async_inference(
    config: Config, work: s3.IBucket, notices: Notices
) -> sagemaker.CfnEndpointConfig.AsyncInferenceConfigProperty:
    config_type = sagemaker.CfnEndpointConfig
    return config_type.AsyncInferenceConfigProperty(
        client_config=config_type.AsyncInferenceClientConfigProperty(
            max_concurrent_invocations_per_instance=config.gpu_concurrency
        ),
        output_config=config_type.AsyncInferenceOutputConfigProperty(
            s3_output_path=f"s3://{work.bucket_name}/{ASYNC_PREFIX}out",
            s3_failure_path=f"s3://{work.bucket_name}/{ASYNC_PREFIX}failed",
            notification_config=config_type.AsyncInferenceNotificationConfigProperty(
                success_topic=notices.success.topic_arn, error_topic=notices.error.topic_arn
            ),
        ),
    )
