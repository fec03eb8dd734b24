"""What clients ask of the native API."""

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from gpu_container.contract import MAX_LOUDNESS_LUFS, MIN_LOUDNESS_LUFS, Dereverb, OutputFormat, ReportLevel
from lambdas.core.batches import MAX_ITEMS
from lambdas.core.services.uploads import MAX_LINKS
from lambdas.core.sources import BUCKET_URI_PATTERN, SOURCE_ROLE_PATTERN, SOURCE_ROLE_PREFIX
from lambdas.core.uploads import MAX_PUT_BYTES
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
from lambdas.dialects.native.fields import (
    Asked,
    Description,
    EventName,
    Filename,
    Md5,
    MediaType,
    Model,
    PartNumber,
    Reference,
    RetainHours,
    Secret,
    SizeBytes,
    Strength,
    Url,
    digest_text,
    unicode_text,
)


class _Checked(Asked):
    """What may be said of an upload beside its name, length and kind."""

    checksum_md5: Annotated[
        str | None,
        Field(
            description="Base64 of the file's MD5. When given, storage refuses other bytes.",
            json_schema_extra={"pattern": "^[A-Za-z0-9+/]{22}==$"},
        ),
        AfterValidator(lambda value: None if value is None else digest_text(value, 16)),
    ] = None
    checksum_sha256: Annotated[
        str | None,
        Field(
            description="Base64 of the file's SHA-256. When given, other bytes are refused.",
            json_schema_extra={"pattern": "^[A-Za-z0-9+/]{43}=$"},
        ),
        AfterValidator(lambda value: None if value is None else digest_text(value, 32)),
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


class NativeUrlSource(Asked):
    """A recording at a public https URL."""

    href: Annotated[Url, Field(description="Public https address of the recording; it has to work without signing in.")]
    filename: Filename | None = None


class NativeS3Source(Asked):
    """A recording in a bucket of yours, and the role that you lend for reading it.

    Its trust policy names the role that the service fetches with, and asks for your client id as the external id.
    """

    uri: Annotated[
        str,
        Field(pattern=BUCKET_URI_PATTERN, description="Address of the object.", examples=["s3://recordings/talk.wav"]),
        AfterValidator(unicode_text),
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


class NativeSource(Asked):
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


class NativeOptions(Asked):
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


class NativeJobWebhook(Asked):
    """Where one enhancement's end is told."""

    url: Url
    secret: Secret | None = None


class NativeWebhookRequest(Asked):
    """Body of ``POST /v1/webhooks``."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.WEBHOOK_REQUEST]})

    url: Url
    events: Annotated[tuple[EventName, ...], Field(min_length=1, strict=False, description="What to be told of.")] = (
        "*",
    )
    description: Description = ""
    secret: Secret | None = None


class NativeWebhookChanges(Asked):
    """Body of ``PATCH /v1/webhooks/{webhook_id}``: what is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.WEBHOOK_CHANGES]})

    url: Url | None = None
    events: Annotated[tuple[EventName, ...] | None, Field(min_length=1, strict=False)] = None
    description: Description | None = None
    enabled: bool | None = None


class NativeSecretRequest(Asked):
    """Body of ``POST /v1/webhooks/{webhook_id}/secret``."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [examples.SECRET_REQUEST, examples.SECRET_REQUEST_OF_ONES_OWN]}
    )

    secret: Secret | None = None
    keep_previous: Annotated[bool, Field(description="Whether the secret before goes on signing meanwhile.")] = True


class NativeEnhancementRequest(Asked):
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


class NativeBatchRequest(Asked):
    """Body of ``POST /v1/batches``."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.BATCH_REQUEST]})

    items: Annotated[tuple[NativeEnhancementRequest, ...], Field(min_length=1, max_length=MAX_ITEMS, strict=False)]
    reference: Reference | None = None


class NativePartsRequest(Asked):
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
