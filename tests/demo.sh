#!/usr/bin/env bash
# The main job from end to end, on a private nats-server that is gone afterwards.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
: "${KEYROLL_BIN:?the keyroll program}" "${KEYROLL_NATS_BIN:?the nats-server program}"
exec "$KEYROLL_BIN" dev --ephemeral --no-open -- bash "$here/demo/steps.sh"
