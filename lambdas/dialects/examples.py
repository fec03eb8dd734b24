"""Names that the examples of all dialects share: one recording, one enhancement of it, one batch."""

ASSET_ID = "bcab9f0c-f740-41f1-990e-c21f2cae6af0"
ENHANCEMENT_ID = "d7748c6d-4be9-41e7-a6a8-d4138eaa8219"
BATCH_ID = "3e7f3f5c-7f0a-4f5e-9f60-0d6c1a1e8a55"

FILENAME, SIZE_BYTES, MEDIA_TYPE = "talk.wav", 2_880_044, "audio/wav"
MD5 = "6gH7SfirkyEWPA+QeOuJjQ=="

ORIGIN = "https://speech.example.com"
UPLOAD_URL = "https://audio.s3.amazonaws.com/in/4f1c/bcab9f0c?X-Amz-Signature=…"
DOWNLOAD_URL = "https://audio.s3.amazonaws.com/out/4f1c/d7748c6d.wav?X-Amz-Signature=…"

CREATED_AT, UPDATED_AT, FINISHED_AT = (
    "2026-03-02T09:15:04.120Z",
    "2026-03-02T09:15:22.871Z",
    "2026-03-02T09:15:41.003Z",
)
EXPIRES_AT = "2026-03-02T09:30:04.120Z"
