"""The engine's one exception."""

from collections.abc import Callable

from gpu_container.contract import ErrorCode


class EngineError(Exception):
    """A file could not be enhanced.

    Parameters
    ----------
    code
        From the one list both sides know.
    message
        For people: what is wrong and what to do. Never holds audio or addresses.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class DeadlineError(EngineError):
    """The time that the caller gave is over; the file may be a good one."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.ENGINE_FAILED, "The time allowed for the file is over.")


def stop_if_cancelled(is_cancelled: Callable[[], bool] | None) -> None:
    """Raise CANCELLED where the caller's question is answered with yes."""
    if is_cancelled and is_cancelled():
        raise EngineError(ErrorCode.CANCELLED, "The enhancement was cancelled.")
