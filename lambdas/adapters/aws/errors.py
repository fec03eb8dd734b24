"""AWS's errors as the core's: the one place that knows their names."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.core.errors import DomainError, DomainErrorCode, TransientError

NOT_PERMITTED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "403",
        "UnauthorizedOperation",
        "AuthorizationError",
        "KMSAccessDeniedException",
    }
)


class MisconfiguredError(DomainError):
    """A permission or a resource is missing: an operator has to act, trying again cannot help."""

    def __init__(self, message: str) -> None:
        super().__init__(DomainErrorCode.INTERNAL, message)


def code_of(error: ClientError) -> str:
    """Return AWS's name of the error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def to_domain(error: Exception) -> DomainError:
    """Return the core's error for an AWS one."""
    if not isinstance(error, ClientError):
        return TransientError(f"AWS could not be reached: {type(error).__name__}")
    code, operation = code_of(error), error.operation_name
    if code in NOT_PERMITTED:
        return MisconfiguredError(f"{operation} is not permitted ({code})")
    if code in {"ValidationException", "ResourceNotFoundException", "StateMachineDoesNotExist", "NoSuchBucket"}:
        return MisconfiguredError(f"{operation} was refused ({code})")
    return TransientError(f"{operation} failed ({code})")


@contextmanager
def domain_errors() -> Iterator[None]:
    """Turn what boto3 raises inside into the core's errors."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise to_domain(error) from error
