"""Run by test_endpoint.py in the SageMaker SDK's own environment: its real objects over botocore's stubs."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.stub import Stubber

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from scripts.endpoint import Place, description, set_capacity

REGION = "eu-west-1"
DESCRIBED = {
    "EndpointName": "gpu",
    "EndpointArn": f"arn:aws:sagemaker:{REGION}:123456789012:endpoint/gpu",
    "EndpointConfigName": "gpu-1",
    "EndpointStatus": "InService",
    "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
    "LastModifiedTime": datetime(2026, 1, 1, tzinfo=UTC),
    "ProductionVariants": [
        {"VariantName": "AllTraffic", "CurrentInstanceCount": 0, "DesiredInstanceCount": 0, "DeployedImages": []}
    ],
}


class Session(boto3.Session):
    """Keeps one stubbed client for each service, so that the SDK gets the one that the check has prepared."""

    def __init__(self) -> None:
        super().__init__(aws_access_key_id="x", aws_secret_access_key="x", region_name=REGION)
        self.clients: dict[str, Any] = {}

    def client(self, service_name: str, *arguments: Any, **options: Any) -> Any:  # type: ignore[override]
        if service_name not in self.clients:
            self.clients[service_name] = super().client(service_name, *arguments, **options)
        return self.clients[service_name]


def main() -> None:
    session = Session()
    control, runtime = Stubber(session.client("sagemaker")), Stubber(session.client("sagemaker-runtime"))
    control.add_response("describe_endpoint", DESCRIBED, {"EndpointName": "gpu"})
    capacity = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 1}]
    control.add_response(
        "update_endpoint_weights_and_capacities",
        {"EndpointArn": DESCRIBED["EndpointArn"]},
        {"EndpointName": "gpu", "DesiredWeightsAndCapacities": capacity},
    )
    asked = {
        "EndpointName": "gpu",
        "InputLocation": "s3://work/orders/1",
        "ContentType": "application/json",
        "InferenceId": "1",
    }
    told = {"OutputLocation": "s3://work/async/out/1", "FailureLocation": "s3://work/async/failed/1"}
    runtime.add_response("invoke_endpoint_async", told, asked)
    with control, runtime:
        endpoint = Place("gpu", "work", session).endpoint()
        assert "instances  0 of 0 wanted (AllTraffic)" in description(endpoint)
        set_capacity(endpoint, 1)
        accepted = endpoint.invoke_async(
            input_location="s3://work/orders/1",
            content_type="application/json",
            inference_id="1",
            session=session,
            region=REGION,
        )
        control.assert_no_pending_responses()
        runtime.assert_no_pending_responses()
    instances = endpoint.production_variants[0].current_instance_count
    sys.stdout.write(json.dumps({"instances": instances, "output": accepted.output_location}) + "\n")


if __name__ == "__main__":
    main()
