"""Structured logs: one JSON object a line, each naming the job it is about. No audio, tokens or signed URLs."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

_JOB: ContextVar[dict[str, str | int] | None] = ContextVar("job", default=None)
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """Formats a record, its ``extra`` fields and the current job as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **(_JOB.get() or {}),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up(level: str) -> None:
    """Send every log line to standard output as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Their debug lines hold request bodies and signatures: warnings only, whatever the level asked for.
    for talkative in ("boto3", "botocore", "s3transfer", "urllib3"):
        logging.getLogger(talkative).setLevel(max(logging.WARNING, logging.getLogger().level))


@contextmanager
def about(*, job_id: str, attempt: int) -> Iterator[None]:
    """Name this job in every line logged inside the block, in this thread and in contexts copied from it."""
    reset = _JOB.set({"job_id": job_id, "attempt": attempt})
    try:
        yield
    finally:
        _JOB.reset(reset)
