"""Every stage with and without a GPU; a difference of the variants that nobody listed is a failure."""

from infra.variants import OTHERWISE, Resources
from scripts.synth_all import configurations, difference


def test_every_stage_is_made_with_and_without_a_gpu() -> None:
    made = {(config.stage, config.gpu_backend) for config in configurations({"image": "local"})}
    assert made == {(stage, backend) for stage in ("dev", "stage", "prod") for backend in ("sagemaker", "none")}


def test_a_property_that_nobody_listed_is_shown_and_fails() -> None:
    here: Resources = {"data/Table": {"Type": "AWS::DynamoDB::Table", "Properties": {"BillingMode": "PROVISIONED"}}}
    there: Resources = {"data/Table": {"Type": "AWS::DynamoDB::Table", "Properties": {"BillingMode": "ON_DEMAND"}}}
    lines, is_listed = difference(here, there)
    assert not is_listed
    (line,) = (line for line in lines if "BillingMode" in line)
    assert line.endswith("NOT LISTED")


def test_every_listed_difference_says_why() -> None:
    assert all(OTHERWISE.values())
