"""What the native API answers."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from lambdas.dialects.native import examples
from lambdas.dialects.native.fields import AssetStatusName, EnhancementStatus, Moment, Told
from lambdas.dialects.native.requests import NativeOptions


class NativeUpload(Told):
    """Where and how to put the bytes: this method, this URL, exactly these headers."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.UPLOAD]})

    method: Literal["PUT"]
    url: str
    headers: dict[str, str]
    expires_at: Moment


class NativePart(NativeUpload):
    """Where and how to put one part."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PART]})

    number: int
    size_bytes: int


class NativeParts(Told):
    """Links to parts."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PARTS]})

    parts: tuple[NativePart, ...]


class NativeProgress(Told):
    """What has arrived of a recording that comes in parts."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PROGRESS]})

    asset_id: str
    part_size_bytes: int
    parts: int
    arrived_bytes: int
    missing: tuple[int, ...]


class NativeAudio(Told):
    """What the decoder saw."""

    container: str
    codec: str
    rate_hz: int
    channels: int
    duration_s: float


class NativeProblem(Told):
    """Body of every refusal (RFC 9457)."""

    type: Annotated[str, Field(description="The kind of problem, as a name: there is no page behind it.")]
    title: str
    status: int
    detail: str
    code: Annotated[str, Field(description="Stable name of the problem, for programs.")]
    retryable: Annotated[bool, Field(description="Whether the same request may succeed later.")]
    request_id: str | None = None
    errors: Annotated[
        tuple[dict[str, Any], ...], Field(description="For an invalid request: each field and what is wrong with it.")
    ] = ()


class NativeFault(Told):
    """Why something came to nothing."""

    code: Annotated[str, Field(description="Stable name of what went wrong, for programs.")]
    message: Annotated[str, Field(description="What went wrong, for people.")]
    retryable: Annotated[bool, Field(description="Whether the same request may succeed later.")] = False


class NativeAsset(Told):
    """A recording."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.ASSET, examples.READY_ASSET]})

    id: str
    status: AssetStatusName
    filename: str
    size_bytes: int
    content_type: str
    checksum_md5: str | None
    checksum_sha256: str | None
    created_at: Moment
    updated_at: Moment
    retain_until: Moment | None
    audio: NativeAudio | None
    error: NativeFault | None
    upload: Annotated[
        NativeUpload | None, Field(description="While it waits for its bytes in one PUT: where to put them.")
    ]
    parts: Annotated[int | None, Field(description="Where it comes in parts: how many.")]


class NativeLinks(Told):
    """Where to fetch what was made; each answers with a redirect to a short-lived link."""

    self: Annotated[str, Field(description="The enhancement itself.")]
    download: Annotated[str | None, Field(description="The result; null until it has succeeded.")]
    report: Annotated[
        str | None, Field(description="What was measured before and after, as JSON; null where nothing was.")
    ]
    spectrogram: Annotated[
        str | None, Field(description="The spectrogram before and after, as PNG; null where there is none.")
    ]
    waveform: Annotated[
        str | None, Field(description="The waveform before and after, as PNG; null where there is none.")
    ]
    peaks: Annotated[str | None, Field(description="The waveform's peaks, as JSON; null where there are none.")]


