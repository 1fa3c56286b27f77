// Imports two contacts, sends a template to one of them, waits until it was sent. Node 18 or newer, no packages.
const url = process.env.KABAR_URL ?? "http://127.0.0.1:8080";

async function call(method, path, body, { kind = "application/json", key } = {}) {
  const headers = { Authorization: `Bearer ${process.env.KABAR_KEY}` };
  if (body !== undefined) headers["Content-Type"] = kind;
  if (key) headers["Idempotency-Key"] = key;
  const sent = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  const answer = await fetch(url + path, { method, headers, body: sent });
  const json = await answer.json();
  if (!answer.ok) throw new Error(`${json.code}: ${json.detail} ${json.remedy}`);
  return json;
}

const people = "name,phone\nAna,+6281234567890\nBudi,+6281234567891\n";
await call("POST", "/v1/contacts/import?name=sample", people, { kind: "text/csv", key: crypto.randomUUID() });
const message = await call("POST", "/v1/messages", {
  session: process.env.KABAR_SESSION,
  to: "6281234567890",
  type: "template",
  template: { name: "halo", language: { code: "id" } },
}, { key: crypto.randomUUID() });

let status = message.status;
for (let tries = 0; tries < 100 && !["sent", "delivered", "read"].includes(status); tries++) {
  const seen = await call("GET", message.status_url);
  status = seen.status;
  if (["failed", "expired", "unknown"].includes(status)) throw new Error(`ended as ${status}: ${seen.error?.code}`);
  await new Promise((done) => setTimeout(done, 100));
}
await call("GET", "/v1/imports?limit=5");
console.log("sent", message.id);
