#!/usr/bin/env bash
# The steps of the demo. Runs inside `keyroll dev -- …`, which sets the address of the ledger.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
keyroll="$KEYROLL_BIN"
work="$(mktemp -d)"
server=""
finish() {
    [ -z "$server" ] || kill "$server" 2> /dev/null || true
    rm -rf "$work"
}
trap finish EXIT

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() {
    printf '$ keyroll %s\n' "$*"
    "$keyroll" "$@"
}
# Fails the demo unless $1 is $2.
expect() {
    [ "$1" = "$2" ] || {
        printf 'expected %s, got %s\n' "$2" "$1" >&2
        exit 1
    }
}

step "Create two secrets: values come from stdin, never from the command line"
printf 'crm-token-one' | show secret create CRM_Token --stdin --description "the CRM's token"
printf 'api-key-one' | show secret create API_Key --stdin

step "Edit one: a new version, current at once"
printf 'api-key-two' | show secret edit API_Key --stdin
show secret list

step "Reveal it: the entry is durable before the value leaves"
value="$("$keyroll" secret reveal API_Key --reason 'the demo')"
expect "$value" "api-key-two"
echo "API_Key is $value"

step "Run an External API block that uses both by name"
python3 "$here/echo.py" "$work/port" "$work/seen" &
server=$!
for _ in $(seq 100); do [ -s "$work/port" ] && break || sleep 0.1; done
cat > "$work/block.json" << BLOCK
{"workflow": "invoice-intake",
 "blocks": [{"name": "push-invoice", "type": "external_api", "method": "POST",
   "url": "http://127.0.0.1:$(cat "$work/port")/v1/invoices",
   "auth": {"type": "bearer", "token": "{{secrets.CRM_Token}}"},
   "headers": {"X-Api-Key": "{{secrets.API_Key}}"},
   "body": {"json": {"account": "{{secrets.API_Key}}"}}}]}
BLOCK
run() {
    show block run "$work/block.json" --allow-address 127.0.0.0/8 --allow-http 127.0.0.1 && echo
}
run
expect "$(tail -n 1 "$work/seen")" "Bearer crm-token-one api-key-two"
echo "(the server saw the values; what came back is masked)"

step "Rotate the token; the same block uses the new value"
printf 'crm-token-two' | show secret edit CRM_Token --stdin
run
expect "$(tail -n 1 "$work/seen")" "Bearer crm-token-two api-key-two"

step "Delete a secret: the block cannot have it, its history stays"
show secret delete CRM_Token --yes
if run; then exit 1; fi
show secret history CRM_Token

step "Who did what: every act is an entry"
show audit log

step "Verify the whole log: every signature, index and root, and every command decided again"
show audit verify --full

step "Drop the read model and build it again from the log"
show projection rebuild

step "Hand the log to an auditor, who needs no ledger to check it"
show audit export --out "$work/log.bundle"
"$keyroll" audit key > "$work/key"
show audit verify --bundle "$work/log.bundle" --key "$(cat "$work/key")"

step "Change one byte of it"
python3 - "$work/log.bundle" << 'CHANGE'
import sys

with open(sys.argv[1], "r+b") as bundle:
    data = bytearray(bundle.read())
    data[len(data) * 2 // 3] ^= 1
    bundle.seek(0)
    bundle.write(data)
CHANGE
status=0
show audit verify --bundle "$work/log.bundle" --key "$(cat "$work/key")" || status=$?
expect "$status" 6
echo
echo "The demo is done: verification found the changed byte (exit 6)."
