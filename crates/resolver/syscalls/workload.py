"""The work of ordinary blocks. `derive.py` records the system calls of this program.

It starts no process, writes no file and, without `--network`, opens no internet socket, since a
block may do none of these. Every part runs alone, so that one that this Python lacks is named and
skipped. Runs on CPython 3.9 and later.
"""

import sys

PARTS = []


def part(function):
    PARTS.append(function)
    return function


# Modules that open a window or a browser, run a test suite, or end the program when imported.
NOT_IMPORTED = {"antigravity", "idlelib", "test", "this", "tkinter", "turtle", "turtledemo", "lib2to3"}
BEFORE_3_10 = """abc argparse array ast asyncio base64 binascii bisect bz2 calendar cmath codecs collections
concurrent.futures configparser contextlib contextvars copy csv ctypes curses dataclasses datetime dbm decimal difflib
dis email encodings enum fcntl fractions ftplib functools gc getpass gettext glob graphlib grp gzip hashlib heapq hmac
html http.client http.cookiejar http.server imaplib importlib inspect io ipaddress itertools json locale logging lzma
mailbox math mimetypes mmap multiprocessing netrc numbers operator optparse os pathlib pickle pkgutil platform plistlib
poplib pprint profile pwd queue quopri random re readline resource runpy sched secrets select selectors shelve shlex
shutil signal site smtplib socket socketserver sqlite3 ssl stat statistics string stringprep struct subprocess
symtable sysconfig tarfile tempfile termios textwrap threading time timeit token tokenize traceback tracemalloc types
typing unicodedata unittest urllib.request uuid venv wave weakref xml.dom.minidom xml.etree.ElementTree xml.sax
xmlrpc.client zipfile zipimport zlib zoneinfo""".split()


@part
def files():
    import glob
    import linecache
    import os
    import pathlib
    import shutil

    library = os.path.dirname(os.__file__)
    with open(os.__file__, encoding="utf-8") as text:
        text.seek(10)
        text.tell(), text.readline(), text.read(), text.isatty()
    with open(os.__file__, "rb", buffering=0) as raw:
        raw.readinto(bytearray(100)), raw.readall(), os.fstat(raw.fileno())
        os.pread(raw.fileno(), 10, 5), os.lseek(raw.fileno(), 0, os.SEEK_SET)
        os.readv(raw.fileno(), [bytearray(4), bytearray(4)])
        os.preadv(raw.fileno(), [bytearray(4)], 0)
    os.listdir(library), sorted(os.scandir(library), key=str), os.stat(library), os.lstat(library)
    next(os.walk(library)), glob.glob(library + "/json/*.py"), pathlib.Path(library).resolve()
    os.access(library, os.R_OK), os.path.realpath(sys.executable), os.getcwd(), os.fspath(library)
    os.path.exists("/nonexistent"), shutil.which("python3"), linecache.getline(os.__file__, 3)
    fd = os.open(library, os.O_RDONLY | os.O_DIRECTORY)
    os.stat("os.py", dir_fd=fd), os.listdir(fd), os.close(fd)
    sys.stdin.read()
    sys.stdout.write("words\n"), sys.stdout.flush(), sys.stderr.write("")
    reading, writing = os.pipe()
    os.writev(writing, [b"x", b"y"]), os.close(reading), os.close(writing)
    with open(os.devnull, "rb") as null:
        null.read()
    try:
        open("/etc/shadow-nonexistent").read()
    except OSError:
        pass


