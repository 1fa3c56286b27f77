"""Imports two contacts, sends a template to one of them, waits until it was sent. Standard library only."""
import json, os, sys, time, urllib.error, urllib.request, uuid

URL = os.environ.get("KABAR_URL", "http://127.0.0.1:8080")


def call(method, path, body=None, kind="application/json", key=None):
    headers = {"Authorization": "Bearer " + os.environ["KABAR_KEY"]}
    if body is not None:
        headers["Content-Type"] = kind
        body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    if key:
        headers["Idempotency-Key"] = key
    try:
        with urllib.request.urlopen(urllib.request.Request(URL + path, body, headers, method=method)) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        problem = json.load(error)
        sys.exit(f"{problem['code']}: {problem['detail']} {problem['remedy']}")


people = "name,phone\nAna,+6281234567890\nBudi,+6281234567891\n"
call("POST", "/v1/contacts/import?name=sample", people, "text/csv", key=str(uuid.uuid4()))
message = call("POST", "/v1/messages", {
    "session": os.environ["KABAR_SESSION"],
    "to": "6281234567890",
    "type": "template",
    "template": {"name": "halo", "language": {"code": "id"}},
}, key=str(uuid.uuid4()))
for _ in range(100):
    seen = call("GET", message["status_url"])
    if seen["status"] in ("sent", "delivered", "read"):
        break
    if seen["status"] in ("failed", "expired", "unknown"):
        sys.exit(f"ended as {seen['status']}: {seen['error']}")
    time.sleep(0.1)
else:
    sys.exit("still waiting")
call("GET", "/v1/imports?limit=5")
print("sent", message["id"])
