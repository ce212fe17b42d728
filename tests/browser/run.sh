#!/usr/bin/env bash
# The browser tests. `--can`: only say whether they could run here. Otherwise DIR is where the two
# packages that they need are kept, exactly those that package-lock.json names.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"

find_chromium() {
    if [ -n "${KEYROLL_CHROMIUM:-}" ]; then
        echo "$KEYROLL_CHROMIUM"
        return
    fi
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if command -v "$name"; then return; fi
    done
    return 1
}

chromium="$(find_chromium)" && command -v node > /dev/null && command -v npm > /dev/null || {
    [ "${1:-}" = --can ] || echo "the browser tests need Chromium (or KEYROLL_CHROMIUM), Node.js 18 and npm" >&2
    exit 1
}
if [ "${1:-}" = --can ]; then exit 0; fi

tools="$1"
if ! cmp -s "$here/package-lock.json" "$tools/package-lock.json" || [ ! -d "$tools/node_modules" ]; then
    mkdir -p "$tools"
    cp "$here/package.json" "$here/package-lock.json" "$tools/"
    (cd "$tools" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
fi

export KEYROLL_CHROMIUM="$chromium" KEYROLL_BROWSER_TOOLS="$tools"
# One after the other: each starts a ledger and a browser of its own.
exec node --test --test-concurrency=1 "$here"/*.test.mjs
