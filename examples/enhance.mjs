// Enhances one recording: one call, one upload, one wait, one download. Needs node 20 or later and nothing else.
//
//   CLEARTAKE_URL=https://speech.example.com CLEARTAKE_API_KEY=… node examples/enhance.mjs talk.mp3 90 clean.mp3
import { readFile, writeFile } from "node:fs/promises";
import { basename, extname } from "node:path";

const CONTENT_TYPES = { ".mp3": "audio/mpeg", ".flac": "audio/flac", ".m4a": "audio/mp4", ".wav": "audio/wav" };

const [input, strength, output] = process.argv.slice(2);
const enhancements = `${process.env.CLEARTAKE_URL}/v1/enhancements`;
const key = { "x-api-key": process.env.CLEARTAKE_API_KEY };

async function ask(url, options) {
  const answer = await fetch(url, options);
  if (answer.status >= 400) throw new Error(`${answer.status}: ${await answer.text()}`);
  return answer;
}

const bytes = await readFile(input);
const upload = {
  filename: basename(input),
  size_bytes: bytes.length,
  content_type: CONTENT_TYPES[extname(input).toLowerCase()],
};
const made = await ask(enhancements, {
  method: "POST",
  headers: { ...key, "Content-Type": "application/json" },
  body: JSON.stringify({ source: { upload }, strength: Number(strength) }),
});
let job = await made.json();

await ask(job.upload.url, { method: job.upload.method, headers: job.upload.headers, body: bytes });

while (!["succeeded", "failed", "cancelled"].includes(job.status)) {
  job = await (await ask(`${enhancements}/${job.id}?wait=20`, { headers: key })).json();
}
if (job.status !== "succeeded") throw new Error(`the enhancement ${job.status}: ${job.error?.message}`);

// The link in the redirect carries its own signature: the key stays out of that request.
const redirect = await ask(job.links.download, { headers: key, redirect: "manual" });
const result = await ask(redirect.headers.get("location"));
await writeFile(output, Buffer.from(await result.arrayBuffer()));
console.log(output);
