"""Enhances one recording: one call, one upload, one wait, one download. Needs the package ``requests``.

CLEARTAKE_URL=https://speech.example.com CLEARTAKE_API_KEY=… python examples/enhance.py talk.mp3 90 clean.mp3
"""

import os
import sys
from pathlib import Path

import requests

CONTENT_TYPES = {".mp3": "audio/mpeg", ".flac": "audio/flac", ".m4a": "audio/mp4", ".wav": "audio/wav"}


def main(recording: Path, strength: float, target: Path) -> None:
    """Enhance ``recording`` into ``target``."""
    enhancements = os.environ["CLEARTAKE_URL"] + "/v1/enhancements"
    with requests.Session() as api:
        api.headers["x-api-key"] = os.environ["CLEARTAKE_API_KEY"]
        upload: dict[str, str | int] = {
            "filename": recording.name,
            "size_bytes": recording.stat().st_size,
            "content_type": CONTENT_TYPES[recording.suffix.lower()],
        }
        answer = api.post(enhancements, json={"source": {"upload": upload}, "strength": strength}, timeout=30)
        answer.raise_for_status()
        job = answer.json()

        where = job["upload"]
        with recording.open("rb") as file:
            requests.put(where["url"], headers=where["headers"], data=file, timeout=600).raise_for_status()

        while job["status"] not in {"succeeded", "failed", "cancelled"}:
            answer = api.get(f"{enhancements}/{job['id']}", params={"wait": 20}, timeout=30)
            answer.raise_for_status()
            job = answer.json()
        if job["status"] != "succeeded":
            sys.exit(f"the enhancement {job['status']}: {job['error']}")

        answer = api.get(job["links"]["download"], allow_redirects=False, timeout=30)
        answer.raise_for_status()
    # The link carries its own signature: the key stays out of this request.
    result = requests.get(answer.headers["Location"], timeout=600)
    result.raise_for_status()
    target.write_bytes(result.content)
    print(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))
