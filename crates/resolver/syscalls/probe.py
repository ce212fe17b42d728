"""Tests a filter on system calls without making any, each in a process of its own. For x86-64.

Standard input is JSON: `filter`, instructions as [code, jt, jf, k], and `probes`, each a number and
six arguments. Prints one word for each: allowed, EPERM, ENOSYS, or what else happened.

Below the filter lies another one, which answers every call with an errno that no kernel knows. The
filter's own errors come first, since of two errors the one of the later filter counts; what it
allows reaches the lower one and goes no further. So no call is ever carried out, whatever its
arguments are, and an error can only be a filter's. The few calls that are needed to end are let
through by a sixth argument that nothing else has.
"""

import ctypes
import gc
import json
import os
import signal
import sys

ALLOWED_ERRNO = 4095
PASS = 0x6B657972
PRCTL, EXIT_GROUP = 157, 231
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ENDS = {0: "allowed", 1: "EPERM", 2: "ENOSYS", 3: "another errno", 4: "no error", 5: "the filter cannot be installed"}
PATIENCE = 10

libc = ctypes.CDLL(None, use_errno=True)
syscall = libc.syscall
syscall.restype = ctypes.c_long


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def program(instructions):
    packed = b"".join(
        code.to_bytes(2, "little") + bytes([jt, jf]) + k.to_bytes(4, "little") for code, jt, jf, k in instructions
    )
    held = ctypes.create_string_buffer(packed, len(packed))
    return Program(len(instructions), ctypes.cast(held, ctypes.c_void_p)), held


def longs(*numbers):
    return [ctypes.c_long(number - (1 << 64) if number >> 63 else number) for number in numbers]


LOWER = program([
    (0x20, 0, 0, 16 + 8 * 5),
    (0x15, 1, 0, PASS),
    (0x06, 0, 0, 0x00050000 | ALLOWED_ERRNO),
    (0x06, 0, 0, 0x7FFF0000),
])


def child(upper, probe):
    """Never returns. All that it needs exists before the call, since it cannot even allocate memory."""
    installs = [longs(PRCTL, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(one), 0, 0, PASS)
                for one in (LOWER[0], upper[0])]
    ends = [longs(EXIT_GROUP, code, 0, 0, 0, 0, PASS) for code in range(6)]
    get, of = ctypes.get_errno, {ALLOWED_ERRNO: 0, 1: 1, 38: 2}
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    end = 5
    if syscall(*installs[0]) == 0 and syscall(*installs[1]) == 0:
        end = 4 if syscall(*probe) != -1 else of.get(get(), 3)
    syscall(*ends[end])
    ctypes.string_at(0)


def main():
    asked = json.load(sys.stdin)
    upper = program(asked["filter"])
    gc.disable()
    words = []
    for number, arguments in asked["probes"]:
        probe = longs(number, *arguments)
        pid = os.fork()
        if not pid:
            child(upper, probe)
        signal.alarm(PATIENCE)
        _, status = os.waitpid(pid, 0)
        signal.alarm(0)
        code = os.waitstatus_to_exitcode(status)
        words.append(ENDS.get(code, "ended by signal %d" % -code))
    print(json.dumps(words))


main()
