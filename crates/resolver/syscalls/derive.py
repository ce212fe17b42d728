"""Lists the system calls that CPython and numpy make: `python3 derive.py PYTHON... > observed.txt`.

Runs `workload.py` with each interpreter under strace, and once more with `--network`. Prints one
line per call, with the arguments where one number is several calls, and the interpreters that make
it. The list in `src/python/syscalls/list.rs` allows what is found here, and nothing that is not
either found here or given a reason there; a test compares the two.

Needs strace. An interpreter that has numpy shows numpy's calls too.
"""

import collections
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))

# The arguments, from zero, that decide what such a call does.
TELLING = {
    "arch_prctl": [0], "clone": ["flags="], "fcntl": [1], "futex": [1], "getsockopt": [1, 2], "ioctl": [1],
    "madvise": [2], "membarrier": [0], "mmap": [3], "openat": [2], "open": [1], "prctl": [0], "prlimit64": [0, 2],
    "setsockopt": [1, 2], "socket": [0, 1, 2], "socketpair": [0, 1, 2], "clock_gettime": [0], "clock_nanosleep": [0],
    "clock_getres": [0], "eventfd2": [1], "mremap": [3], "sendto": [3], "recvfrom": [3], "sendmsg": [2], "recvmsg": [2],
    "sendmmsg": [3],
}
STARTED = re.compile(r"^(\d+) +(\w+)\((.*)$")
RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>,? ?(.*)$")
UNFINISHED = " <unfinished ...>"


def arguments(text):
    """The arguments of a line, split at commas outside brackets and strings."""
    parts, depth, quoted, now = [], 0, False, ""
    at = 0
    while at < len(text):
        char = text[at]
        if quoted:
            now += char
            if char == "\\":
                at += 1
                now += text[at:at + 1]
            elif char == '"':
                quoted = False
        elif char == '"':
            quoted = True
            now += char
        elif char in "([{":
            depth += 1
            now += char
        elif char in ")]}":
            if not depth:
                break
            depth -= 1
            now += char
        elif char == "," and not depth:
            parts.append(now.strip())
            now = ""
        else:
            now += char
        at += 1
    parts.append(now.strip())
    return parts


def telling(name, text, pid):
    found = []
    parts = arguments(text)
    for which in TELLING.get(name, []):
        if isinstance(which, str):
            found += [part[len(which):] for part in parts if part.startswith(which)]
        elif which < len(parts):
            found.append(parts[which])
    if name == "prlimit64":
        found = ["0 or its own id" if found[0] in ("0", pid) else found[0], found[1]]
    if name in ("fcntl", "ioctl") and "SETFL" in found[0]:
        found.append(parts[2])
    return " ".join(found)


def joined(lines):
    """Process, name and arguments of every call, also if a call of another thread interrupts it."""
    begun = {}
    for line in lines:
        line = line.rstrip("\n")
        started, resumed = STARTED.match(line), RESUMED.match(line)
        if started and line.endswith(UNFINISHED):
            begun[started[1]] = (started[2], started[3][:-len(UNFINISHED)])
        elif started:
            yield started.groups()
        elif resumed and resumed[1] in begun:
            name, text = begun.pop(resumed[1])
            separator = "" if not text or text.endswith(("(", " ")) else ", "
            yield resumed[1], name, text + separator + resumed[2]
    for pid, (name, text) in begun.items():
        yield pid, name, text


def record(python, more):
    """Every call that a run makes, once."""
    with tempfile.TemporaryDirectory() as directory:
        log = os.path.join(directory, "log")
        words = ["strace", "-f", "-qq", "-s", "0", "-o", log, python, "-I", "-B", "-X", "utf8"]
        environment = {"LC_ALL": "C.UTF-8"}
        done = subprocess.run(words + [os.path.join(HERE, "workload.py")] + more, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        if done.returncode:
            sys.exit("%s: the workload failed:\n%s" % (python, done.stderr.decode()))
        left_out = [line for line in done.stderr.decode().splitlines() if line.startswith("left out")]
        with open(log, encoding="utf-8", errors="replace") as lines:
            calls = {(name + " " + telling(name, text, pid)).strip() for pid, name, text in joined(lines)}
        return calls, left_out


def server():
    """Echoes what each connection sends."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connected, _ = listener.accept()
                with connected:
                    connected.sendall(connected.recv(1) or b"-")
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def main():
    if len(sys.argv) < 2 or not shutil.which("strace"):
        sys.exit(__doc__)
    port = server()
    found = collections.defaultdict(lambda: collections.defaultdict(set))
    describe = ("import platform, sys\ntry:\n import numpy\n n = ' numpy ' + numpy.__version__\nexcept ImportError:\n n = ''\n"
                "print('CPython', platform.python_version() + n, '(' + platform.libc_ver()[0], platform.libc_ver()[1] + ')')")
    versions = []
    for python in sys.argv[1:]:
        named = subprocess.run([python, "-I", "-c", describe], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
        short = named.split()[1]
        while any(short == known for known, _ in versions):
            short += "'"
        versions.append((short, named))
        for kind, more in (("", []), ("network", ["--network", str(port)])):
            calls, left_out = record(python, more)
            print("%s %s: %d calls %s" % (named, kind, len(calls), left_out), file=sys.stderr)
            for call in calls:
                found[kind][call].add(short)
    print("# Made by derive.py. Call, telling arguments, and which of these make it:")
    for short, named in versions:
        print("# %s: %s" % (short, named))
    for kind, title in (("", "Without network"), ("network", "With network only")):
        print("\n[%s]" % title)
        for call in sorted(found[kind]):
            if kind and call in found[""]:
                continue
            makers = found[kind][call]
            everybody = len(makers) == len(versions)
            print("%s\t%s" % (call, "all" if everybody else " ".join(sorted(makers))))


main()
