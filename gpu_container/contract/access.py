"""How a worker asks for the keys to its order, and what it is answered. Neither is ever stored or logged."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from gpu_container.contract.work import SCHEMA_VERSION, Document, SchemaVersion

Secret = Annotated[str, Field(repr=False)]


class WorkAccess(Document):
    """Asks for what one attempt at one enhancement reads and writes; only who got the order knows its task token."""

    schema_version: SchemaVersion = SCHEMA_VERSION
    purpose: Literal["work"] = "work"
    job_id: str
    attempt: int = Field(ge=1)
    task_token: Secret


class ProbeAccess(Document):
    """Asks for one upload, to read it; its key holds the asset's random id, which only who got the order knows."""

    schema_version: SchemaVersion = SCHEMA_VERSION
    purpose: Literal["probe"] = "probe"
    input_key: str


AccessRequest = Annotated[WorkAccess | ProbeAccess, Field(discriminator="purpose")]


class AccessGrant(Document):
    """Temporary credentials; ask again before they expire."""

    schema_version: SchemaVersion = SCHEMA_VERSION
    outcome: Literal["granted"] = "granted"
    access_key_id: str
    secret_access_key: Secret
    session_token: Secret
    expires_at: datetime


class AccessRefusal(Document):
    """Nobody wants the work any more, or whoever asks never got the order."""

    schema_version: SchemaVersion = SCHEMA_VERSION
    outcome: Literal["refused"] = "refused"


AccessAnswer = Annotated[AccessGrant | AccessRefusal, Field(discriminator="outcome")]