class NativeEnhancement(Told):
    """An enhancement."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.ENHANCEMENT]})

    id: Annotated[str, Field(description="Identifier of the enhancement.")]
    status: Annotated[EnhancementStatus, Field(description="How far it is; succeeded, failed and cancelled are final.")]
    asset_id: Annotated[str, Field(description="Identifier of its recording.")]
    strength: Annotated[float, Field(description="How much of the noise is taken away, in percent.")]
    model: Annotated[str, Field(description="Which model does it.")]
    options: Annotated[NativeOptions, Field(description="What else was asked for.")]
    reference: Annotated[str | None, Field(description="Your own word for it.")]
    batch_id: Annotated[str | None, Field(description="Identifier of its batch; null without one.")]
    created_at: Annotated[Moment, Field(description="When it was asked for.")]
    updated_at: Annotated[Moment, Field(description="When it last changed.")]
    finished_at: Annotated[Moment | None, Field(description="When it ended; null until then.")]
    progress_percent: Annotated[float, Field(description="How much of it is done.")]
    queue_position: Annotated[int | None, Field(description="1 is your next; null unless it is queued.")]
    eta_s: Annotated[int | None, Field(description="Seconds until it is done; null unless it runs.")]
    audio_s: Annotated[float | None, Field(description="Length of the recording in seconds; null until it is known.")]
    size_bytes: Annotated[int | None, Field(description="Size of the result; null until there is one.")]
    error: Annotated[NativeFault | None, Field(description="Why it came to nothing; null unless it failed.")]
    links: Annotated[NativeLinks, Field(description="Where to fetch what was made.")]
    upload: NativeUpload | None = None
    webhook_secret: Annotated[
        str | None, Field(description="Of this enhancement's own webhook; shown only to the request that made it.")
    ] = None


class NativeFileLink(Told):
    """A link that needs no credentials, for a few minutes."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.FILE_LINK]})

    url: Annotated[str, Field(description="Whoever has it can fetch the file while it lives.")]
    expires_at: Annotated[Moment, Field(description="When the link ends; ask for another one then.")]


class NativeBatchItem(Told):
    """One item, in the order of the request: an enhancement, or why there is none."""

    index: int
    enhancement: NativeEnhancement | None
    error: NativeFault | None


class NativeBatch(Told):
    """A batch; it is finished when nothing of it waits or runs."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.BATCH]})

    id: str
    created_at: Moment
    reference: str | None
    finished: bool
    counts: dict[str, int]
    items: tuple[NativeBatchItem, ...]


NextLink = Annotated[
    str | None,
    Field(
        serialization_alias="nextLink",
        description="Where the next page is; null on the last one. Called as paging readers look for it.",
    ),
]


class NativeAssetPage(Told):
    """Some assets, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.ASSET_PAGE]})

    items: tuple[NativeAsset, ...]
    next_cursor: str | None
    next_link: NextLink = None


class NativeEnhancementPage(Told):
    """Some enhancements, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.ENHANCEMENT_PAGE]})

    items: Annotated[tuple[NativeEnhancement, ...], Field(description="The enhancements of this page.")]
    next_cursor: Annotated[str | None, Field(description="What to ask with for the next page; null on the last one.")]
    next_link: NextLink = None


class NativeUsageDay(Told):
    """One day, UTC."""

    day: date
    succeeded: int
    failed: int
    cancelled: int
    audio_minutes: float


class NativeUsage(Told):
    """What was done, by day; days on which nothing ended are left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.USAGE]})

    days: tuple[NativeUsageDay, ...]
    audio_minutes: float


class NativeWebhook(Told):
    """An address that is told of what happens, signed after Standard Webhooks."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.WEBHOOK]})

    id: Annotated[str, Field(description="Identifier of the webhook.")]
    url: str
    events: tuple[str, ...]
    description: str
    enabled: bool
    disabled_reason: Annotated[
        str | None, Field(description="by_client, gone (the receiver said 410) or failing (nothing got through).")
    ]
    created_at: Moment
    updated_at: Moment
    secret: Annotated[str | None, Field(description="Shown only to the request that made it.")] = None


class NativeWebhookList(Told):
    """Your webhooks, oldest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.WEBHOOK_LIST]})

    items: tuple[NativeWebhook, ...]


class NativeAttempt(Told):
    """One call of the receiver."""

    at: Moment
    status_code: int | None
    error: str | None


class NativeDelivery(Told):
    """One event on its way to one webhook."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DELIVERY]})

    id: Annotated[str, Field(description="The message's id: `webhook-id` in what the receiver gets.")]
    event: str
    status: Literal["pending", "delivered", "failed", "discarded"]
    created_at: Moment
    next_attempt_at: Moment | None
    attempts: tuple[NativeAttempt, ...]


class NativeDeliveryPage(Told):
    """Deliveries, the newest events first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DELIVERY_PAGE]})

    items: tuple[NativeDelivery, ...]
    next_cursor: str | None
    next_link: NextLink = None