@part
def memory():
    import array
    import gc
    import mmap
    import tracemalloc

    grown = bytearray()
    for _ in range(200):
        grown += b"x" * 100_000
    grown.clear()
    many = [bytearray(300_000) for _ in range(40)]
    del many
    [array.array("d", [0.0]) * 1_000_000 for _ in range(3)]
    with mmap.mmap(-1, 1 << 16) as area:
        area.write(b"x" * 100)
        area.resize(1 << 17)
        if hasattr(area, "madvise"):
            area.madvise(mmap.MADV_DONTNEED)
    with open(mmap.__file__ or __file__, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as area:
        area[:10], area.find(b"x")
    tracemalloc.start(), tracemalloc.take_snapshot(), tracemalloc.stop(), gc.collect()
    try:
        bytearray(1 << 46)
    except MemoryError:
        pass


@part
def threads():
    import concurrent.futures
    import queue
    import threading
    import time

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        sum(pool.map(lambda number: sum(range(number)), range(20_000, 20_040)))
    condition, event, lines = threading.Condition(), threading.Event(), queue.Queue(2)
    barrier, semaphore = threading.Barrier(3), threading.BoundedSemaphore(2)

    def work():
        with semaphore, condition:
            condition.notify_all()
        event.wait(0.01), barrier.wait(), lines.put(threading.get_native_id())

    started = [threading.Thread(target=work, daemon=daemon) for daemon in (False, True, False)]
    for thread in started:
        thread.start()
    with condition:
        condition.wait(0.01)
    for thread in started:
        lines.get(timeout=5), thread.join()
    threading.stack_size(1 << 20)
    thread = threading.Thread(target=time.sleep, args=(0.001,), name="named by the kernel too")
    thread.start(), thread.join()
    threading.stack_size(0)
    threading.Timer(0.001, lambda: None).start()
    old = sys.getswitchinterval()
    sys.setswitchinterval(0.0001), sys.setswitchinterval(old)


@part
def asynchronous():
    import asyncio

    async def main():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.001)
        await loop.run_in_executor(None, sum, range(1000))
        await asyncio.gather(*(asyncio.sleep(0.001, number) for number in range(10)))
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        except asyncio.TimeoutError:
            pass
        loop.call_soon_threadsafe(lambda: None)
        import signal
        import socket

        loop.add_signal_handler(signal.SIGUSR1, lambda: None)
        signal.raise_signal(signal.SIGUSR1)
        await asyncio.sleep(0.001)
        loop.remove_signal_handler(signal.SIGUSR1)
        left, right = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=left)
        right.sendall(b"line\n")
        await reader.readline()
        writer.write(b"back"), await writer.drain()
        right.recv(10), right.close(), writer.close()
        left, right = socket.socketpair()
        left.setblocking(False), right.setblocking(False)
        await loop.sock_sendall(left, b"x")
        await loop.sock_recv(right, 1)
        left.close(), right.close()

    asyncio.run(main())


