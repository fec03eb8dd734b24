"""Builds the images in the customer's account, at deployment: CodeBuild, a registry of our own, and who waits for it.

The source goes up as an asset of the CDK and its hash becomes the tag: the same source is built once, whatever becomes
of the deployment, and nobody can push other bytes under a tag that is taken.
"""

from typing import Final

from aws_cdk import CustomResource, Duration, IgnoreMode, RemovalPolicy, Stack, custom_resources
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from infra.config import LAMBDA_RUNTIME, PRODUCT, REPOSITORY, Architecture, Config
from infra.constructs.logs import log_group
from infra.nag import accept, accept_managed_policy, accept_wildcard

DOCKERFILE: Final = "gpu_container/Dockerfile"

_BUILD_LIMIT: Final = Duration.minutes(45)
_QUEUE_LIMIT: Final = Duration.minutes(8)
_WAIT_LIMIT: Final = Duration.minutes(55)
"""CloudFormation waits an hour at most: whoever is told of a failure must be told before."""
_POLL_INTERVAL: Final = Duration.seconds(15)

_TAG_DIGITS: Final = 32
_HANDLERS: Final = REPOSITORY / "infra" / "custom_resources"

_MACHINES: Final[dict[Architecture, codebuild.IBuildImage]] = {
    Architecture.X86_64: codebuild.LinuxBuildImage.AMAZON_LINUX_2023_5,
    Architecture.ARM64: codebuild.LinuxArmBuildImage.AMAZON_LINUX_2023_STANDARD_3_0,
}

_PUSH: Final = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
)

_BUILD_VARIABLES: Final = {
    "DOCKER_BUILDKIT": "1",  # builds only the stages that the target needs
    "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",  # Lambda takes an image, not an index of an image and its papers
}

_PRIVILEGED = "Docker runs in a build only in privileged mode; the role may push to one repository and little else."
_FRAMEWORK = "The CDK's framework for custom resources brings its roles along: with this policy they write logs."
_FRAMEWORK_INVOKES = (
    "Versions of two functions of ours and two of the framework's own: the CDK grants 'arn' and 'arn:*'."
)
_FRAMEWORK_FUNCTIONS: Final = ("framework-isComplete", "framework-onTimeout")
_FRAMEWORK_LOGS = "The framework's waiter runs at deployments only; its functions log every step."
_RUNTIME = "The one runtime of all our functions, see functions.py."
_LOGINS = "The logins of both registries accept only '*'; what may be pulled and pushed is named."


