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
    required
        Fields that the API can do without, but not without all that is hidden.
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
    required: tuple[str, ...] = ()
    defaults: Mapping[str, object] = field(default_factory=dict)
    is_trigger: bool = False
    next_link: str | None = None


NEXT_LINK = "nextLink"
NOTIFICATION_URL = "url"

_NO_AUDIO = ("source.asset_id", "source.upload", "webhook")
"""Recordings come by URL: a message of the platform holds 100 MB, and a call two minutes."""

_FROM_URL = ("source.url",)

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
        "Takes noise and echo from the recording at a URL; the flow goes on when that has ended. See its status.",
        visibility="important",
        hidden=_NO_AUDIO,
        required=_FROM_URL,
    ),
    Shown(
        "CreateEnhancement",
        "createEnhancement",
        "Start to enhance a recording",
        "Takes noise and echo from the recording at a URL; the flow goes on at once.",
        hidden=_NO_AUDIO,
        required=_FROM_URL,
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
"""Fields of answers that no recording by URL and no trigger has."""

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
        "self": "Enhancement",
        "size_bytes": "Size (bytes)",
        "strength": "Strength (percent)",
        "true_peak_dbtp": "True peak (dBTP)",
        "url": "URL",
        "webhook_id": "Webhook ID",
    }
)
"""Where the field's own name, in words, would not do."""
