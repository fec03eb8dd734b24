"""httpx writes every URL to its log: signed ones must not stand there, for whoever reads them could use them."""

import logging
import re

LOGGERS = ("httpx", "httpcore.http11", "httpcore.http2")
"""Those that write URLs, or headers with URLs in them. Filters do not reach loggers below, so each is named."""

_SECRET = re.compile(r"(X-Amz-(?:Signature|Security-Token|Credential)=)[^&\s\"']+", re.IGNORECASE)


class SignedUrlFilter(logging.Filter):
    """Takes the signature out of every line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without signatures."""
        line = record.getMessage()
        redacted = _SECRET.sub(r"\1…", line)
        if redacted != line:
            record.msg, record.args = redacted, ()
        return True


_FILTER = SignedUrlFilter()


def install() -> None:
    """Put the filter where it is needed; once more changes nothing."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
