"""A result is held against the probe's facts: what differs by mistake is refused, what differs by rights is not."""

import pytest

from gpu_container.contract import AudioFacts
from lambdas.core.services.execution import VerificationError
from tests.unit.world import FACTS, World, ref_of


def facts(container: str, codec: str, rate_hz: int, frames: int, *, channels: int = 2) -> AudioFacts:
    duration_s = frames / rate_hz
    return AudioFacts(
        container=container, codec=codec, rate_hz=rate_hz, channels=channels, frames=frames, duration_s=duration_s
    )


VORBIS_FILM = facts("webm", "vorbis", 44_100, 145_536)
MP3 = facts("mp3", "mp3", 44_100, 145_536)


def verify(before: AudioFacts, after: AudioFacts) -> None:
    world = World()
    client, _ = world.client()
    job = world.queued_job(client.id, asset=world.ready_asset(client.id, facts=before))
    world.admission.admit([client.id])
    world.dispatch.dispatch(ref_of(job), "token")
    world.execution.verify(ref_of(job), world.result_for(world.job(job), facts=after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (FACTS, FACTS),
        # WebM takes no other sound than Opus, and Opus is always 48 kHz.
        (VORBIS_FILM, facts("webm", "opus", 48_000, 158_407)),
        (facts("mkv", "vorbis", 44_100, 145_536), facts("mkv", "aac", 44_100, 145_536)),
        (MP3, facts("mp3", "mp3", 44_100, 145_536 + 2000)),
    ],
)
def test_a_good_result_is_accepted(before: AudioFacts, after: AudioFacts) -> None:
    verify(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (FACTS, FACTS.model_copy(update={"frames": FACTS.frames - 1})),
        (FACTS, FACTS.model_copy(update={"channels": 2})),
        (MP3, facts("mp3", "mp3", 48_000, 158_407)),
        (MP3, facts("mp3", "mp3", 44_100, 145_536 - 4410)),
        (VORBIS_FILM, facts("webm", "opus", 48_000, 145_536)),
        (VORBIS_FILM, facts("webm", "opus", 48_000, 158_407, channels=1)),
    ],
)
def test_a_result_that_is_not_like_its_recording_is_refused(before: AudioFacts, after: AudioFacts) -> None:
    with pytest.raises(VerificationError):
        verify(before, after)
