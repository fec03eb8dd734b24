"""The variant for one machine differs from AWS in a closed list of things; anything else fails here."""

from infra.config import PLACEHOLDERS
from infra.outputs import Output, function_output
from infra.variants import OTHERWISE, aws_only, differing_properties, surplus
from lambdas.core.workflow import FunctionName
from tests.infra.templates import Assembly

AWS_ONLY = {
    # The GPU lane and its scaling
    "AWS::SageMaker::Model": 1,
    "AWS::SageMaker::EndpointConfig": 1,
    "AWS::SageMaker::Endpoint": 1,
    "AWS::ApplicationAutoScaling::ScalableTarget": 1,
    "AWS::ApplicationAutoScaling::ScalingPolicy": 2,
    "AWS::IAM::Role": 1,
    "AWS::IAM::Policy": 1,
    "AWS::CloudWatch::Alarm": 3,
    # The firewall and its log
    "AWS::WAFv2::WebACL": 1,
    "AWS::WAFv2::WebACLAssociation": 1,
    "AWS::WAFv2::LoggingConfiguration": 1,
    "AWS::Logs::LogGroup": 1,
    # TLS only, and access logs
    "AWS::S3::Bucket": 1,
    "AWS::S3::BucketPolicy": 3,
    "AWS::SQS::QueuePolicy": 14,
    "AWS::SNS::TopicPolicy": 2,
}

DIFFERENT_PROPERTIES = {
    ("AWS::Lambda::Function", "Architectures"),
    ("AWS::Lambda::Function", "Code"),
    ("AWS::Lambda::Function", "Environment"),
    ("AWS::Lambda::Function", "Handler"),
    ("AWS::Lambda::Function", "ImageConfig"),
    ("AWS::Lambda::Function", "PackageType"),
    ("AWS::Lambda::Function", "Runtime"),
    ("AWS::CloudWatch::Dashboard", "DashboardBody"),  # the GPU's graphs
    ("AWS::IAM::Policy", "PolicyDocument"),  # answering task tokens names no machine; ARNs name the account
    ("AWS::S3::Bucket", "LoggingConfiguration"),
    ("AWS::SNS::TopicPolicy", "PolicyDocument"),  # TLS only
    ("AWS::SQS::QueuePolicy", "PolicyDocument"),  # TLS only
}


def test_resource_types_that_exist_only_in_aws(aws: Assembly, local: Assembly) -> None:
    assert surplus(aws.all(), local.all()) == aws_only()
    assert surplus(local.all(), aws.all()) == {}


def test_properties_that_differ(aws_here: Assembly, local: Assembly) -> None:
    assert differing_properties(local.all(), aws_here.all()) == set(OTHERWISE)


def test_local_functions_run_under_the_real_runtime_client(local: Assembly) -> None:
    for name, function in local.functions().items():
        assert function["Runtime"] == "provided.al2023", name
        assert function["Environment"]["Variables"]["CLEARTAKE_LOCAL_PYTHON"] == "@@PYTHON@@"
        if name != FunctionName.DOCS:  # which has no settings at all
            assert function["Environment"]["Variables"]["CLEARTAKE_S3_ADDRESSING"] == "path"
    for asset in local.folder.glob("asset.*"):
        assert (asset / "bootstrap").stat().st_mode & 0o111
        assert (asset / "gpu_container" / "contract").is_dir()


def test_placeholders_stand_in_local_templates_only(aws: Assembly, local: Assembly) -> None:
    assert "@@" not in aws.text()
    assert all(placeholder in local.text() for placeholder in PLACEHOLDERS)


def test_outputs_are_published_once_under_stable_names(aws: Assembly, local: Assembly) -> None:
    by_configuration = {Output.DOMAIN_TARGET, Output.MODELS_MIRROR}
    expected = set(Output) - by_configuration | {function_output(name.value) for name in FunctionName}
    for assembly in (aws, local):
        assert {key for key in assembly.outputs() if not key.startswith("RestApiEndpoint")} == expected
