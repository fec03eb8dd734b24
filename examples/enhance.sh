#!/usr/bin/env bash
# Enhances one recording: one call, one upload, one wait, one download. Needs curl and python3, to read JSON.
#
#   CLEARTAKE_URL=https://speech.example.com CLEARTAKE_API_KEY=… examples/enhance.sh talk.mp3 90 clean.mp3
set -euo pipefail

input=$1 strength=$2 output=$3

case $input in
  *.mp3) content_type=audio/mpeg ;;
  *.flac) content_type=audio/flac ;;
  *.m4a) content_type=audio/mp4 ;;
  *) content_type=audio/wav ;;
esac

api() { curl --silent --show-error --fail-with-body --header "x-api-key: $CLEARTAKE_API_KEY" "$@"; }
field() { python3 -c 'import functools, json, sys
print(functools.reduce(lambda found, name: found[name], sys.argv[1].split("."), json.load(sys.stdin)))' "$1"; }

made=$(
  python3 -c 'import json, os, sys
path, strength, kind = sys.argv[1:]
upload = {"filename": os.path.basename(path), "size_bytes": os.path.getsize(path), "content_type": kind}
print(json.dumps({"source": {"upload": upload}, "strength": float(strength)}))' "$input" "$strength" "$content_type" |
    api "$CLEARTAKE_URL/v1/enhancements" --header 'Content-Type: application/json' --data @-
) || { echo "$made" >&2; exit 1; }
id=$(field id <<<"$made")

# Storage wants exactly the headers that were answered: here, the media type alone.
curl --silent --show-error --fail-with-body --upload-file "$input" --header "Content-Type: $content_type" \
  "$(field upload.url <<<"$made")"

until
  job=$(api "$CLEARTAKE_URL/v1/enhancements/$id?wait=20")
  status=$(field status <<<"$job")
  [[ $status =~ ^(succeeded|failed|cancelled)$ ]]
do :; done
if [[ $status != succeeded ]]; then
  echo "the enhancement $status: $(field error.message <<<"$job")" >&2
  exit 1
fi

# The link in the redirect carries its own signature: the key stays out of that request.
link=$(api --output /dev/null --write-out '%{redirect_url}' "$(field links.download <<<"$job")")
curl --silent --show-error --fail --output "$output" "$link"
echo "$output"
