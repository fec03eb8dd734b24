"""The native API's wire models: snake case, units in names, every field described for whoever drives it by hand."""

import base64
import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from gpu_container.contract import MAX_LOUDNESS_LUFS, MIN_LOUDNESS_LUFS, Dereverb, OutputFormat, ReportLevel
from lambdas.core.batches import MAX_ITEMS
from lambdas.core.clock import to_text
from lambdas.core.operations import FURTHER_MEDIA_TYPES, MEDIA_TYPES
from lambdas.core.services.uploads import MAX_LINKS
from lambdas.core.sources import BUCKET_URI_PATTERN, SOURCE_ROLE_PATTERN, SOURCE_ROLE_PREFIX
from lambdas.core.uploads import MAX_PUT_BYTES, MAX_UPLOAD_BYTES
from lambdas.dialects.native import examples
from lambdas.dialects.native.conditions import (
    EXACTLY_ONE,
    LARGE_ONES_COME_IN_PARTS,
    NEEDED,
    OF_A_FILE,
    RETENTION_IS_A_NEW_RECORDINGS,
    SOURCES,
    UPLOADED_OR_FETCHED,
)

MAX_RETAIN_HOURS = 24 * 365
_MEDIA_TYPES = sorted(MEDIA_TYPES | FURTHER_MEDIA_TYPES)

Moment = Annotated[
    datetime, PlainSerializer(to_text, return_type=str), WithJsonSchema({"type": "string", "format": "date-time"})
]


def _written(value: Any) -> Any:
    """Pydantic would take a number for seconds since 1970."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d", value):
        msg = "not a date as ISO 8601 writes it"
        raise ValueError(msg)
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        msg = "out of range"
        raise ValueError(msg) from None


Day = Annotated[date, BeforeValidator(_written)]
Instant = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_in_utc)]
Model = Literal["dfn3", "dfn3-ll", "dfn3-hq"]
EnhancementStatus = Literal["waiting_for_upload", "queued", "running", "succeeded", "failed", "cancelled"]
AssetStatusName = Literal["waiting_for_upload", "ready", "invalid"]


def _unicode(value: str) -> str:
    # Lone surrogates pass JSON but can be written nowhere.
    value.encode()
    return value


def _filename(value: str) -> str:
    if value in {".", ".."}:
        msg = "dots alone name folders"
        raise ValueError(msg)
    return _unicode(value)


def _media_type(value: str) -> str:
    if value not in _MEDIA_TYPES:
        msg = f"not one of {', '.join(_MEDIA_TYPES)}"
        raise ValueError(msg)
    return value


def _digest(value: str, length: int) -> str:
    try:
        if len(base64.b64decode(value, validate=True)) == length:
            return value
    except ValueError:  # also what is not ASCII
        pass
    msg = f"not the base64 of {length} bytes"
    raise ValueError(msg)


Filename = Annotated[
    str,
    Field(
        pattern=r"^[^/\\\x00-\x1f\x7f]{1,255}$",
        description="Name of the recording; the result is named after it.",
        examples=["talk.wav"],
        json_schema_extra={"not": {"enum": [".", ".."]}},
    ),
    AfterValidator(_filename),
]
Reference = Annotated[
    str,
    Field(max_length=256, description="Your own word for it, given back with every answer.", examples=["episode-42"]),
    AfterValidator(_unicode),
]
RetainHours = Annotated[
    int,
    Field(
        ge=1,
        le=MAX_RETAIN_HOURS,
        description="Delete the recording and all that was made of it after so many hours. "
        "Without it the deployment's own retention holds, which also is the longest.",
    ),
]


class _Asked(BaseModel):
    """What a client sends: a field that is not known is a mistake, and strings are no numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Md5 = Annotated[
    str,
    Field(json_schema_extra={"pattern": "^[A-Za-z0-9+/]{22}==$"}),
    AfterValidator(lambda value: _digest(value, 16)),
]
PartNumber = Annotated[str, Field(pattern="^[1-9][0-9]{0,4}$")]


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


SizeBytes = Annotated[int, Field(ge=1, le=MAX_UPLOAD_BYTES, description="Exact length of the file in bytes.")]
MediaType = Annotated[
    str,
    Field(
        description="Media type of the file.",
        examples=["audio/wav"],
        json_schema_extra={"enum": list(_MEDIA_TYPES)},
    ),
    AfterValidator(_media_type),
]


