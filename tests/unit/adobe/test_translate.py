"""What Adobe's clients get to see of names, and how the dialects' paths lie beside one another."""

import json
import re
from dataclasses import replace

import pytest

from lambdas.adapters.aws.s3 import content_disposition
from lambdas.core.services.enhancements import download_name
from lambdas.dialects.registry import DIALECTS
from tests.unit.world import FACTS, World


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("earhart-aviation.mp3", "earhart-aviation-enhanced-93p.mp3"),
        ("talk", "talk-enhanced-93p.wav"),
        ("a.b.c.WAV", "a.b.c-enhanced-93p.WAV"),
        (".hidden", ".hidden-enhanced-93p.wav"),
        ("Grüße.flac", "Grüße-enhanced-93p.flac"),
        ("x" * 255, "x" * 200 + "-enhanced-93p.wav"),
    ],
)
def test_the_downloads_name(filename: str, expected: str) -> None:
    world = World()
    client, _ = world.client()
    job = world.queued_job(client.id, asset=world.ready_asset(client.id, filename=filename))
    asset = world.asset_store.get(client.id, job.asset_id)
    assert asset is not None
    assert download_name(replace(asset, facts=FACTS), job) == expected


@pytest.mark.parametrize("filename", ['a"b.mp3', "a\\b.mp3", "Grüße 日本.mp3", "a;b=c.mp3", "a\r\nX: y.mp3"])
def test_a_filename_cannot_break_the_header(filename: str) -> None:
    value = content_disposition(filename)
    assert value.isascii()
    assert value.isprintable()
    assert re.fullmatch(r"attachment; filename=\"[^\"\\]*\"; filename\*=UTF-8''[A-Za-z0-9%._~-]*", value)


def test_prefixes_and_routes_do_not_overlap() -> None:
    routes = [route for dialect in DIALECTS for route in dialect.routes()]
    assert len({(route.method, route.path) for route in routes}) == len(routes)
    for dialect in DIALECTS:
        assert all(route.path.startswith(dialect.prefixes) for route in dialect.routes())
    assert json.dumps(DIALECTS[0].schema())
