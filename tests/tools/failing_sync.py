"""Runs a program whose writes can be made to fail to reach the disk: `failing_sync.py FILE PROGRAM ARGUMENT…`.

As long as FILE exists, fsync and fdatasync of the program fail with EIO, as on a disk that does not take the bytes. If
FILE holds a text, this applies only to files with that text in their path. The program replaces this process and keeps
its pid. A helper answers for the kernel (seccomp user notification, Linux 5.5 and later, no rights needed) and ends with
the program. Ends with 77 where the kernel does not allow that.
"""

import array
import ctypes
import errno
import fcntl
import os
import platform
import select
import socket
import struct
import sys

# Numbers of this machine's system calls: seccomp, and the two that are answered.
CALLS = {"x86_64": (317, 0xC000003E, (74, 75)), "aarch64": (277, 0xC00000B7, (82, 83))}
NO_NEW_PRIVILEGES, SET_MODE_FILTER, NEW_LISTENER = 38, 1, 8
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
RECEIVE, SEND, GO_ON = 0xC0502100, 0xC0182101, 1
UNAVAILABLE = 77


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def step(code, true, false, value):
    return struct.pack("=HBBI", code, true, false, value)


def listen():
    """Installs the filter for this process and its successors. Returns the descriptor of the calls to answer."""
    seccomp, machine, calls = CALLS[platform.machine()]
    load, equal, answer = 0x20, 0x15, 0x06
    steps = [
        step(load, 0, 0, 4),
        step(equal, 1, 0, machine),
        step(answer, 0, 0, ALLOW),
        step(load, 0, 0, 0),
        step(equal, 2, 0, calls[0]),
        step(equal, 1, 0, calls[1]),
        step(answer, 0, 0, ALLOW),
        step(answer, 0, 0, NOTIFY),
    ]
    code = ctypes.create_string_buffer(b"".join(steps))
    program = Program(len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    listener = libc.syscall(seccomp, SET_MODE_FILTER, NEW_LISTENER, ctypes.byref(program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener


def fails(flag, process, descriptor):
    try:
        with open(flag) as file:
            only = file.read().strip()
        return only in os.readlink(f"/proc/{process}/fd/{descriptor}")
    except OSError:
        return False


def answer(listener, flag):
    """Answers until the program has ended."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        if any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll()):
            return
        asked = bytearray(80)
        try:
            fcntl.ioctl(listener, RECEIVE, asked)
        except OSError as error:
            # The thread that asked has ended meanwhile.
            if error.errno in (errno.ENOENT, errno.EINTR):
                continue
            raise
        number, process = struct.unpack_from("=QI", asked)
        (descriptor,) = struct.unpack_from("=Q", asked, 32)
        no = fails(flag, process, descriptor)
        said = struct.pack("=QqiI", number, 0, -errno.EIO if no else 0, 0 if no else GO_ON)
        try:
            fcntl.ioctl(listener, SEND, bytearray(said))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise


def main(flag, *program):
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        theirs.close()
        _, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4))
        if not ancillary:
            os._exit(0)
        listener = array.array("i", ancillary[0][2])[0]
        # A caller that waits for the end of the program's output must not wait for this.
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nothing, stream)
        answer(listener, flag)
        os._exit(0)
    ours.close()
    try:
        listener = listen()
    except (KeyError, OSError) as error:
        print(f"failing_sync.py: cannot be done here: {error}", file=sys.stderr)
        sys.exit(UNAVAILABLE)
    socket.send_fds(theirs, [b"!"], [listener])
    os.close(listener)
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(*sys.argv[1:])
