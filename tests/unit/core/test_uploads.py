"""Uploads in parts: begun, interrupted, taken up again, finished once, and never left lying."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_container.contract import ProbeResult
from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.retention import UNFINISHED_UPLOAD_KEPT
from lambdas.core.services.assets import CreateAsset
from lambdas.core.services.uploads import MAX_LINKS
from lambdas.core.uploads import MAX_PUT_BYTES, MAX_UPLOAD_BYTES, MIB, ArrivedPart, MultipartUpload, PartPlan
from tests.unit.world import FACTS, World

SIZE_BYTES = 2 * 16 * MIB + 5


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def asset(world: World) -> Asset:
    return world.uploads.create(CreateAsset(world.client()[0].id, "film.mov", SIZE_BYTES, "video/quicktime"))


def upload_of(asset: Asset) -> MultipartUpload:
    assert asset.multipart is not None
    return asset.multipart


def send(world: World, asset: Asset, *numbers: int) -> None:
    plan = PartPlan(asset.size_bytes, upload_of(asset).part_size_bytes)
    for number in numbers:
        world.storage.put_part(upload_of(asset), number, plan.size_of(number))


def refusal(ask: object) -> DomainErrorCode:
    with pytest.raises(DomainError) as refused:
        ask()  # type: ignore[operator]
    return refused.value.code


@given(st.integers(1, MAX_UPLOAD_BYTES))
def test_any_size_is_cut_into_parts_that_s3_takes(size_bytes: int) -> None:
    plan = PartPlan.of(size_bytes)
    sizes = [plan.size_of(number) for number in range(1, plan.count + 1)]
    assert sum(sizes) == size_bytes
    assert len(sizes) <= 10_000
    assert all(5 * MIB <= size <= 5 * 2**30 for size in sizes[:-1])
    assert 0 < sizes[-1] <= sizes[0]
    assert not plan.has(0)
    assert not plan.has(plan.count + 1)


@given(st.integers(1, 10**9), st.sets(st.integers(1, 80)))
def test_what_is_missing_and_what_is_there_are_the_whole(size_bytes: int, numbers: set[int]) -> None:
    plan = PartPlan.of(size_bytes)
    there = {number for number in numbers if plan.has(number)}
    missing = plan.missing(ArrivedPart(number, plan.size_of(number), "e") for number in there)
    assert sorted(there | set(missing)) == list(range(1, plan.count + 1))
    assert not there & set(missing)


def test_a_link_names_its_part_its_size_and_its_checksum(world: World, asset: Asset) -> None:
    assert world.assets.show(asset.client_id, asset.id).upload_url is None
    first, last = world.uploads.links(asset.client_id, asset.id, [1, 3], md5={3: "abc"})
    assert (first.number, first.size_bytes, first.md5) == (1, 16 * MIB, None)
    assert (last.number, last.size_bytes, last.md5) == (3, 5, "abc")
    assert "part=3&size=5&md5=abc" in last.url
    (again,) = world.uploads.links(asset.client_id, asset.id, [1])
    assert again.url != first.url


def test_an_interrupted_upload_goes_on_where_it_stopped(world: World, asset: Asset) -> None:
    send(world, asset, 1, 3)
    progress = world.uploads.progress(asset.client_id, asset.id)
    assert (progress.plan.count, progress.missing, progress.arrived_bytes) == (3, (2,), 16 * MIB + 5)
    with pytest.raises(DomainError, match="not arrived: 2") as refused:
        world.uploads.complete(asset.client_id, asset.id)
    assert refused.value.code is DomainErrorCode.ASSET_NOT_UPLOADED
    send(world, asset, 2)
    world.uploads.complete(asset.client_id, asset.id)
    assert world.uploads.progress(asset.client_id, asset.id).missing == ()


def test_a_part_of_another_size_has_not_arrived(world: World, asset: Asset) -> None:
    send(world, asset, 1, 2)
    world.storage.put_part(upload_of(asset), 3, 4)
    assert world.uploads.progress(asset.client_id, asset.id).missing == (3,)


def test_completing_again_changes_nothing_before_and_after_intake(world: World, asset: Asset) -> None:
    send(world, asset, 1, 2, 3)
    for _ in range(2):
        assert world.uploads.complete(asset.client_id, asset.id).is_waiting
    located = world.intake.locate(asset.object_key)
    assert located is not None
    world.intake.mark_ready(located, ProbeResult(facts=FACTS))
    settled = world.uploads.complete(asset.client_id, asset.id)
    assert settled.status is AssetStatus.READY
    assert len(world.storage.objects[asset.object_key]) == 1
    assert refusal(lambda: world.uploads.links(asset.client_id, asset.id, [1])) is DomainErrorCode.ALREADY_FINISHED


def test_two_who_complete_at_once_both_succeed(world: World, asset: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    send(world, asset, 1, 2, 3)
    complete = world.storage.complete

    def slower(upload: MultipartUpload, parts: list[ArrivedPart]) -> bool:
        complete(upload, parts)
        return complete(upload, parts)

    monkeypatch.setattr(world.storage, "complete", slower)
    assert world.uploads.complete(asset.client_id, asset.id) == asset
    assert len(world.storage.objects[asset.object_key]) == 1


def test_an_upload_that_was_never_finished_expires(world: World, asset: Asset) -> None:
    send(world, asset, 1)
    world.clock.advance(UNFINISHED_UPLOAD_KEPT.total_seconds())
    assert refusal(lambda: world.uploads.links(asset.client_id, asset.id, [2])) is DomainErrorCode.UPLOAD_EXPIRED
    world.storage.uploads.clear()  # the bucket's lifecycle
    for ask in (world.uploads.progress, world.uploads.complete):
        assert refusal(lambda ask=ask: ask(asset.client_id, asset.id)) is DomainErrorCode.UPLOAD_EXPIRED
    assert refusal(lambda: world.queued_job(asset.client_id, asset=asset)) is DomainErrorCode.ASSET_NOT_UPLOADED


def test_what_cannot_be_asked_for(world: World, asset: Asset) -> None:
    single, other = world.waiting_asset(asset.client_id), world.client("other")[0]
    for ask in (world.uploads.progress, world.uploads.complete, lambda *ids: world.uploads.links(*ids, [1])):
        assert refusal(lambda ask=ask: ask(asset.client_id, single.id)) is DomainErrorCode.NOT_FOUND
        assert refusal(lambda ask=ask: ask(other.id, asset.id)) is DomainErrorCode.NOT_FOUND
    for numbers in ([0], [4], [1] * (MAX_LINKS + 1)):
        code = refusal(lambda numbers=numbers: world.uploads.links(asset.client_id, asset.id, numbers))
        assert code is DomainErrorCode.PARAMETER_INVALID


@pytest.mark.parametrize(("size_bytes", "in_parts"), [(MAX_PUT_BYTES + 1, False), (MAX_UPLOAD_BYTES + 1, True)])
def test_what_is_too_large_is_refused_at_its_declaration(world: World, size_bytes: int, in_parts: bool) -> None:
    command = CreateAsset(world.client()[0].id, "talk.wav", size_bytes, "audio/wav")
    create = world.uploads.create if in_parts else world.assets.create
    assert refusal(lambda: create(command)) is DomainErrorCode.PARAMETER_INVALID
    assert not world.storage.uploads
