"""Up to a hundred enhancements in one call."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lambdas.core.batches import Batch, BatchItem
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.idempotency import IdempotencyKey
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.ports import BatchStore, Clock, IdFactory, JobRepository
from lambdas.core.services.enhancements import Wish
from lambdas.core.services.submission import JobWebhook, Source, SubmissionService, Submitted


@dataclass(frozen=True)
class BatchView:
    """A batch with its jobs and, in an answer to who made it, what was made with them, by job's id."""

    batch: Batch
    jobs: Mapping[str, Job]
    made: Mapping[str, Submitted]


@dataclass(frozen=True)
class BatchWish:
    """One item as it is asked for."""

    source: Source
    wish: Wish
    webhook: JobWebhook | None = None


@dataclass(frozen=True)
class BatchService:
    """An item that is refused keeps no other from being accepted."""

    submissions: SubmissionService
    jobs: JobRepository
    batches: BatchStore
    clock: Clock
    ids: IdFactory

    def create(
        self,
        client_id: str,
        items: Sequence[BatchWish],
        *,
        key: IdempotencyKey,
        reference: str | None = None,
    ) -> BatchView:
        """Ask for every item, in order; what has been stored is answered as it is, with fresh links.

        Parameters
        ----------
        key
            Names the batch and its items: what dies before it is stored goes on where it was when it is sent again.

        Raises
        ------
        DomainError
            IDEMPOTENCY_MISMATCH.
        """
        batch_id = key.derived_id("batch")
        named = [_named(item, batch_id, _key_of_item(key, at)) for at, item in enumerate(items)]
        known = self.batches.get(client_id, batch_id)
        if known is not None:
            return self._again(_checked(known, key), named)
        results = [self._submit(client_id, item) for item in named]
        batch = Batch(
            id=batch_id,
            client_id=client_id,
            created_at=self.clock.now(),
            items=tuple(item for item, _ in results),
            reference=reference,
            request_sha256=key.request_sha256,
        )
        return self._seen(_checked(self._stored(batch), key), [made for _, made in results])

    def show(self, client_id: str, batch_id: str) -> BatchView:
        """Return the client's batch; raises `DomainError` NOT_FOUND."""
        batch = self.batches.get(client_id, batch_id)
        if batch is None:
            raise DomainError(DomainErrorCode.NOT_FOUND)
        return self._seen(batch)

    def _again(self, batch: Batch, wished: Sequence[BatchWish]) -> BatchView:
        """Ask anew only for what has a job and is answered with more than that: nothing new comes of it."""
        view, made = self._seen(batch), []
        for item, wish in zip(batch.items, wished, strict=True):
            job = view.jobs.get(item.job_id or "")
            if job is not None and (wish.webhook is not None or job.status is JobStatus.WAITING_FOR_UPLOAD):
                made.append(self._made_before(batch.client_id, wish))
        return replace(view, made=_by_job(made))

    def _seen(self, batch: Batch, made: Iterable[Submitted | None] = ()) -> BatchView:
        jobs = self.jobs.many(batch.client_id, [item.job_id for item in batch.items if item.job_id])
        return BatchView(batch, jobs, _by_job(made))

    def _submit(self, client_id: str, item: BatchWish) -> tuple[BatchItem, Submitted | None]:
        try:
            made = self.submissions.submit(client_id, item.source, item.wish, item.webhook)
        except DomainError as error:
            refused = BatchItem(item.wish.job_id, error.code, error.message, is_retryable=error.retryable)
            return refused, None
        return BatchItem(job_id=made.job.id), made

    def _made_before(self, client_id: str, item: BatchWish) -> Submitted | None:
        """Return what was made with the item's job; None where it has been deleted since."""
        try:
            return self.submissions.submit(client_id, item.source, item.wish, item.webhook)
        except DomainError as error:
            if error.retryable:
                raise  # without its links the answer would be of no use
            return None

    def _stored(self, batch: Batch) -> Batch:
        try:
            self.batches.add(batch)
        except VersionConflictError:
            return self.batches.get(batch.client_id, batch.id) or batch
        return batch


def _by_job(made: Iterable[Submitted | None]) -> Mapping[str, Submitted]:
    return {one.job.id: one for one in made if one}


def _key_of_item(key: IdempotencyKey, at: int) -> IdempotencyKey:
    return replace(key, operation=f"{key.operation}/{at}")


def _named(item: BatchWish, batch_id: str, key: IdempotencyKey) -> BatchWish:
    """Return the item as part of its batch, with the name that its job is going to have."""
    wish = replace(item.wish, batch_id=batch_id, idempotency=key, job_id=key.derived_id("job"))
    return replace(item, wish=wish)


def _checked(batch: Batch, key: IdempotencyKey) -> Batch:
    if batch.request_sha256 != key.request_sha256:
        raise DomainError(DomainErrorCode.IDEMPOTENCY_MISMATCH)
    return batch
