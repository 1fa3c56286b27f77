#!/usr/bin/env bash
# Imports two contacts, sends a template to one of them, waits until it was sent. Needs curl.
set -euo pipefail
url=${KABAR_URL:-http://127.0.0.1:8080}
call() { curl --silent --show-error --fail-with-body -H "Authorization: Bearer $KABAR_KEY" "$@"; }
field() { sed -nE "s/.*\"$1\":\"([^\"]*)\".*/\1/p" | head -n 1; }
once=$(date +%s)-$$

printf 'name,phone\nAna,+6281234567890\nBudi,+6281234567891\n' |
  call -X POST "$url/v1/contacts/import?name=sample" -H 'Content-Type: text/csv' -H "Idempotency-Key: list-$once" \
    --data-binary @- >/dev/null

message=$(call -X POST "$url/v1/messages" -H 'Content-Type: application/json' -H "Idempotency-Key: send-$once" --data "{
  \"session\": \"$KABAR_SESSION\", \"to\": \"6281234567890\", \"type\": \"template\",
  \"template\": {\"name\": \"halo\", \"language\": {\"code\": \"id\"}}}" | sed -E 's/,"status_url.*/}/' | field id)

for _ in $(seq 100); do
  status=$(call "$url/v1/messages/$message" | sed -E 's/,"timeline.*/}/' | field status)
  case $status in
    sent | delivered | read) break ;;
    failed | expired | unknown) echo "ended as $status" >&2; exit 1 ;;
  esac
  sleep 0.1
done
call "$url/v1/imports?limit=5" >/dev/null
echo "$status $message" | sed -E 's/^(delivered|read) /sent /'
