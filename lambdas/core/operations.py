"""What can be asked of the engine, and within which limits."""

MODEL_DEFAULT = "dfn3"

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
