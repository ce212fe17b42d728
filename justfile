# Needs Rust and Python 3; nats-server is found or fetched by the recipes that run it.

set shell := ["bash", "-euo", "pipefail", "-c"]

target := env("CARGO_TARGET_DIR", justfile_directory() / "target")
# `just flags=--release test-faults` hurts the optimised program; slow to build, then much faster
flags := ""
keyroll := target / (if flags =~ "--release" { "release" } else { "debug" }) / "keyroll"
find_nats := "python3 " + quote(justfile_directory() / "tests/tools/nats-server.py")

tested := "--workspace --locked --features keyroll/failpoints"
with_programs := 'nats="$(' + find_nats + ')"; KEYROLL_NATS_BIN="$nats" KEYROLL_BIN=' + quote(keyroll + "-failpoints")
# End-to-end tests mostly wait for the programs that they run.
threads := "${RUST_TEST_THREADS:-$((2 * $(nproc)))}"

# list the recipes
default:
    @just --list

# find or fetch a nats-server and print its path
nats:
    @{{ find_nats }}

# build everything
build:
    cargo build --workspace --locked

# build the program that people run
[private]
binary:
    cargo build {{ flags }} --workspace --locked --bin keyroll

# the program that people run has no place where a test can end it
[private]
shipped: binary
    tests/tools/shipped.sh {{ quote(keyroll) }} {{ quote(keyroll + "-failpoints") }}

# the tour: a private ledger, a secret, its audit trail
demo: shipped
    nats="$({{ find_nats }})"; KEYROLL_NATS_BIN="$nats" KEYROLL_BIN={{ quote(keyroll) }} tests/demo.sh

# a private ledger in ./data, until Ctrl-C; further arguments go to `keyroll dev`
dev *args: binary
    nats="$({{ find_nats }})"; KEYROLL_NATS_BIN="$nats" {{ quote(keyroll) }} dev --data-dir data {{ args }}

# The program with the places where a test can end it, under a name of its own: all tests run it. Every recipe
# selects the whole workspace: a part of it has other features, with which cargo would build tokio and more again.
[private]
tested:
    cargo build {{ flags }} {{ tested }} --bins
    ln -f {{ quote(keyroll) }} {{ quote(keyroll + "-failpoints") }}

# the tests that need Rust and Python 3 alone; names the others. Further arguments go to `cargo test`
test *args: tested
    {{ with_programs }} RUST_TEST_THREADS="{{ threads }}" cargo test {{ flags }} {{ tested }} {{ args }}
    if [ -z "{{ args }}" ]; then tests/browser/run.sh --names; fi

# the tests that need Node.js and npm, Chromium, or large packages from PyPI
test-parts: test-browser
    {{ with_programs }} cargo test {{ flags }} {{ tested }} --test e2e -- --ignored

# the ledger is hurt under load, for 20 minutes at most: docs/reliability.md. `just test-faults crashes`
# runs a part; KEYROLL_FAULTS=long for the counts of the design, KEYROLL_FAULTS_SEED to repeat a run
test-faults part="": tested
    {{ with_programs }} KEYROLL_FAULTS="${KEYROLL_FAULTS:-bounded}" cargo test {{ flags }} {{ tested }} --test e2e -- \
        hurt::{{ part }} --nocapture --test-threads 2

# hostile bytes for every decoder, SECONDS for each and two at a time, other ones every time
fuzz seconds="60":
    KEYROLL_FUZZ_SECONDS={{ seconds }} cargo test {{ flags }} {{ tested }} --test fuzz -- --nocapture --test-threads 2

# the console in a real Chromium ($KEYROLL_CHROMIUM, else found on PATH), with Node.js and npm;
# its pictures go to target/screenshots
test-browser: tested
    {{ with_programs }} \
        KEYROLL_BENCH={{ quote(parent_directory(keyroll) / "bench") }} KEYROLL_SCREENSHOTS={{ quote(target / "screenshots") }} \
        tests/browser/run.sh {{ quote(target / "tools/browser") }}

# the pictures of docs/console.md, made anew by the tests
screenshots: test-browser
    cd {{ quote(target / "screenshots") }} && cp view-light.png view-dark.png narrow-light.png narrow-dark.png new-light.png history-light.png \
        audit-light.png audit-dark.png entry-dark.png failed-light.png offline-dark.png \
        {{ quote(justfile_directory() / "docs/console") }}

# the table of benchmarks; also writes target/bench.json
bench *args:
    cargo build --release --workspace --locked --bins
    nats="$({{ find_nats }})"; KEYROLL_NATS_BIN="$nats" KEYROLL_BIN={{ quote(target / "release" / "keyroll") }} \
        {{ quote(target / "release" / "bench") }} {{ args }}

# a golden set of this very program, in seven minutes: tests/golden/README.md says when
golden name: binary
    cargo build --workspace --locked --bin golden
    nats="$({{ find_nats }})"; KEYROLL_NATS_BIN="$nats" KEYROLL_BIN={{ quote(keyroll) }} \
        {{ quote(target / "debug/golden") }} {{ quote(justfile_directory() / "tests/golden" / name) }}

# format, lints, documentation, and dependencies where cargo-deny is installed
lint: vocabulary
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    # The libraries alone, of the whole workspace: with the features that clippy has checked dependencies with.
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --lib --no-deps --locked
    if command -v cargo-deny > /dev/null; then cargo deny --locked check; \
        else echo "cargo-deny is not installed: dependencies were not checked" >&2; fi

# names and phrases that docs/glossary.md replaced, files that are too long, paths that guides name
vocabulary:
    python3 -B tests/tools/vocabulary.py --self-test
    python3 -B tests/tools/vocabulary.py .

# what must pass before a merge: lint, every test (with all parts), five seconds of fuzz for each decoder, the tour
ci: lint
    {{ quote(just_executable()) }} test
    {{ quote(just_executable()) }} test-parts
    {{ quote(just_executable()) }} fuzz 5
    {{ quote(just_executable()) }} demo
