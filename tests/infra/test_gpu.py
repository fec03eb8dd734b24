"""The GPU lane: an asynchronous endpoint that costs nothing while nobody sends work."""

import json

import boto3

from gpu_container.serving.settings import ServingSettings
from infra.config import REPOSITORY
from tests.infra.templates import Assembly


def test_endpoint_answers_through_the_work_bucket_and_the_topics(aws: Assembly) -> None:
    inference = aws.one("AWS::SageMaker::EndpointConfig")["AsyncInferenceConfig"]
    assert inference["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 4}
    output = inference["OutputConfig"]
    assert "async/out" in json.dumps(output["S3OutputPath"])
    assert "async/failed" in json.dumps(output["S3FailurePath"])
    assert set(output["NotificationConfig"]) == {"SuccessTopic", "ErrorTopic"}


def test_endpoint_scales_to_zero_and_wakes_on_the_first_request(aws: Assembly) -> None:
    target = aws.one("AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 2)
    assert target["ResourceId"] == "endpoint/cleartake-dev-gpu/variant/AllTraffic"
    policies = {
        policy["Properties"]["PolicyType"]: policy["Properties"]
        for policy in aws.of_type("AWS::ApplicationAutoScaling::ScalingPolicy").values()
    }
    tracking = policies["TargetTrackingScaling"]["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["CustomizedMetricSpecification"]["MetricName"] == "ApproximateBacklogSizePerInstance"
    assert policies["StepScaling"]["StepScalingPolicyConfiguration"]["StepAdjustments"] == [
        {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}
    ]
    alarm = aws.one("AWS::CloudWatch::Alarm", "GpuScalingWaiting")
    assert alarm["MetricName"] == "HasBacklogWithoutCapacity"
    assert alarm["AlarmActions"]


def test_the_container_takes_as_many_orders_as_it_is_sent(aws: Assembly) -> None:
    container = aws.one("AWS::SageMaker::Model")["PrimaryContainer"]
    assert container["Environment"]["CLEARTAKE_MAX_CONCURRENT"] == "4"


def test_the_instances_driver_is_one_for_the_containers_cuda(aws: Assembly) -> None:
    """SageMaker's own choice for g4dn and g5 has driver 470, which knows nothing of CUDA 12."""
    (variant,) = aws.one("AWS::SageMaker::EndpointConfig")["ProductionVariants"]
    locked = (REPOSITORY / "requirements" / "container-gpu.txt").read_text()
    assert "nvidia-cuda-runtime-cu12==12." in locked
    assert variant["InstanceType"] == "ml.g4dn.xlarge"
    assert variant["InferenceAmiVersion"] == "al2-ami-sagemaker-inference-gpu-3-1", "driver 550: CUDA 12, all of it"
    known = boto3.client("sagemaker", region_name="us-east-1").meta.service_model
    assert variant["InferenceAmiVersion"] in known.shape_for("ProductionVariantInferenceAmiVersion").enum


def test_a_container_that_found_no_gpu_is_not_healthy(aws: Assembly) -> None:
    environment = aws.one("AWS::SageMaker::Model")["PrimaryContainer"]["Environment"]
    ours = {name: value for name, value in environment.items() if isinstance(value, str)}
    assert ServingSettings.from_env(ours).needs_gpu


def test_every_worker_knows_who_lends_it_keys(aws: Assembly) -> None:
    environments = [
        aws.one("AWS::SageMaker::Model")["PrimaryContainer"]["Environment"],
        *(aws.functions()[name]["Environment"]["Variables"] for name in ("Probe", "EnhanceCpu")),
    ]
    for environment in environments:
        assert "KeysAccessFunction" in environment["CLEARTAKE_ACCESS_FUNCTION"]["Ref"]


def test_dispatch_and_endpoint_agree_on_the_name(aws: Assembly) -> None:
    name = aws.one("AWS::SageMaker::Endpoint")["EndpointName"]
    assert aws.functions()["Dispatch"]["Environment"]["Variables"]["CLEARTAKE_ENDPOINT_NAME"] == name


def test_the_image_is_built_from_the_container_alone(aws: Assembly) -> None:
    """Anything else in its context would make a new image, and an upload of a gigabyte, of every change."""
    contexts = [folder for folder in aws.folder.glob("asset.*") if (folder / "gpu_container" / "Dockerfile").exists()]
    assert contexts
    for context in contexts:
        assert {path.name for path in context.iterdir()} <= {
            ".dockerignore",
            "gpu_container",
            "requirements",
            "scripts",
        }
        assert not list(context.rglob("__pycache__"))
