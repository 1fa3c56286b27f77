// What a bot written with @kapso/whatsapp-cloud-api does, against Kabar: only the base URL and the token are other than at
// Meta.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { WhatsAppClient } from "@kapso/whatsapp-cloud-api";
import { normalizeWebhook, verifySignature } from "@kapso/whatsapp-cloud-api/server";

const { KABAR_URL, KABAR_KEY, PHONE_NUMBER_ID, SANDBOX_URL, CONTROL_TOKEN, LINK } = process.env;
const ANA = "6281234567891";
const [verifyToken, appSecret] = ["js & token", "the-secret-of-the-javascript-bot"];
const PNG = Buffer.from(
  "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082",
  "hex",
);
const client = new WhatsAppClient({ accessToken: KABAR_KEY, baseUrl: KABAR_URL, graphVersion: "v23.0" });
const [heard, statuses, forged] = [[], [], []];

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

const server = createServer(async (request, response) => {
  const asked = new URL(request.url, "http://hook").searchParams;
  if (request.method === "GET") {
    const known = asked.get("hub.verify_token") === verifyToken;
    return response.writeHead(known ? 200 : 403).end(known ? asked.get("hub.challenge") : "");
  }
  const rawBody = await body(request);
  const signatureHeader = request.headers["x-hub-signature-256"];
  if (!verifySignature({ appSecret, rawBody, signatureHeader })) {
    forged.push(signatureHeader);
    return response.writeHead(401).end();
  }
  const told = normalizeWebhook(JSON.parse(rawBody.toString()));
  heard.push(...told.messages);
  statuses.push(...told.statuses);
  response.writeHead(200).end();
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));

async function post(url, key, value) {
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${key}` };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(value) });
  assert.ok(answer.ok, `${url}: ${answer.status} ${await answer.text()}`);
}

async function until(what, wanted) {
  for (let turn = 0; turn < 600; turn += 1) {
    const found = wanted();
    if (found) return found;
    await wait(50);
  }
  throw new Error(`waited in vain for ${what}: ${JSON.stringify({ heard, statuses, forged })}`);
}

const url = `http://127.0.0.1:${server.address().port}/`;
await post(`${KABAR_URL}/v1/webhooks`, KABAR_KEY, { url, envelope: "meta", verify_token: verifyToken, secret: appSecret });

await post(`${SANDBOX_URL}/_sim/inbound`, CONTROL_TOKEN, { phone_number_id: PHONE_NUMBER_ID, from: ANA, name: "Ana", text: "Halo!" });
const message = await until("Ana's message", () => heard.find((one) => one.from === ANA));
assert.equal(message.text.body, "Halo!");
const to = { phoneNumberId: PHONE_NUMBER_ID, to: ANA };
const read = { phoneNumberId: PHONE_NUMBER_ID, messageId: message.id, typingIndicator: { type: "text" } };
assert.equal((await client.messages.markRead(read)).success, true);

const upload = { phoneNumberId: PHONE_NUMBER_ID, type: "image/png", file: new Blob([PNG], { type: "image/png" }), fileName: "dot.png" };
const { id: picture } = await client.media.upload(upload);
const sent = {
  text: await client.messages.sendText({ ...to, body: "Halo Ana", bizOpaqueCallbackData: "order-82", contextMessageId: message.id }),
  "image by id": await client.messages.sendImage({ ...to, image: { id: picture, caption: "one pixel" } }),
  "image by link": await client.messages.sendImage({ ...to, image: { link: LINK } }),
  template: await client.messages.sendTemplate({
    ...to,
    template: {
      name: "hello_picture",
      language: { code: "en_US" },
      components: [
        { type: "header", parameters: [{ type: "image", image: { id: picture } }] },
        { type: "body", parameters: [{ type: "text", text: "Ana" }] },
      ],
    },
  }),
  buttons: await client.messages.sendInteractiveButtons({
    ...to,
    bodyText: "Keep it?",
    buttons: [{ id: "keep", title: "Keep" }, { id: "move", title: "Move" }],
  }),
  list: await client.messages.sendInteractiveList({
    ...to,
    bodyText: "Pick a slot",
    buttonText: "Slots",
    sections: [{ title: "Today", rows: [{ id: "t1", title: "09-12", description: "Morning" }, { id: "t2", title: "12-15" }] }],
  }),
  reaction: await client.messages.sendReaction({ ...to, reaction: { messageId: message.id, emoji: "\u{1f44d}" } }),
};
const ids = Object.fromEntries(Object.entries(sent).map(([what, answer]) => [what, answer.messages[0].id]));
for (const [what, id] of Object.entries(ids)) assert.match(id, /^wamid\./, what);
const about = await client.media.get({ mediaId: picture });
assert.equal(about.mimeType ?? about.mime_type, "image/png");
const back = Buffer.from(await client.media.download({ mediaId: picture, auth: "always" }));
assert.ok(back.equals(PNG));
// What Ana sends is read by the id in the webhook.
const media = { mime_type: "image/png", base64: PNG.toString("base64"), caption: "mine" };
await post(`${SANDBOX_URL}/_sim/inbound`, CONTROL_TOKEN, { phone_number_id: PHONE_NUMBER_ID, from: ANA, media });
const shown = await until("Ana's picture", () => heard.find((one) => one.image));
assert.equal(shown.image.caption, "mine");
const hers = Buffer.from(await client.media.download({ mediaId: shown.image.id, auth: "always" }));
assert.ok(hers.equals(PNG));
const arrived = (id) => statuses.some((one) => one.id === id && ["delivered", "read"].includes(one.status));
await until("every delivery", () => Object.entries(ids).every(([what, id]) => what === "reaction" || arrived(id)));
assert.ok(statuses.some((one) => one.id === ids.text && one.bizOpaqueCallbackData === "order-82"), JSON.stringify(statuses[0]));
assert.equal((await client.media.delete({ mediaId: picture })).success, true);
assert.deepEqual(forged, []);
console.log("done", JSON.stringify(ids));
server.closeAllConnections();
server.close();
