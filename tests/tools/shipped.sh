#!/usr/bin/env bash
# Checks that the program for people has neither failpoints nor a clock that a test can set. The second
# program has both, if it exists: it shows that the search finds them.
set -euo pipefail

shipped="$1"
tested="$2"

for mark in KEYROLL_FAILPOINT KEYROLL_CLOCK_OFFSET_FILE failpoint:writer.appended; do
    if grep -qF "$mark" "$shipped"; then
        echo "$shipped contains $mark: build it without the feature failpoints" >&2
        exit 1
    fi
    if [ -e "$tested" ] && ! grep -qF "$mark" "$tested"; then
        echo "$tested does not contain $mark: the check would find it nowhere" >&2
        exit 1
    fi
done
