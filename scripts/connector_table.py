"""What of the API a maker of flows sees in Power Automate, and what it is called there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Visibility = Literal["important", "advanced", "internal"]


@dataclass(frozen=True)
class Shown:
    """One operation of the connector.

    Attributes
    ----------
    id
        Its name in saved flows: never change one.
    operation_id
        The operation of the API's document that it is.
    visibility
        None where it stands among the others.
    hidden
        Parameters and fields of the body that are left out, dotted.
    alternatives
        Fields of the body, dotted, of which one is given. Their own fields are always shown and never required: the
        platform would ask for those of all, and the API names what is missing.
    defaults
        What the platform fills in.
    is_trigger
        Whether a flow starts with it: its body's `NOTIFICATION_URL` is the platform's.
    next_link
        The answer's field with the address of the next page.
    """

    id: str
    operation_id: str
    summary: str
    description: str
    visibility: Visibility | None = None
    hidden: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    defaults: Mapping[str, object] = field(default_factory=dict)
    is_trigger: bool = False
    next_link: str | None = None


NEXT_LINK = "nextLink"
NOTIFICATION_URL = "url"

_NO_AUDIO = ("source.asset_id", "source.upload", "webhook")
"""Recordings come by URL or from S3: a message of the platform holds 100 MB, and a call two minutes."""

_FETCHED = ("source.url", "source.s3")

OPERATIONS: tuple[Shown, ...] = (
    Shown(
        "EnhancementFinished",
        "createWebhook",
        "When an enhancement is finished",
        "Starts a flow when an enhancement has succeeded, failed or been cancelled.",
        visibility="important",
        hidden=("idempotency-key", "description", "secret"),
        defaults={"events": ["enhancement.succeeded", "enhancement.failed", "enhancement.cancelled"]},
        is_trigger=True,
    ),
    Shown(
        "EnhanceAndWait",
        "runEnhancement",
        "Enhance a recording and wait",
        "Takes noise and echo from a recording at a URL or in S3; the flow goes on once it has ended. See its status.",
        visibility="important",
        hidden=_NO_AUDIO,
        alternatives=_FETCHED,
    ),
    Shown(
        "CreateEnhancement",
        "createEnhancement",
        "Start to enhance a recording",
        "Takes noise and echo from a recording at a URL or in S3; the flow goes on at once.",
        hidden=_NO_AUDIO,
        alternatives=_FETCHED,
    ),
    Shown(
        "GetEnhancement",
        "getEnhancement",
        "Get an enhancement",
        "Says how far an enhancement is, and what has come of it.",
        hidden=("wait",),
    ),
    Shown(
        "ListEnhancements",
        "listEnhancements",
        "List enhancements",
        "Lists enhancements, newest first.",
        hidden=("cursor",),
        next_link=NEXT_LINK,
    ),
    Shown(
        "GetDownloadLink",
        "getDownloadLink",
        "Get a link to the result",
        "Gives a link that needs no credentials and lives for a few minutes: fetch the enhanced recording from there.",
        visibility="important",
    ),
    Shown(
        "GetReportLink",
        "getReportLink",
        "Get a link to the report",
        "Gives a link that needs no credentials and lives for a few minutes: what was measured, as JSON, lies there.",
    ),
    Shown(
        "CancelEnhancement",
        "cancelEnhancement",
        "Cancel an enhancement",
        "Cancels an enhancement that waits or runs.",
    ),
    Shown(
        "GetRun",
        "getRun",
        "Wait for an enhancement",
        "What the platform asks while a flow waits.",
        visibility="internal",
    ),
    Shown(
        "DeleteWebhook",
        "deleteWebhook",
        "Stop telling a flow",
        "What the platform calls when a flow with the trigger is changed, turned off or deleted.",
        visibility="internal",
    ),
)

NEVER_SHOWN = ("upload", "webhook_secret", "secret", "items.upload", "items.webhook_secret")
"""Fields of answers that no fetched recording and no trigger has."""

KEPT_OF_ANSWERS: Mapping[str, frozenset[str]] = MappingProxyType({"NativeWebhook": frozenset({"id"})})
"""Where a flow needs little of an answer: these fields."""

SUMMARIES: Mapping[str, str] = MappingProxyType(
    {
        "asset_id": "Recording ID",
        "asset": "Recording",
        "audio_s": "Length (seconds)",
        "batch_id": "Batch ID",
        "body": "Request",
        "code": "Error code",
        "data": "Event",
        "enhancement_id": "Enhancement ID",
        "eta_s": "Remaining time (seconds)",
        "events": "Ends",
        "href": "Recording URL",
        "id": "ID",
        "idempotency-key": "Idempotency key",
        "limit": "Page size",
        "loudness_lufs": "Loudness (LUFS)",
        "message": "Error message",
        "nextLink": "Next page",
        "progress_percent": "Progress (percent)",
        "queue_position": "Place in the queue",
        "reference": "Your reference",
        "retain_hours": "Keep for (hours)",
        "role_arn": "S3 role (ARN)",
        "s3.filename": "S3 filename",
        "self": "Enhancement",
        "size_bytes": "Size (bytes)",
        "strength": "Strength (percent)",
        "true_peak_dbtp": "True peak (dBTP)",
        "uri": "S3 address",
        "url": "URL",
        "version_id": "S3 version",
        "webhook_id": "Webhook ID",
    }
)
"""Where the field's own name, in words, would not do; with its parent's name, it is that one's alone."""

DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "href": "Public https address of the recording; it has to work without signing in. Either this, or S3 address "
        "and role.",
        "uri": "Address of the object in a bucket of yours, with the role that you lend. Either these two, or a URL.",
    }
)
"""Where the designer shows less than the API's own words take for granted."""
