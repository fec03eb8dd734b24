"""What the libraries do not tell of a file, read from its first bytes."""

import io
from typing import Final

_SNIFFED_BYTES: Final = 4_096
_PLACEHOLDER_BYTES: Final = 0x7FFF_0000
"""Who writes into a pipe cannot know the size and puts about the largest number there (FFmpeg 2^32-1, SoX 2^31-1)."""


def first_bytes(file: io.RawIOBase, size_bytes: int = 64, *, offset: int = 0) -> bytes:
    """Return the first ``size_bytes`` bytes from ``offset``, fewer at the end; the file stays where it was."""
    at = file.tell()
    file.seek(offset)
    found = file.read(size_bytes) or b""
    file.seek(at)
    return found


def for_sndfile(file: io.RawIOBase) -> bool:
    """Tell whether the file is libsndfile's: RIFF in its forms, AIFF, Wave64, or Vorbis in Ogg."""
    head = first_bytes(file)
    if head[:4] in {b"RIFF", b"RIFX", b"RF64"}:
        return head[8:12] == b"WAVE"
    if head[:4] == b"FORM":
        return head[8:12] in {b"AIFF", b"AIFC"}
    return head[:4] == b"riff" or (head[:4] == b"OggS" and b"\x01vorbis" in head)


def is_webm(file: io.RawIOBase) -> bool:
    """Tell WebM from other Matroska by the DocType in its EBML header (RFC 8794)."""
    return b"\x42\x82\x84webm" in first_bytes(file)


def xing_kind(file: io.RawIOBase) -> bytes | None:
    """Return ``b"Xing"`` (variable bit rate), ``b"Info"`` (constant) or ``b"VBRI"``: what the first MP3 frame holds.

    Such a frame counts the others; without one a duration is guessed from the first bit rate.
    """
    head = first_bytes(file, 10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        # Four bytes of seven bits each (ID3v2.4, section 6.2).
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    frame = first_bytes(file, _SNIFFED_BYTES, offset=start)
    found = {frame.find(kind): kind for kind in (b"Xing", b"Info", b"VBRI")}
    places = [place for place in found if place >= 0]
    return found[min(places)] if places else None


def whole_bits(codec: str, extradata: bytes | None) -> int | None:
    """Return the bits per sample of FLAC and ALAC, from FLAC's STREAMINFO (RFC 9639, 8.2) and ALAC's magic cookie."""
    if codec == "flac" and extradata and len(extradata) >= 34:
        return ((extradata[12] & 1) << 4 | extradata[13] >> 4) + 1
    if codec == "alac" and extradata and len(extradata) >= 36:
        return extradata[17]
    return None


def vorbis_bit_rate(file: io.RawIOBase) -> int | None:
    """Return the nominal bit rate that a Vorbis encoder aimed at (Vorbis I, 4.2.2); None where it names none."""
    head = first_bytes(file, 96)
    at = head.find(b"\x01vorbis")
    nominal = int.from_bytes(head[at + 20 : at + 24], "little", signed=True) if at >= 0 else 0
    return nominal if nominal > 0 else None


def missing_share(file: io.RawIOBase, size_bytes: int) -> float:
    """Return how much of a WAV's or AIFF's samples the header promises and the file does not hold, 0 to 1."""
    head = first_bytes(file, 12)
    order: Final = "big" if head[:4] in {b"FORM", b"RIFX"} else "little"
    if head[:4] not in {b"RIFF", b"RIFX", b"RF64", b"FORM"}:
        return 0.0
    at, promised_by_ds64 = 12, 0
    while len(chunk := first_bytes(file, 24, offset=at)) >= 8:
        name, promised = chunk[:4], int.from_bytes(chunk[4:8], order)
        if name == b"ds64":
            promised_by_ds64 = int.from_bytes(chunk[16:24], "little")
        if name in {b"data", b"SSND"}:
            present = size_bytes - at - 8
            promised = promised_by_ds64 if head[:4] == b"RF64" else promised
            is_known = promised < _PLACEHOLDER_BYTES or head[:4] == b"RF64"
            return 1 - present / promised if is_known and promised > present else 0.0
        at += 8 + promised + promised % 2
    return 0.0
