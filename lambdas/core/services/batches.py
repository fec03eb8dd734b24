"""Up to a hundred enhancements in one call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lambdas.core.batches import Batch, BatchItem
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.idempotency import IdempotencyKey
from lambdas.core.jobs import Job
from lambdas.core.ports import BatchStore, Clock, IdFactory, JobRepository
from lambdas.core.services.enhancements import Wish
from lambdas.core.services.submission import JobWebhook, Source, SubmissionService, Submitted


@dataclass(frozen=True)
class BatchView:
    """A batch with its jobs and, in the answer that made it, all that was made with them, by job's id."""

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
        """Ask for every item, in order.

        Parameters
        ----------
        key
            Names the batch and its items: what dies in between goes on where it was when it is sent again.

        Raises
        ------
        DomainError
            IDEMPOTENCY_MISMATCH.
        """
        batch_id = key.derived_id("batch")
        known = self.batches.get(client_id, batch_id)
        if known is not None and known.request_sha256 != key.request_sha256:
            raise DomainError(DomainErrorCode.IDEMPOTENCY_MISMATCH)
        results = []
        for at, item in enumerate(items):
            own = replace(key, operation=f"{key.operation}/{at}")
            wish = replace(item.wish, batch_id=batch_id, idempotency=own)
            results.append(self._submit(client_id, replace(item, wish=wish)))
        batch = Batch(
            id=batch_id,
            client_id=client_id,
            created_at=self.clock.now(),
            items=tuple(item for item, _ in results),
            reference=reference,
            request_sha256=key.request_sha256,
        )
        made = {one.job.id: one for _, one in results if one}
        return BatchView(self._stored(batch), {job_id: one.job for job_id, one in made.items()}, made)

    def show(self, client_id: str, batch_id: str) -> BatchView:
        """Return the client's batch; raises `DomainError` NOT_FOUND."""
        batch = self.batches.get(client_id, batch_id)
        if batch is None:
            raise DomainError(DomainErrorCode.NOT_FOUND)
        return BatchView(batch, self.jobs.many(client_id, [item.job_id for item in batch.items if item.job_id]), {})

    def _submit(self, client_id: str, item: BatchWish) -> tuple[BatchItem, Submitted | None]:
        try:
            made = self.submissions.submit(client_id, item.source, item.wish, item.webhook)
        except DomainError as error:
            refused = BatchItem(error_code=error.code, error_message=error.message, is_retryable=error.retryable)
            return refused, None
        return BatchItem(job_id=made.job.id), made

    def _stored(self, batch: Batch) -> Batch:
        try:
            self.batches.add(batch)
        except VersionConflictError:
            return self.batches.get(batch.client_id, batch.id) or batch
        return batch
