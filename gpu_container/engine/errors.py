"""The engine's one exception."""

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