class _Checked(_Asked):
    """What may be said of an upload beside its name, length and kind."""

    checksum_md5: Annotated[
        str | None,
        Field(
            description="Base64 of the file's MD5. When given, storage refuses other bytes.",
            json_schema_extra={"pattern": "^[A-Za-z0-9+/]{22}==$"},
        ),
        AfterValidator(lambda value: None if value is None else _digest(value, 16)),
    ] = None
    checksum_sha256: Annotated[
        str | None,
        Field(
            description="Base64 of the file's SHA-256. When given, other bytes are refused.",
            json_schema_extra={"pattern": "^[A-Za-z0-9+/]{43}=$"},
        ),
        AfterValidator(lambda value: None if value is None else _digest(value, 32)),
    ] = None
    in_parts: Annotated[
        bool,
        Field(description="Upload in parts that can be sent again one by one; needed beyond 5 GiB, good from 100 MB."),
    ] = False


def _check_parts(size_bytes: int, *, in_parts: bool) -> None:
    if size_bytes > MAX_PUT_BYTES and not in_parts:
        msg = f"a file of more than {MAX_PUT_BYTES} bytes has to come in parts: set in_parts"
        raise ValueError(msg)


class NativeUploadRequest(_Checked):
    """A recording that is going to be uploaded."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.UPLOAD_REQUEST], **LARGE_ONES_COME_IN_PARTS})

    filename: Filename
    size_bytes: SizeBytes
    content_type: MediaType

    @model_validator(mode="after")
    def _large_ones_come_in_parts(self) -> "NativeUploadRequest":
        _check_parts(self.size_bytes, in_parts=self.in_parts)
        return self


Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        description="Public https address.",
        examples=["https://example.com/talk.wav"],
        json_schema_extra={"pattern": "^https://"},  # what else is right is for the core to say
    ),
    AfterValidator(_unicode),
]


class NativeUrlSource(_Asked):
    """A recording at a public https URL."""

    href: Annotated[Url, Field(description="Public https address of the recording; it has to work without signing in.")]
    filename: Filename | None = None


class NativeS3Source(_Asked):
    """A recording in a bucket of yours, and the role that you lend for reading it.

    Its trust policy names the role that the service fetches with, and asks for your client id as the external id.
    """

    uri: Annotated[
        str,
        Field(pattern=BUCKET_URI_PATTERN, description="Address of the object.", examples=["s3://recordings/talk.wav"]),
        AfterValidator(_unicode),
    ]
    role_arn: Annotated[
        str,
        Field(
            pattern=SOURCE_ROLE_PATTERN,
            description=f"Role to take on for it; its name begins with `{SOURCE_ROLE_PREFIX}`.",
            examples=["arn:aws:iam::123456789012:role/cleartake-source-recordings"],
        ),
    ]
    version_id: Annotated[
        str | None,
        Field(
            pattern="^[A-Za-z0-9._-]{1,1024}$",
            description="Version of the object; without it the one that is current when it is fetched.",
        ),
    ] = None
    filename: Filename | None = None


class NativeAssetRequest(_Checked):
    """Body of ``POST /v1/assets``: what you upload next (name, length and kind), or where we fetch it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [examples.ASSET_REQUEST, examples.ASSET_REQUEST_OF_URL, examples.ASSET_REQUEST_OF_S3],
            "allOf": [LARGE_ONES_COME_IN_PARTS, UPLOADED_OR_FETCHED],
        }
    )

    filename: Filename | None = None
    size_bytes: SizeBytes | None = None
    content_type: MediaType | None = None
    url: Annotated[NativeUrlSource | None, Field(description="A recording that we fetch.")] = None
    s3: Annotated[NativeS3Source | None, Field(description="A recording that we fetch from your bucket.")] = None
    retain_hours: RetainHours | None = None

    @model_validator(mode="after")
    def _uploaded_or_fetched(self) -> "NativeAssetRequest":
        given = {name for name in OF_A_FILE if getattr(self, name) is not None}
        if self.url is None and self.s3 is None:
            if missing := [name for name in NEEDED if name not in given]:
                msg = f"{', '.join(missing)}: needed, unless url or s3 is given"
                raise ValueError(msg)
            _check_parts(self.size_bytes or 0, in_parts=self.in_parts)
        elif given or self.in_parts or None not in {self.url, self.s3}:
            msg = "one of url and s3 goes alone: what is fetched needs no description"
            raise ValueError(msg)
        return self

    @property
    def upload(self) -> NativeUploadRequest:
        """What is uploaded next; only where neither ``url`` nor ``s3`` is given."""
        return NativeUploadRequest.model_validate(self.model_dump(include={*OF_A_FILE, "in_parts"}))


