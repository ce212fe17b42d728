#!/usr/bin/env bash
# The browser tests. `--names` prints the name of each, for a run that leaves them out. Otherwise DIR holds the two
# packages that they need, exactly those that package-lock.json names.
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

if [ "${1:-}" = --names ]; then
    sed -nE 's/^test\("(.*)", async.*/test console in a browser: \1 ... ignored, it needs Chromium, Node.js and npm: just test-parts/p' \
        "$here"/*.test.mjs
    exit 0
fi

chromium="$(find_chromium)" && command -v node > /dev/null && command -v npm > /dev/null || {
    echo "the browser tests need Chromium (or KEYROLL_CHROMIUM), Node.js 18 and npm" >&2
    exit 1
}

tools="$1"
if ! cmp -s "$here/package-lock.json" "$tools/package-lock.json" || [ ! -d "$tools/node_modules" ]; then
    mkdir -p "$tools"
    cp "$here/package.json" "$here/package-lock.json" "$tools/"
    (cd "$tools" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
fi

export KEYROLL_CHROMIUM="$chromium" KEYROLL_BROWSER_TOOLS="$tools"
# Two at a time: each starts its own ledger and browser, and mostly waits.
exec node --test --test-concurrency=2 "$here"/*.test.mjs
