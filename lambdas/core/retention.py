"""How long things are kept. S3's lifecycle rules delete the objects; the rows follow, and never go first."""

from dataclasses import dataclass
from datetime import datetime, timedelta

LIFECYCLE_LAG = timedelta(days=2)
"""S3 deletes at the midnight after an object's last day and may take another day for it."""

UNFINISHED_UPLOAD_KEPT = timedelta(days=2)
"""So long S3 keeps the parts of an upload that is not finished; ``infra`` gives it to the bucket's lifecycle rule."""


@dataclass(frozen=True)
class Retention:
    """The deployment's retention; ``infra`` gives the same number of days to the buckets' lifecycle rules."""

    days: int

    def row_expires_at(self, moment: datetime) -> datetime:
        """Return when a row may go whose objects were written at ``moment`` or before."""
        return moment + timedelta(days=self.days) + LIFECYCLE_LAG

    def is_over(self, written_at: datetime, *, now: datetime) -> bool:
        """Tell whether an object that was written at ``written_at`` is, or will be at any moment, deleted."""
        return now - written_at >= timedelta(days=self.days)
