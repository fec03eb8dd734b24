"""What the service says, as frozen values. Fields of a newer service that are not known here are left out."""

from dataclasses import dataclass, field
from datetime import date, datetime

ENDED = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True)
class Fault:
    """Why something came to nothing."""

    code: str
    message: str
    retryable: bool = False


@dataclass(frozen=True)
class Upload:
    """Where and how to put bytes. The URL lets anybody put them: it is in no text of this value."""

    url: str = field(repr=False)
    headers: dict[str, str]
    expires_at: datetime


@dataclass(frozen=True)
class Part:
    """Where and how to put one part."""

    number: int
    size_bytes: int
    url: str = field(repr=False)
    headers: dict[str, str]


@dataclass(frozen=True)
class Parts:
    """Links to parts."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class UploadProgress:
    """What has arrived of a recording that comes in parts; ``missing`` are numbers, from 1."""

    asset_id: str
    part_size_bytes: int
    parts: int
    arrived_bytes: int
    missing: tuple[int, ...]


@dataclass(frozen=True)
class Audio:
    """What the decoder saw in a recording."""

    container: str
    codec: str
    rate_hz: int
    channels: int
    duration_s: float


@dataclass(frozen=True)
class Asset:
    """A recording: ``waiting_for_upload``, ``ready`` or ``invalid``."""

    id: str
    status: str
    filename: str
    size_bytes: int
    content_type: str
    created_at: datetime
    updated_at: datetime
    checksum_md5: str | None = None
    checksum_sha256: str | None = None
    retain_until: datetime | None = None
    audio: Audio | None = None
    error: Fault | None = None
    upload: Upload | None = None
    parts: int | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether its bytes have not all arrived, or not been looked at yet."""
        return self.status == "waiting_for_upload"


@dataclass(frozen=True)
class Options:
    """What else shall be done; None is as the deployment is configured.

    Attributes
    ----------
    dereverb
        ``off``, ``auto`` or ``on``.
    output_format
        Container of the result (``wav``, ``flac``, ``mp3``, ``m4a``, ``opus``, ``ogg``); None: the recording's own.
    loudness_lufs
        Integrated loudness of the result, ITU-R BS.1770.
    true_peak_dbtp
        Ceiling beside a loudness target.
    report
        ``none``, ``basic`` or ``full``.
    """

    dereverb: str | None = None
    output_format: str | None = None
    loudness_lufs: float | None = None
    true_peak_dbtp: float | None = None
    report: str | None = None


NO_OPTIONS = Options()


@dataclass(frozen=True)
class Enhancement:
    """An enhancement.

    Attributes
    ----------
    status
        ``waiting_for_upload``, ``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``.
    queue_position
        1 is the next; None unless it is queued.
    eta_s
        Seconds until it is done; None unless it runs.
    webhook_secret
        Of its own webhook; only in the answer that made it.
    """

    id: str
    status: str
    asset_id: str
    strength: float
    model: str
    created_at: datetime
    updated_at: datetime
    options: Options = NO_OPTIONS
    reference: str | None = None
    batch_id: str | None = None
    finished_at: datetime | None = None
    progress_percent: float = 0.0
    queue_position: int | None = None
    eta_s: int | None = None
    audio_s: float | None = None
    size_bytes: int | None = None
    error: Fault | None = None
    upload: Upload | None = None
    webhook_secret: str | None = field(default=None, repr=False)

    @property
    def has_ended(self) -> bool:
        """Whether its status is its last."""
        return self.status in ENDED


@dataclass(frozen=True)
class BatchItem:
    """One item, in the order of the request: an enhancement, or why there is none."""

    index: int
    enhancement: Enhancement | None = None
    error: Fault | None = None


@dataclass(frozen=True)
class Batch:
    """A batch; ``finished`` when nothing of it waits or runs."""

    id: str
    created_at: datetime
    finished: bool
    counts: dict[str, int]
    items: tuple[BatchItem, ...]
    reference: str | None = None


@dataclass(frozen=True)
class UsageDay:
    """What ended on one day, UTC."""

    day: date
    succeeded: int
    failed: int
    cancelled: int
    audio_minutes: float


@dataclass(frozen=True)
class Usage:
    """What was done, by day; days on which nothing ended are left out."""

    days: tuple[UsageDay, ...]
    audio_minutes: float


@dataclass(frozen=True)
class Webhook:
    """An address that is told of what happens; the secret is only in the answer that made it."""

    id: str
    url: str
    events: tuple[str, ...]
    description: str
    enabled: bool
    created_at: datetime
    updated_at: datetime
    disabled_reason: str | None = None
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Webhooks:
    """All of a client's webhooks, oldest first."""

    items: tuple[Webhook, ...]


@dataclass(frozen=True)
class Attempt:
    """One call of a webhook's receiver."""

    at: datetime
    status_code: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one webhook: ``pending``, ``delivered``, ``failed`` or ``discarded``."""

    id: str
    event: str
    status: str
    created_at: datetime
    next_attempt_at: datetime | None = None
    attempts: tuple[Attempt, ...] = ()
