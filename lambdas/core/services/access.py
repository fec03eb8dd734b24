"""Keys for workers: each gets those of the order in its hands, while somebody still waits for it."""

import hashlib
import hmac
import logging
from dataclasses import dataclass

from gpu_container.contract import AccessGrant, AccessRefusal, Dereverb, ProbeAccess, WorkAccess
from lambdas.core.access import probe_tags, work_tags
from lambdas.core.assets import ids_from_object_key
from lambdas.core.ports import AssetStore, Attempt, AttemptStore, CredentialIssuer, JobRepository
from lambdas.core.services.execution import JobRef, current_job

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AccessService:
    """Looks up what an order is about, never asks its worker: a worker names the order and proves that it has it."""

    assets: AssetStore
    jobs: JobRepository
    attempts: AttemptStore
    credentials: CredentialIssuer
    dereverb: Dereverb

    def answer(self, request: WorkAccess | ProbeAccess) -> AccessGrant | AccessRefusal:
        """Lend credentials for an order; refuse them to who never got it, and once nobody waits for it any more."""
        granted = self._for_probe(request) if isinstance(request, ProbeAccess) else self._for_work(request)
        if granted is None:
            logger.info("access refused", extra={"purpose": request.purpose})
        return granted or AccessRefusal()

    def _for_work(self, request: WorkAccess) -> AccessGrant | None:
        # Under the attempt's name lies its last dispatch: whoever has an earlier one's token is superseded.
        attempt = self.attempts.get(f"{request.job_id}-{request.attempt}")
        if attempt is None or not _proves(request, attempt):
            return None
        job = current_job(self.jobs, JobRef(attempt.client_id, attempt.job_id, attempt.attempt))
        asset = self.assets.get(job.client_id, job.asset_id) if job else None
        if job is None or asset is None or asset.is_deleted:
            return None
        return self.credentials.issue(job.execution_name, work_tags(job, asset, self.dereverb))

    def _for_probe(self, request: ProbeAccess) -> AccessGrant | None:
        ids = ids_from_object_key(request.input_key)
        asset = self.assets.get(*ids) if ids else None
        # Settled uploads too: events come twice, and a probe that is late must end like any other.
        if asset is None or asset.is_deleted:
            return None
        return self.credentials.issue(asset.id, probe_tags(asset.client_id, asset.id))


def _proves(request: WorkAccess, attempt: Attempt) -> bool:
    """Tell whether the token is the attempt's; the digests' equal length hides also how long the token is."""
    given, kept = (hashlib.sha256(token.encode()).digest() for token in (request.task_token, attempt.task_token))
    return hmac.compare_digest(given, kept)
