"""Structured logs for every entry point: one Powertools logger, which our packages' own loggers hand on to."""

import logging

from aws_lambda_powertools import Logger

logger = Logger()
"""Level and service name come from Powertools' own variables. Events are never logged: they hold secrets."""

_ours = logging.getLogger("lambdas")
_ours.handlers = list(logger.handlers)
_ours.setLevel(logger.log_level)
_ours.propagate = False
