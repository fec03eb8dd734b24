"""Up to a hundred enhancements in one call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lambdas.core.batches import Batch, BatchItem
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.idempotency import IdempotencyKey
from lambdas.core.jobs import Job
from lambdas.core.ports import BatchStore, Clock, IdFactory, JobRepository
from lambdas.core.services.assets import AssetView
from lambdas.core.services.enhancements import Wish
from lambdas.core.services.submission import Source, SubmissionService


@dataclass(frozen=True)
class BatchView:
    """A batch with its jobs by id and, in the answer that made it, the assets that wait for uploads, by job's id."""

    batch: Batch
    jobs: Mapping[str, Job]
    uploads: Mapping[str, AssetView]


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
        items: Sequence[tuple[Source, Wish]],
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
        for at, (source, wish) in enumerate(items):
            own = replace(wish, batch_id=batch_id, idempotency=replace(key, operation=f"{key.operation}/{at}"))
            results.append(self._submit(client_id, source, own))
        batch = Batch(
            id=batch_id,
            client_id=client_id,
            created_at=self.clock.now(),
            items=tuple(item for item, _, _ in results),
            reference=reference,
            request_sha256=key.request_sha256,
        )
        return BatchView(
            self._stored(batch),
            jobs={job.id: job for _, job, _ in results if job},
            uploads={job.id: view for _, job, view in results if job and view},
        )

    def show(self, client_id: str, batch_id: str) -> BatchView:
        """Return the client's batch; raises `DomainError` NOT_FOUND."""
        batch = self.batches.get(client_id, batch_id)
        if batch is None:
            raise DomainError(DomainErrorCode.NOT_FOUND)
        return BatchView(batch, self.jobs.many(client_id, [item.job_id for item in batch.items if item.job_id]), {})

    def _submit(self, client_id: str, source: Source, wish: Wish) -> tuple[BatchItem, Job | None, AssetView | None]:
        try:
            made = self.submissions.submit(client_id, source, wish)
        except DomainError as error:
            refused = BatchItem(error_code=error.code, error_message=error.message, is_retryable=error.retryable)
            return refused, None, None
        return BatchItem(job_id=made.job.id), made.job, made.asset

    def _stored(self, batch: Batch) -> Batch:
        try:
            self.batches.add(batch)
        except VersionConflictError:
            return self.batches.get(batch.client_id, batch.id) or batch
        return batch
