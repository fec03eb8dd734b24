"""What a worker may touch for one order, as the tags of its session.

The role that workers take on names its objects by these tags (``infra.constructs.work_role``): a session without a tag
does not reach what the tag names, so the role by itself reaches nothing.
"""

from collections.abc import Mapping
from enum import StrEnum

from gpu_container.contract import Dereverb
from lambdas.core.assets import Asset, wet_key_of, wet_prefix_of
from lambdas.core.jobs import Job, dereverb_of


class Tag(StrEnum):
    """Names of the tags; STS has room for less than 500 bytes of them, names and values together."""

    UPLOAD = "upload"
    """``<client>/<asset>``: the end of the upload's key, and the middle of the keys of all that is made of it."""
    CLIENT = "client"
    """Whose rows may be told of progress."""
    JOB = "job"
    """The attempt's name: the end of its result's key."""
    WET = "wet"
    """The end of the wet track's key."""


Tags = Mapping[Tag, str]


def probe_tags(client_id: str, asset_id: str) -> Tags:
    """Open one upload for reading, and nothing else."""
    return {Tag.UPLOAD: f"{client_id}/{asset_id}"}


def work_tags(job: Job, asset: Asset, default: Dereverb) -> Tags:
    """Open what one attempt at a job reads and writes."""
    wet_key = wet_key_of(asset, job.model, dereverb_of(job, default))
    return {
        **probe_tags(asset.client_id, asset.id),
        Tag.CLIENT: job.client_id,
        Tag.JOB: job.execution_name,
        Tag.WET: wet_key.removeprefix(wet_prefix_of(asset.client_id, asset.id)),
    }
