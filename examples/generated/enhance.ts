// Lists enhancements and makes one, with the types that openapi-typescript makes of the API's document.
import createClient from "openapi-fetch";

import type { paths } from "./schema.d.ts";

declare const process: { env: Record<string, string> };

const client = createClient<paths>({
  baseUrl: process.env.CLEARTAKE_URL,
  headers: { "x-api-key": process.env.CLEARTAKE_API_KEY },
});
const upload = { filename: "talk.wav", size_bytes: 1000, content_type: "audio/wav" as const };

const before = await client.GET("/v1/enhancements");
const made = await client.POST("/v1/enhancements", { body: { source: { upload }, strength: 90 } });
const after = await client.GET("/v1/enhancements", { params: { query: { limit: 1 } } });

if (!before.data || !made.data || !after.data) {
  throw new Error(`refused: ${JSON.stringify([before.error, made.error, after.error])}`);
}
if (after.data.items.map((one) => one.id).join() !== made.data.id) {
  throw new Error(`made ${made.data.id}, listed ${after.data.items.map((one) => one.id)}`);
}
console.log(`listed ${before.data.items.length}, made ${made.data.id}, which is ${made.data.status}`);
