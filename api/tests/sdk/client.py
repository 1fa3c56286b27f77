"""What a bot written with pywa does, against Kabar: only the base URL and the token are other than at Meta."""

import base64
import http.server
import json
import os
import threading
import time
import urllib.parse

import httpx
from pywa import WhatsApp, types
from pywa.types import Button, Section, SectionList, SectionRow
from pywa.types.templates import BodyText, HeaderImage, TemplateLanguage

ENV = os.environ
NUMBER, ANA = ENV["PHONE_NUMBER_ID"], "6281234567890"
VERIFY_TOKEN, APP_SECRET = "py & token", "the-secret-of-the-python-bot"
# A picture of one pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)

session = httpx.Client()
wa = WhatsApp(
    NUMBER, ENV["KABAR_KEY"], session=session, api_version=23.0,
    verify_token=VERIFY_TOKEN, app_secret=APP_SECRET, filter_updates=False,
)
session.base_url = f"{ENV['KABAR_URL']}/v23.0"

heard, statuses, refused = [], [], []


@wa.on_message
def on_message(_, message: types.Message):
    heard.append(message)


@wa.on_message_status
def on_status(_, status: types.MessageStatus):
    statuses.append((status.id, status.status.value, status.tracker))


class Hook(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        text, code = wa.webhook_challenge_handler(asked.get("hub.verify_token"), asked.get("hub.challenge"))
        self.answer(code, text)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        wrong = wa.webhook_update_validator(body, self.headers.get("X-Hub-Signature-256"))
        if wrong:
            refused.append(wrong)
            return self.answer(wrong[1], wrong[0])
        text, code = wa.webhook_update_handler(body)
        self.answer(code, text)

    def answer(self, code, text):
        self.send_response(code)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def until(what, wanted):
    for _ in range(600):
        found = wanted()
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit(f"waited in vain for {what}: {statuses} {[m.id for m in heard]} {refused}")


def said(path, **more):
    """Ana does something on her phone."""
    order = {"phone_number_id": NUMBER, "from": ANA, "name": "Ana", **more}
    headers = {"Authorization": f"Bearer {ENV['CONTROL_TOKEN']}"}
    httpx.post(f"{ENV['SANDBOX_URL']}/_sim/{path}", json=order, headers=headers).raise_for_status()


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"
hook = {"url": url, "envelope": "meta", "verify_token": VERIFY_TOKEN, "secret": APP_SECRET}
key = {"Authorization": f"Bearer {ENV['KABAR_KEY']}"}
httpx.post(f"{ENV['KABAR_URL']}/v1/webhooks", json=hook, headers=key).raise_for_status()

# The window opens when Ana writes.
said("inbound", text="Halo!")
message = until("Ana's message", lambda: heard and heard[0])
assert (message.text, message.from_user.name) == ("Halo!", "Ana"), message
message.mark_as_read()
message.indicate_typing()

sent = {}
sent["text"] = wa.send_message(ANA, "Halo Ana", tracker="order-81", reply_to_message_id=message.id)
picture = wa.upload_media(PNG, mime_type="image/png", filename="dot.png")
sent["image by id"] = wa.send_image(ANA, picture.id, caption="one pixel")
sent["image by link"] = wa.send_image(ANA, ENV["LINK"], caption="from the web")
sent["template"] = wa.send_template(
    ANA, "hello_picture", TemplateLanguage.ENGLISH_US,
    params=[HeaderImage.params(image=picture.id), BodyText.params("Ana")],
)
sent["buttons"] = wa.send_message(ANA, "Keep it?", buttons=[Button("Keep", "keep"), Button("Move", "move")])
sent["list"] = wa.send_message(
    ANA, "Pick a slot",
    buttons=SectionList("Slots", [Section("Today", [SectionRow("09-12", "t1", "Morning"), SectionRow("12-15", "t2")])]),
)
sent["reaction"] = wa.send_reaction(ANA, "\N{THUMBS UP SIGN}", message.id)
for what, one in sent.items():
    assert one.id.startswith("wamid."), (what, one)

back = wa.get_media_url(picture.id)
assert back.mime_type == "image/png", back
assert wa.get_media_bytes(back.url) == PNG

# What Ana sends is read by the id in the webhook.
said("inbound", media={"mime_type": "image/png", "base64": base64.b64encode(PNG).decode(), "caption": "mine"})
shown = until("Ana's picture", lambda: next((m for m in heard if m.image), None))
assert (shown.caption, shown.image.mime_type) == ("mine", "image/png"), shown
assert wa.get_media_bytes(wa.get_media_url(shown.image.id).url) == PNG

until("every delivery", lambda: all(
    any(id == one.id and word in ("delivered", "read") for id, word, _ in statuses)
    for what, one in sent.items() if what != "reaction"
))
assert any(id == sent["text"].id and tag == "order-81" for id, _, tag in statuses), statuses
assert wa.delete_media(picture.id).success
assert not refused, refused
print("done", json.dumps({what: one.id for what, one in sent.items()}))
