"""What a webhook's receiver gets, described for those who generate a receiver; `lambdas.core.webhooks` writes it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from lambdas.dialects.native.fields import Moment


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)


class NativeEventLinks(_Event):
    """Where to ask for more."""

    enhancement: Annotated[str, Field(description="URL of the enhancement.")]
    asset: Annotated[str, Field(description="URL of its recording.")]


class NativeEventData(_Event):
    """The end of one enhancement."""

    enhancement_id: Annotated[str, Field(description="Identifier of the enhancement.")]
    asset_id: Annotated[str, Field(description="Identifier of its recording.")]
    status: Annotated[str, Field(description="How it ended: succeeded, failed or cancelled.")]
    error_code: Annotated[str | None, Field(description="Stable name of what went wrong; null unless it failed.")]
    finished_at: Annotated[Moment, Field(description="When it ended.")]
    links: Annotated[NativeEventLinks, Field(description="Where to ask for more, where its webhook was made.")]


class NativeEvent(_Event):
    """One message (Standard Webhooks)."""

    type: Annotated[str, Field(description="enhancement.succeeded, enhancement.failed or enhancement.cancelled.")]
    timestamp: Annotated[Moment, Field(description="When it happened.")]
    data: Annotated[NativeEventData, Field(description="What it is about.")]
