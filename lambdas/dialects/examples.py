"""Names that the examples of all dialects share: one recording, one enhancement of it, one batch, one webhook."""

ASSET_ID = "bcab9f0c-f740-41f1-990e-c21f2cae6af0"
ENHANCEMENT_ID = "d7748c6d-4be9-41e7-a6a8-d4138eaa8219"
BATCH_ID = "3e7f3f5c-7f0a-4f5e-9f60-0d6c1a1e8a55"
WEBHOOK_ID = "5b8e2a94-63b1-4f0e-8d0c-2f6f3f1d9c77"
MESSAGE_ID = "msg_019cade2f0db2c6f1a8d4b9e07c35f18"

FILENAME, SIZE_BYTES, MEDIA_TYPE = "talk.wav", 2_880_044, "audio/wav"
MD5 = "6gH7SfirkyEWPA+QeOuJjQ=="

BUCKET_URI = "s3://recordings/season-2/talk.wav"
SOURCE_ROLE_ARN = "arn:aws:iam::123456789012:role/cleartake-source-recordings"
SOURCE_URL = "https://recordings.example.com/talk.wav"
RECEIVER_URL = "https://hooks.example.com/cleartake"
SIGNING_KEY = "whsec_YW4gZXhhbXBsZSwgYW5kIG5vYm9keSdzIHNlY3JldC4="

ORIGIN = "https://speech.example.com"
UPLOAD_URL = "https://audio.s3.amazonaws.com/in/4f1c/bcab9f0c?X-Amz-Signature=…"
DOWNLOAD_URL = "https://audio.s3.amazonaws.com/out/4f1c/d7748c6d.wav?X-Amz-Signature=…"

CREATED_AT, UPDATED_AT, FINISHED_AT = (
    "2026-03-02T09:15:04.120Z",
    "2026-03-02T09:15:22.871Z",
    "2026-03-02T09:15:41.003Z",
)
EXPIRES_AT = "2026-03-02T09:30:04.120Z"
