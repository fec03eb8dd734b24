"""Lists enhancements and makes one, with the client that ``openapi-python-client`` makes of the API's document."""

import os

from cleartake_api import AuthenticatedClient
from cleartake_api.api.enhancements import create_enhancement, list_enhancements
from cleartake_api.models import (
    NativeEnhancement,
    NativeEnhancementPage,
    NativeEnhancementRequest,
    NativeSource,
    NativeUploadRequest,
    NativeUploadRequestContentType,
)

client = AuthenticatedClient(
    base_url=os.environ["CLEARTAKE_URL"],
    token=os.environ["CLEARTAKE_API_KEY"],
    prefix="",
    auth_header_name="x-api-key",
)
upload = NativeUploadRequest("talk.wav", 1000, NativeUploadRequestContentType.AUDIOWAV)

with client:
    before = list_enhancements.sync(client=client)
    made = create_enhancement.sync(client=client, body=NativeEnhancementRequest(NativeSource(upload=upload), 90))
    after = list_enhancements.sync(client=client, limit=1)

if not (
    isinstance(before, NativeEnhancementPage)
    and isinstance(made, NativeEnhancement)
    and isinstance(after, NativeEnhancementPage)
):
    raise SystemExit(f"refused: {before}, {made}, {after}")
if [one.id for one in after.items] != [made.id]:
    raise SystemExit(f"made {made.id}, listed {after.items}")
print(f"listed {len(before.items)}, made {made.id}, which is {made.status.value}")