@part
def selecting():
    import fcntl
    import os
    import select
    import selectors
    import socket

    left, right = socket.socketpair()
    left.settimeout(1), left.send(b"x"), right.recv(1, socket.MSG_PEEK), right.recv_into(bytearray(1))
    left.sendmsg([b"a", b"b"]), right.recvmsg(10), right.send(b"y"), left.recvfrom(5)
    left.getsockname(), left.getpeername(), left.gettimeout(), left.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    left.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    with left.makefile("wb") as stream:
        stream.write(b"line\n")
    again = socket.socket(fileno=os.dup(right.fileno()))
    select.select([right], [left], [], 0.01)
    poll = select.poll()
    poll.register(right, select.POLLIN), poll.poll(1)
    with select.epoll() as epoll:
        epoll.register(right, select.EPOLLIN), epoll.poll(0.001), epoll.modify(right, 0), epoll.unregister(right)
    for kind in (selectors.DefaultSelector, selectors.PollSelector, selectors.SelectSelector):
        with kind() as selector:
            selector.register(right, selectors.EVENT_READ), selector.select(0)
    again.close(), left.shutdown(socket.SHUT_RDWR), left.close(), right.close()
    reading, writing = os.pipe()
    os.set_blocking(reading, False), os.get_blocking(reading), os.set_inheritable(writing, True)
    os.set_inheritable(writing, False), os.get_inheritable(writing), os.write(writing, b"x"), os.read(reading, 1)
    fcntl.fcntl(reading, fcntl.F_GETFD), fcntl.fcntl(reading, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    flags = fcntl.fcntl(reading, fcntl.F_GETFL)
    fcntl.fcntl(reading, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    os.close(fcntl.fcntl(reading, fcntl.F_DUPFD_CLOEXEC, 10)), os.close(os.dup(reading))
    os.dup2(reading, 30, inheritable=False), os.dup2(reading, 31), os.closerange(30, 32)
    os.pipe2(os.O_CLOEXEC), os.isatty(reading)
    if hasattr(os, "eventfd"):
        fd = os.eventfd(0)
        os.eventfd_write(fd, 1), os.eventfd_read(fd), os.close(fd)


@part
def clocks():
    import datetime
    import resource
    import time

    time.sleep(0.001), time.time(), time.monotonic(), time.perf_counter(), time.process_time(), time.thread_time()
    for name in ("CLOCK_REALTIME", "CLOCK_MONOTONIC", "CLOCK_BOOTTIME", "CLOCK_MONOTONIC_RAW", "CLOCK_TAI"):
        time.clock_gettime(getattr(time, name)), time.clock_getres(getattr(time, name))
    time.localtime(), time.strftime("%c"), time.tzset(), datetime.datetime.now().astimezone()
    resource.getrusage(resource.RUSAGE_SELF), resource.getrlimit(resource.RLIMIT_NOFILE)
    import os

    os.times(), os.cpu_count()
    try:
        import zoneinfo

        zoneinfo.ZoneInfo("Europe/Berlin")
    except Exception:
        pass


@part
def signals():
    import faulthandler
    import signal

    signal.signal(signal.SIGUSR2, lambda *_: None), signal.raise_signal(signal.SIGUSR2)
    signal.setitimer(signal.ITIMER_REAL, 100), signal.getitimer(signal.ITIMER_REAL), signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, lambda *_: None), signal.setitimer(signal.ITIMER_REAL, 0.01), signal.pause()
    signal.alarm(100), signal.alarm(0)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    import threading

    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
    signal.sigpending(), signal.sigtimedwait({signal.SIGUSR1}, 1), signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    signal.siginterrupt(signal.SIGUSR2, False)
    faulthandler.enable(file=2)
    faulthandler.dump_traceback_later(100, file=2), faulthandler.cancel_dump_traceback_later(), faulthandler.disable()


@part
def cryptography():
    import hashlib
    import hmac
    import os
    import random
    import secrets
    import ssl
    import uuid

    for name in sorted(hashlib.algorithms_available):
        try:
            hashlib.new(name, b"text")
        except (ValueError, TypeError):
            pass
    hashlib.pbkdf2_hmac("sha256", b"p", b"s", 1000), hashlib.scrypt(b"p", salt=b"s", n=1024, r=8, p=1)
    hmac.new(b"k", b"m", "sha512").hexdigest(), secrets.token_hex(16), os.urandom(8), os.getrandom(8)
    random.random(), random.SystemRandom().random(), uuid.uuid4(), uuid.uuid5(uuid.NAMESPACE_DNS, "x")
    context = ssl.create_default_context()
    context.get_ciphers(), ssl.RAND_bytes(8), ssl.get_default_verify_paths()
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(inward, outward, server_hostname="example.com").do_handshake()
    except ssl.SSLWantReadError:
        pass


@part
def data():
    import bz2
    import csv
    import decimal
    import gzip
    import io
    import json
    import locale
    import logging
    import lzma
    import mimetypes
    import pickle
    import re
    import sqlite3
    import statistics
    import tarfile
    import unicodedata
    import xml.etree.ElementTree as tree
    import zipfile
    import zlib

    json.loads(json.dumps({"key": [1, 2.5, None, "é" * 1000]})), pickle.loads(pickle.dumps([1, "x"] * 1000))
    decimal.getcontext().prec = 1000
    decimal.Decimal(2).sqrt(), statistics.mean(range(10)), re.sub(r"(\w+) \1", "x", "a a " * 1000)
    for packer in (zlib, bz2, lzma):
        packer.decompress(packer.compress(b"text" * 10_000))
    gzip.decompress(gzip.compress(b"text")), unicodedata.normalize("NFC", "e\u0301")
    with zipfile.ZipFile(io.BytesIO(), "w") as archive:
        archive.writestr("name", "text")
    with tarfile.open(fileobj=io.BytesIO(), mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("name"))
    list(csv.reader(["a,b"])), tree.fromstring("<a><b/></a>"), logging.getLogger("x").warning("words")
    base = sqlite3.connect(":memory:")
    base.execute("create table t (a, b)"), base.executemany("insert into t values (?, ?)", [(1, "x")] * 1000)
    base.execute("select sum(a) from t").fetchall(), base.close()
    locale.setlocale(locale.LC_ALL, ""), locale.localeconv()
    mimetypes.guess_type("name.txt")
    print("done", file=sys.stderr)


@part
def system():
    import getpass
    import os
    import platform
    import shutil

    os.getpid(), os.getppid(), os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups(), os.uname()
    os.getresuid(), os.getresgid(), os.sched_getaffinity(0), os.sched_yield(), os.sysconf("SC_PAGESIZE")
    os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_OPEN_MAX"), os.sysconf("SC_NPROCESSORS_ONLN")
    platform.system(), platform.machine(), platform.python_version(), platform.libc_ver(), platform.release()
    shutil.get_terminal_size()
    for what in (os.getloadavg, getpass.getuser, lambda: os.path.expanduser("~root")):
        try:
            what()
        except (OSError, KeyError, ImportError):
            pass


@part
def foreign():
    import ctypes

    libc = ctypes.CDLL(None)
    libc.getpid(), ctypes.create_string_buffer(100)
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    numbers = (ctypes.c_int * 5)(5, 1, 4, 2, 3)
    libc.qsort(numbers, 5, ctypes.sizeof(ctypes.c_int), compare(lambda a, b: a[0] - b[0]))
    assert list(numbers) == [1, 2, 3, 4, 5]


@part
def numbers():
    import io

    import numpy

    left = numpy.random.default_rng(1).random((600, 600))
    numpy.linalg.inv(left @ left), numpy.linalg.svd(left), numpy.fft.fft(left), numpy.sort(left, axis=None)
    numpy.save(io.BytesIO(), left), numpy.zeros((2000, 2000)).sum(), numpy.einsum("ij,jk", left, left)
    numpy.array(["text"] * 1000), numpy.datetime64("now")


@part
def imports():
    import importlib
    import warnings

    warnings.simplefilter("ignore")
    names = getattr(sys, "stdlib_module_names", None) or BEFORE_3_10
    for name in sorted(set(names) | set(BEFORE_3_10)):
        # Importing `_ios_support` starts a compiler, to find a library.
        if name.startswith("_") or name.split(".")[0] in NOT_IMPORTED:
            continue
        try:
            importlib.import_module(name)
        except (ImportError, OSError):
            # Some read tables of the machine, which the sandbox hides.
            pass


def network(port):
    """Work that needs `--allow-network`. A server listens on `port` of this machine."""
    import asyncio
    import socket
    import ssl

    for name in ("localhost", "keyroll.invalid"):
        try:
            socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)
        except OSError:
            pass
    with socket.create_connection(("127.0.0.1", port), 5) as connected:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connected.sendall(b"x"), connected.recv(1), connected.getpeername(), connected.getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"x", ("127.0.0.1", port)), datagrams.connect(("127.0.0.1", port))
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as six:
        six.connect_ex(("::1", port))

    async def main():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x"), await reader.read(1), writer.close()

    asyncio.run(main())
    import http.client
    import urllib.request

    for scheme in ("http", "https"):
        try:
            urllib.request.urlopen(scheme + "://127.0.0.1:%d/" % port, timeout=1).read()
        except (OSError, http.client.HTTPException):
            pass


def main():
    if "--network" in sys.argv:
        network(int(sys.argv[sys.argv.index("--network") + 1]))
        return
    for function in PARTS:
        try:
            function()
        except Exception as error:
            print("left out: %s: %s: %s" % (function.__name__, type(error).__name__, error), file=sys.stderr)


main()
