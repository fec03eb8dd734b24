"""Names of the values the stacks publish: for the launcher, the smoke test and the person at the console."""

from enum import StrEnum


class Output(StrEnum):
    """Keys of the stacks' outputs; each is published by exactly one stack."""

    TABLE_NAME = "TableName"
    AUDIO_BUCKET = "AudioBucketName"
    WORK_BUCKET = "WorkBucketName"
    SIGNING_KEY_ID = "SigningKeyId"
    WEBHOOK_KEY_ID = "WebhookKeyId"
    ADMIT_QUEUE_URL = "AdmitQueueUrl"
    STOP_QUEUE_URL = "StopQueueUrl"
    OUTCOME_QUEUE_URL = "OutcomeQueueUrl"
    ERASE_QUEUE_URL = "EraseQueueUrl"
    FETCH_QUEUE_URL = "FetchQueueUrl"
    FETCH_ROLE_ARN = "FetchRoleArn"
    DELIVERY_QUEUE_URL = "DeliveryQueueUrl"
    SUCCESS_TOPIC_ARN = "SuccessTopicArn"
    ERROR_TOPIC_ARN = "ErrorTopicArn"
    ENDPOINT_NAME = "EndpointName"
    INTAKE_MACHINE_ARN = "AssetIntakeMachineArn"
    ENHANCEMENT_MACHINE_ARN = "EnhancementMachineArn"
    FAN_OUT_MACHINE_ARN = "FanOutMachineArn"
    MODELS_MIRROR = "ModelsMirror"
    BASE_URL = "BaseUrl"
    REST_API_ID = "RestApiId"
    STAGE_NAME = "StageName"
    DOMAIN_TARGET = "DomainTarget"
    PRESIGN_ROLE_ARN = "PresignRoleArn"
    ALARM_TOPIC_ARN = "AlarmTopicArn"


def function_output(function: str) -> str:
    """Return the key under which the physical name of ``function`` is published."""
    return f"Function{function}"