class NativeSource(_Asked):
    """Where the recording is: exactly one of the fields."""

    model_config = ConfigDict(json_schema_extra=EXACTLY_ONE)

    asset_id: Annotated[str | None, Field(description="An asset that has been uploaded.")] = None
    upload: Annotated[
        NativeUploadRequest | None,
        Field(description="A recording that you upload next; the enhancement starts by itself when it is there."),
    ] = None
    url: Annotated[
        NativeUrlSource | None, Field(description="A recording that we fetch; the enhancement starts by itself then.")
    ] = None
    s3: Annotated[NativeS3Source | None, Field(description="A recording that we fetch from your bucket, likewise.")] = (
        None
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> "NativeSource":
        if sum(getattr(self, name) is not None for name in SOURCES) != 1:
            msg = f"exactly one of {', '.join(SOURCES)} has to be given"
            raise ValueError(msg)
        return self


class NativeOptions(_Asked):
    """What else shall be done; a field that is left out is as the deployment is configured."""

    dereverb: Annotated[
        Dereverb | None, Field(strict=False, description="Whether room echo is taken away: off, auto or on.")
    ] = None
    output_format: Annotated[
        OutputFormat | None,
        Field(strict=False, description="Container of the result; without it the recording's own."),
    ] = None
    loudness_lufs: Annotated[
        float | None,
        Field(
            ge=MIN_LOUDNESS_LUFS,
            le=MAX_LOUDNESS_LUFS,
            description="Integrated loudness of the result (ITU-R BS.1770), such as -16 for podcasts.",
            examples=[-16.0],
        ),
    ] = None
    true_peak_dbtp: Annotated[
        float | None, Field(ge=-9, le=0, description="True-peak ceiling beside a loudness target; -1 without it.")
    ] = None
    report: Annotated[
        ReportLevel | None,
        Field(strict=False, description="How much is measured: none, basic, or full with pictures."),
    ] = None


Strength = Annotated[
    float,
    Field(
        ge=0,
        le=100,
        multiple_of=0.1,
        description="How much of the noise is taken away, in percent, in steps of 0.1.",
        examples=[90],
    ),
]


Secret = Annotated[
    str,
    Field(
        pattern=r"^whsec_(?:(?:[A-Za-z0-9+/]{4}){8,20}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
        r"|(?:[A-Za-z0-9+/]{4}){21}(?:[A-Za-z0-9+/]{2}==)?)$",
        description="Your own signing secret: 24 to 64 bytes in base64 behind `whsec_`; without it you get one.",
    ),
]
EventName = Literal["*", "enhancement.succeeded", "enhancement.failed", "enhancement.cancelled"]
Description = Annotated[str, Field(max_length=200), AfterValidator(_unicode)]


class NativeJobWebhook(_Asked):
    """Where one enhancement's end is told."""

    url: Url
    secret: Secret | None = None


class NativeWebhookRequest(_Asked):
    """Body of ``POST /v1/webhooks``."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.WEBHOOK_REQUEST]})

    url: Url
    events: Annotated[tuple[EventName, ...], Field(min_length=1, strict=False, description="What to be told of.")] = (
        "*",
    )
    description: Description = ""
    secret: Secret | None = None


class NativeWebhookChanges(_Asked):
    """Body of ``PATCH /v1/webhooks/{webhook_id}``: what is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.WEBHOOK_CHANGES]})

    url: Url | None = None
    events: Annotated[tuple[EventName, ...] | None, Field(min_length=1, strict=False)] = None
    description: Description | None = None
    enabled: bool | None = None


class NativeSecretRequest(_Asked):
    """Body of ``POST /v1/webhooks/{webhook_id}/secret``."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [examples.SECRET_REQUEST, examples.SECRET_REQUEST_OF_ONES_OWN]}
    )

    secret: Secret | None = None
    keep_previous: Annotated[bool, Field(description="Whether the secret before goes on signing meanwhile.")] = True


class NativeEnhancementRequest(_Asked):
    """Body of ``POST /v1/enhancements``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                examples.ENHANCEMENT_REQUEST,
                examples.ENHANCEMENT_REQUEST_OF_ASSET,
                examples.ENHANCEMENT_REQUEST_OF_URL,
                examples.ENHANCEMENT_REQUEST_OF_S3,
            ],
            **RETENTION_IS_A_NEW_RECORDINGS,
        }
    )

    source: NativeSource
    strength: Strength
    model: Annotated[Model, Field(description="dfn3 is the default, dfn3-hq the best, dfn3-ll the quickest.")] = "dfn3"
    options: NativeOptions = NativeOptions()
    webhook: Annotated[
        NativeJobWebhook | None, Field(description="Where to tell of this enhancement's end, beside your webhooks.")
    ] = None
    reference: Reference | None = None
    retain_hours: RetainHours | None = None

    @model_validator(mode="after")
    def _retention_is_the_uploads(self) -> "NativeEnhancementRequest":
        if self.retain_hours is not None and self.source.asset_id is not None:
            msg = "retain_hours is for a new recording; an asset has its own"
            raise ValueError(msg)
        return self


