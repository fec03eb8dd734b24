"""What can be asked of the engine, and within which limits."""

from dataclasses import dataclass

from gpu_container.contract import Dereverb, OutputFormat, ReportLevel

MODEL_DEFAULT = "dfn3"
MODELS = (MODEL_DEFAULT, "dfn3-ll", "dfn3-hq")

STRENGTH_MIN, STRENGTH_MAX = 0.0, 100.0

MEDIA_TYPES = frozenset(
    {
        "audio/aac",
        "audio/flac",
        "audio/m4a",
        "audio/mp4",
        "audio/mpeg",
        "audio/mpeg4-generic",
        "audio/ogg",
        "audio/opus",
        "audio/vnd.dlna.adts",
        "audio/vorbis",
        "audio/wav",
        "audio/x-aac",
        "audio/x-aiff",
        "audio/x-flac",
        "audio/x-m4a",
        "audio/x-wav",
    }
)
"""Media types an asset may declare (Adobe's list); the bytes decide what is really in it."""

FURTHER_MEDIA_TYPES = frozenset(
    {
        "audio/3gpp",
        "audio/aiff",
        "audio/amr",
        "audio/webm",
        "audio/x-matroska",
        "video/3gpp",
        "video/mp4",
        "video/quicktime",
        "video/webm",
        "video/x-matroska",
    }
)
"""What else the engine reads, films' sound included; Adobe's API knows none of them."""


@dataclass(frozen=True)
class Options:
    """What may be asked for beside model and strength; None is what the deployment is configured for.

    Attributes
    ----------
    loudness_lufs
        Integrated loudness of the result (ITU-R BS.1770-5); None leaves it as it comes.
    true_peak_dbtp
        Ceiling under which a loudness target is reached.
    """

    dereverb: Dereverb | None = None
    output_format: OutputFormat | None = None
    loudness_lufs: float | None = None
    true_peak_dbtp: float | None = None
    report: ReportLevel | None = None