class ImageBuilds(Construct):
    """One repository, one project for each architecture, one custom resource for each image."""

    def __init__(self, scope: Construct, name: str, config: Config) -> None:
        super().__init__(scope, name)
        self._config = config
        self._key = kms.Key(
            self,
            "Key",
            description="Encrypts container images and their builds",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.repository = self._registry()
        self._source = _source(self)
        self._logs = log_group(self, "BuildLogs", config)
        self._role = self._build_role()
        self._start = self._handler("start", _look_up(self.repository))
        self._finish = self._handler("finish", _look_up(self.repository))
        self._provider = self._framework()
        self._projects: dict[Architecture, codebuild.Project] = {}
        self._builds: list[CustomResource] = []

    def digest_of(self, target: str, architecture: Architecture) -> str:
        """Have ``target`` of the Dockerfile built; return the digest, known once the build is over."""
        project = self._project(architecture)
        build = CustomResource(
            self,
            f"{target.capitalize()}Image",
            service_token=self._provider.service_token,
            resource_type="Custom::CleartakeImage",
            properties={
                "Project": project.project_name,
                "Repository": self.repository.repository_name,
                "Target": target,
                "Tag": f"{target}-{architecture}-{self._source.asset_hash[:_TAG_DIGITS]}",
                "Source": self._source.s3_object_url,
            },
        )
        # What a build and a handler may do is settled before the build; and one build follows the other, because new
        # accounts may run a single one at a time.
        for earlier in (self._role, self._start, self._finish, *self._builds):
            build.node.add_dependency(earlier)
        self._builds.append(build)
        # The attribute is without the algorithm's name, so that the CDK sees a digest and not a tag.
        return f"sha256:{build.get_att_string('Sha256')}"

    def _registry(self) -> ecr.Repository:
        """Make the registry; it can be filled again from the source, so it goes with its stack in every stage."""
        return ecr.Repository(
            self,
            "Repository",
            encryption=ecr.RepositoryEncryption.KMS,
            encryption_key=self._key,
            image_scan_on_push=True,
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            lifecycle_rules=[
                ecr.LifecycleRule(
                    description="What no tag names", tag_status=ecr.TagStatus.UNTAGGED, max_image_age=Duration.days(1)
                )
            ],
            empty_on_delete=True,
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _project(self, architecture: Architecture) -> codebuild.Project:
        if architecture not in self._projects:
            project = self._make_project(architecture)
            self._projects[architecture] = project
            self._start.add_to_role_policy(_allow(["codebuild:StartBuild"], project.project_arn))
            self._finish.add_to_role_policy(_allow(["codebuild:BatchGetBuilds"], project.project_arn))
        return self._projects[architecture]

    def _make_project(self, architecture: Architecture) -> codebuild.Project:
        variables = {
            **_BUILD_VARIABLES,
            "REPOSITORY_URI": self.repository.repository_uri,
            "REPOSITORY": self.repository.repository_name,
            "MODELS_MIRROR": self._config.models_mirror or "",
        }
        project = codebuild.Project(
            self,
            f"Project{architecture.name.title()}",
            description=f"{PRODUCT} {self._config.stage}: builds the container images, {architecture}",
            build_spec=_build_spec(),
            environment=codebuild.BuildEnvironment(
                build_image=_MACHINES[architecture], compute_type=codebuild.ComputeType.MEDIUM, privileged=True
            ),
            environment_variables={
                key: codebuild.BuildEnvironmentVariable(value=value) for key, value in variables.items()
            },
            encryption_key=self._key,
            grant_report_group_permissions=False,
            logging=codebuild.LoggingOptions(
                cloud_watch=codebuild.CloudWatchLoggingOptions(log_group=self._logs, prefix=architecture.value)
            ),
            # Else the CDK would add patterns of actions to what `_build_role` lists.
            role=self._role.without_policy_updates(),
            queued_timeout=_QUEUE_LIMIT,
            timeout=_BUILD_LIMIT,
        )
        accept(project, "AwsSolutions-CB3", _PRIVILEGED)
        return project

    def _build_role(self) -> iam.Role:
        role = iam.Role(
            self,
            "BuildRole",
            assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com"),
            description="Builds the container images and nothing else",
        )
        source = f"{self._source.bucket.bucket_arn}/{self._source.s3_object_key}"
        for statement in (
            _allow(["s3:GetObject"], source),
            _allow(["kms:Decrypt", "kms:GenerateDataKey"], self._key.key_arn),
            _allow([*_PUSH, "ecr:DescribeImages"], self.repository.repository_arn),
            _allow(["ecr:GetAuthorizationToken", "ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"], "*"),
            *self._mirror_statements(),
        ):
            role.add_to_policy(statement)
        self._logs.grant_write(role)
        accept_wildcard(role, "*", _LOGINS)
        return role

    def _mirror_statements(self) -> list[iam.PolicyStatement]:
        """Allow reading the model files of the mirror, where one is configured."""
        if self._config.models_mirror is None:
            return []
        name, _, prefix = self._config.models_mirror.removeprefix("s3://").partition("/")
        bucket = Stack.of(self).format_arn(service="s3", account="", region="", resource=name)
        listing = iam.PolicyStatement(
            actions=["s3:ListBucket"], resources=[bucket], conditions={"StringLike": {"s3:prefix": [f"{prefix}*"]}}
        )
        accept_wildcard(self, f"{bucket}/{prefix}*", "The models' mirror: public files, checked against the lock.")
        return [_allow(["s3:GetObject"], f"{bucket}/{prefix}*"), listing]

    def _handler(self, name: str, *statements: iam.PolicyStatement) -> lambda_.Function:
        role = iam.Role(
            self,
            f"{name.capitalize()}Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"Runs '{name}' of image builds and nothing else",
        )
        group = log_group(self, f"{name.capitalize()}Logs", self._config)
        group.grant_write(role)
        function = lambda_.Function(
            self,
            name.capitalize(),
            code=lambda_.Code.from_asset(str(_HANDLERS), exclude=["*", "!image_build.py"]),
            handler=f"image_build.{name}",
            runtime=lambda_.Runtime(LAMBDA_RUNTIME),
            architecture=lambda_.Architecture.ARM_64,
            role=role,
            log_group=group,
            timeout=Duration.minutes(1),
            description=f"At deployments only: {name} of an image build",
        )
        for statement in statements:
            function.add_to_role_policy(statement)
        accept(function, "AwsSolutions-L1", _RUNTIME)
        return function

    def _framework(self) -> custom_resources.Provider:
        provider = custom_resources.Provider(
            self,
            "Waiting",
            on_event_handler=self._start,
            is_complete_handler=self._finish,
            query_interval=_POLL_INTERVAL,
            total_timeout=_WAIT_LIMIT,
            log_group=log_group(self, "WaitingLogs", self._config),
            disable_waiter_state_machine_logging=True,
        )
        basics = iam.ManagedPolicy.from_aws_managed_policy_name("service-role/AWSLambdaBasicExecutionRole")
        accept_managed_policy(provider, basics, _FRAMEWORK)
        for function in (self._start, self._finish, *map(provider.node.find_child, _FRAMEWORK_FUNCTIONS)):
            if isinstance(function, lambda_.Function):
                accept_wildcard(provider, f"{function.function_arn}:*", _FRAMEWORK_INVOKES)
        for rule in ("AwsSolutions-SF1", "AwsSolutions-SF2"):
            accept(provider, rule, _FRAMEWORK_LOGS)
        return provider


def _build_spec() -> codebuild.BuildSpec:
    script = (_HANDLERS / "image_build.sh").read_text(encoding="utf-8")
    # In a shell of its own: the commands of a phase share one, which `set -e` and `exit` would end.
    phases = {"build": {"commands": [f"(\n{script})"]}}
    return codebuild.BuildSpec.from_object({"version": "0.2", "env": {"shell": "bash"}, "phases": phases})


def _source(scope: Construct) -> s3_assets.Asset:
    """Pack what a build may see, by the same list that Docker reads."""
    ignored = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in ignored if line and not line.startswith("#")]
    return s3_assets.Asset(scope, "Source", path=str(REPOSITORY), exclude=patterns, ignore_mode=IgnoreMode.DOCKER)


def _look_up(repository: ecr.Repository) -> iam.PolicyStatement:
    return _allow(["ecr:DescribeImages"], repository.repository_arn)


def _allow(actions: list[str], resource: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=actions, resources=[resource])