class NativeBatchRequest(_Asked):
    """Body of ``POST /v1/batches``."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.BATCH_REQUEST]})

    items: Annotated[tuple[NativeEnhancementRequest, ...], Field(min_length=1, max_length=MAX_ITEMS, strict=False)]
    reference: Reference | None = None


class NativePartsRequest(_Asked):
    """Body of ``POST /v1/assets/{asset_id}/parts``."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PARTS_REQUEST]})

    numbers: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...],
        Field(min_length=1, max_length=MAX_LINKS, strict=False, description="Numbers of the parts, from 1."),
    ]
    md5: Annotated[
        dict[PartNumber, Md5],
        Field(description="Part number: base64 of its MD5. When given, storage refuses other bytes."),
    ] = {}


class NativeUpload(_Told):
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


class NativeParts(_Told):
    """Links to parts."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PARTS]})

    parts: tuple[NativePart, ...]


class NativeProgress(_Told):
    """What has arrived of a recording that comes in parts."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PROGRESS]})

    asset_id: str
    part_size_bytes: int
    parts: int
    arrived_bytes: int
    missing: tuple[int, ...]


class NativeAudio(_Told):
    """What the decoder saw."""

    container: str
    codec: str
    rate_hz: int
    channels: int
    duration_s: float


class NativeProblem(_Told):
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


class NativeFault(_Told):
    """Why something came to nothing."""

    code: Annotated[str, Field(description="Stable name of what went wrong, for programs.")]
    message: Annotated[str, Field(description="What went wrong, for people.")]
    retryable: Annotated[bool, Field(description="Whether the same request may succeed later.")] = False


class NativeAsset(_Told):
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


class NativeLinks(_Told):
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


class NativeEnhancement(_Told):
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
        str | None, Field(description="Of this enhancement's own webhook; shown only in the answer that made it.")
    ] = None


class NativeFileLink(_Told):
    """A link that needs no credentials, for a few minutes."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.FILE_LINK]})

    url: Annotated[str, Field(description="Whoever has it can fetch the file while it lives.")]
    expires_at: Annotated[Moment, Field(description="When the link ends; ask for another one then.")]


class NativeBatchItem(_Told):
    """One item, in the order of the request: an enhancement, or why there is none."""

    index: int
    enhancement: NativeEnhancement | None
    error: NativeFault | None


class NativeBatch(_Told):
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


class NativeAssetPage(_Told):
    """Some assets, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.ASSET_PAGE]})

    items: tuple[NativeAsset, ...]
    next_cursor: str | None
    next_link: NextLink = None


class NativeEnhancementPage(_Told):
    """Some enhancements, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.ENHANCEMENT_PAGE]})

    items: Annotated[tuple[NativeEnhancement, ...], Field(description="The enhancements of this page.")]
    next_cursor: Annotated[str | None, Field(description="What to ask with for the next page; null on the last one.")]
    next_link: NextLink = None


class NativeUsageDay(_Told):
    """One day, UTC."""

    day: date
    succeeded: int
    failed: int
    cancelled: int
    audio_minutes: float


class NativeUsage(_Told):
    """What was done, by day; days on which nothing ended are left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.USAGE]})

    days: tuple[NativeUsageDay, ...]
    audio_minutes: float


class NativeWebhook(_Told):
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
    secret: Annotated[str | None, Field(description="Shown only in the answer that made it.")] = None


class NativeWebhookList(_Told):
    """Your webhooks, oldest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.WEBHOOK_LIST]})

    items: tuple[NativeWebhook, ...]


class NativeAttempt(_Told):
    """One call of the receiver."""

    at: Moment
    status_code: int | None
    error: str | None


class NativeDelivery(_Told):
    """One event on its way to one webhook."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DELIVERY]})

    id: Annotated[str, Field(description="The message's id: `webhook-id` in what the receiver gets.")]
    event: str
    status: Literal["pending", "delivered", "failed", "discarded"]
    created_at: Moment
    next_attempt_at: Moment | None
    attempts: tuple[NativeAttempt, ...]


class NativeDeliveryPage(_Told):
    """Deliveries, the newest events first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DELIVERY_PAGE]})

    items: tuple[NativeDelivery, ...]
    next_cursor: str | None
    next_link: NextLink = None
