//! The sandbox of a Python block: what it forbids, what it allows, and its end.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use keyroll_tests::harness::python::install;
use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Dev, Run, programs, skipped};
use serde_json::json;

use crate::python::{file, run, run_with};

/// Each attempt with the error it raises. `OSError` is any refusal by the kernel.
const ATTEMPTS: &[&str] = &[
    "os.fork()",
    "os.posix_spawn(sys.executable, ['python3', '-c', ''], {})",
    "subprocess.run(['/bin/true'])",
    "os.execv('/bin/sh', ['sh', '-c', 'echo out'])",
    "os.execv(os.path.realpath('/bin/true'), ['true'])",
    "open('/proc/self/environ').read()",
    "open(f'/proc/{os.getppid()}/environ', 'rb').read()",
    "open(f'/proc/{os.getppid()}/mem', 'rb').read(1)",
    "os.listdir('/proc')",
    "os.listdir('/')",
    "os.listdir(os.environ.get('HOME', '/root'))",
    "open('/etc/passwd').read()",
    "open('/etc/hostname').read()",
    "open('/tmp/keyroll-block-was-here', 'w')",
    "open('/dev/shm/keyroll-block-was-here', 'w')",
    "os.mkdir('/tmp/keyroll-block-directory')",
    "os.truncate('/tmp', 0)",
    "os.chmod('/tmp', 0o777)",
    "os.utime('/tmp')",
    "os.open(os.__file__, os.O_RDONLY | os.O_TRUNC)",
    "os.symlink('/etc/passwd', '/tmp/keyroll-block-link')",
    "os.memfd_create('x')",
    "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "socket.socket(socket.AF_INET6, socket.SOCK_STREAM)",
    "socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)",
    "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
    "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "socket.create_connection(('127.0.0.1', 22), 1)",
    "os.kill(os.getppid(), 0)",
    "os.kill(os.getppid(), 9)",
    "os.kill(-1, 9)",
    "os.killpg(0, 9)",
    "fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
    "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "os.sched_setaffinity(os.getppid(), {0})",
    "resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))",
    "resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))",
    "os.chroot('/')",
    "os.setuid(0)",
    "call(101, 16, os.getppid(), 0, 0)",
    "call(310, os.getppid(), 0, 0, 0, 0, 0)",
    "call(165, b'none', b'/tmp', b'tmpfs', 0, 0)",
    "call(321, 0, 0, 0)",
    "call(250, 0, 0, 0, 0)",
    "call(425, 8, 0)",
    "call(272, 0x10000000)",
    "call(308, 0, 0)",
    "call(434, os.getppid(), 0)",
    "call(56, 0x10000011, 0, 0, 0, 0)",
    "call(56, 17, 0, 0, 0, 0)",
    "call(435, 0, 0)",
    "call(0x40000000 | 41, 2, 1, 0)",
    "call(322, 3, b'', 0, 0, 0x1000)",
    "call(298, 0, 0, -1, -1, 0)",
    "call(323, 0)",
    // Memory, messages and semaphores of others, by existing ids.
    "call(30, 0, 0, 0)",
    "call(31, 0, 2, 0)",
    "call(69, 0, 0, 0, 0)",
    "call(70, 0, 0, 0, 0, 0)",
    "call(65, 0, 0, 0)",
    "call(66, 0, 0, 13)",
    "call(241, b'name')",
    // Watching files, and their extended attributes.
    "call(254, 0, b'/', 1)",
    "call(253)",
    "os.getxattr('/usr/lib', 'user.name')",
    "os.listxattr('/usr/lib')",
    "fcntl.fcntl(os.open('/usr/lib', 0), 1026, 1)",
    "fcntl.fcntl(os.open(os.__file__, 0), 1024, 0)",
    "fcntl.lockf(open(os.__file__), fcntl.LOCK_SH)",
    "fcntl.flock(open(os.__file__), fcntl.LOCK_SH)",
    // Ties to its parent and its group.
    "os.setpgid(0, 0)",
    "os.setsid()",
    "call(157, 1, 0, 0, 0, 0)",
    "call(157, 1 | 1 << 32, 0, 0, 0, 0)",
    "call(157, 36, 1, 0, 0, 0)",
    "call(157, 0x59616d61, -1, 0, 0, 0)",
    "call(234, os.getppid(), os.getppid(), 0)",
    "call(200, os.getppid(), 0)",
    "call(129, os.getppid(), 0, 0)",
    "fcntl.fcntl(1, 10, 9)",
    "fcntl.fcntl(1, fcntl.F_SETFL, os.O_ASYNC)",
    "fcntl.ioctl(1, 0x5452, b'\\1\\0\\0\\0')",
    "socket.socket(fileno=os.dup(channel)).getsockopt(1, 17, 12)",
    "socket.socket(fileno=os.dup(channel)).getsockopt(1, 77, 4)",
    "os.getpgid(os.getppid())",
    "os.getpriority(os.PRIO_PROCESS, os.getppid())",
    "time.clock_gettime(~os.getppid() << 3 | 2)",
    // The machine's memory and disks.
    "mmap.mmap(-1, 1 << 21, flags=0x40022)",
    "mmap.mmap(-1, 1 << 16).madvise(12)",
    "call(27, 0, 0, 0)",
    "call(149, 0, 0)",
    "call(162)",
    "os.fsync(1)",
    // Calls through other entry points.
    "call(206, 1, 0)",
    "call(425, 8, 0)",
    "call(437, -100, b'/etc/passwd', b'\\0' * 24, 24)",
    "call(470, 0)",
    "call(0x40000000 | 39)",
    "socket.socketpair()[0].send(b'x', socket.MSG_OOB)",
    "open('/proc/self/mem', 'r+b')",
    "open('/proc/self/comm', 'w')",
];

#[cfg(target_arch = "x86_64")]
#[test]
fn no_attempt_to_get_out_of_the_sandbox_succeeds() {
    let dev = Dev::start();
    let attempts = serde_json::to_string(ATTEMPTS).expect("JSON");
    let code = format!(
        r"
import ctypes, fcntl, mmap, os, resource, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    args = [ctypes.c_long(one) if isinstance(one, int) else one for one in args]
    if libc.syscall(*args) < 0:
        raise OSError(ctypes.get_errno(), 'refused')
channel = next(fd for fd in range(3, 64) if os.path.exists(f'/proc/self/fd/{{fd}}'))
result = []
for attempt in {attempts}:
    try:
        eval(attempt)
        result.append('SUCCEEDED: ' + attempt)
    except (OSError, ValueError) as error:
        pass
    except BaseException as error:
        result.append(repr(error) + ': ' + attempt)
"
    );
    let report = run(&dev, &code).code(0).json();
    assert_eq!(report["result"], json!([]), "{report}");
    // The control: without the sandbox most of these attempts succeed.
    let harmless = r"
import os, socket
socket.socket(socket.AF_INET, socket.SOCK_STREAM)
socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
os.listdir('/'), os.listdir('/proc'), open('/etc/passwd').read(), os.kill(os.getppid(), 0)
child = os.fork()
if child == 0: os._exit(0)
os.waitpid(child, 0)
result = 'all of it'
";
    let report = run_with(&dev, harmless, &["--sandbox", "off"])
        .code(0)
        .stderr_has("without the sandbox")
        .json();
    assert_eq!(report["result"], "all of it", "{report}");
}

#[test]
fn what_ordinary_code_needs_works_in_the_sandbox() {
    let dev = Dev::start();
    let code = r"
import asyncio, base64, concurrent.futures, csv, datetime, decimal, email, functools, hashlib, hmac
import html, io, json, logging, math, os, random, re, ssl, statistics, sys, threading, time, uuid
import urllib.parse, xml.etree.ElementTree, zlib
async def main():
    await asyncio.sleep(0)
    return await asyncio.get_running_loop().run_in_executor(None, lambda: 41)
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    total = sum(pool.map(lambda x: x * x, range(10)))
result = {
    'async': asyncio.run(main()), 'threads': total,
    'hash': hashlib.sha256(b'').hexdigest()[:8], 'tls': ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED,
    'uuid': len(str(uuid.uuid4())), 'env': {k: v for k, v in os.environ.items() if not k.startswith('LC_')},
    'argv': sys.argv, 'stdin': sys.stdin.read(), 'cwd': os.getcwd(), 'root': os.getuid() == 0,
    'fds': len([n for n in range(64) if n > 2 and os.path.exists(f'/dev/fd/{n}')]),
    'main': __name__,
}
";
    let report = run(&dev, code).code(0).json();
    // The one file besides the standard three is the channel.
    let expected = json!({
        "async": 41, "threads": 285, "hash": "e3b0c442", "tls": true, "uuid": 36, "env": {},
        "argv": [""], "stdin": "", "cwd": "/", "root": false, "fds": 1, "main": "__main__",
    });
    assert_eq!(report["result"], expected, "{report}");
}

/// Every call that the list does not allow, really made in a real block.
#[cfg(target_arch = "x86_64")]
#[test]
fn no_call_outside_the_list_gets_through() {
    let table = include_str!("../../../crates/resolver/syscalls/x86_64.tsv");
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    let rows: BTreeMap<u32, &str> = rows
        .map(|line| {
            let (number, rest) = line.split_once('\t').expect("columns");
            let (_, outcome) = rest.split_once('\t').expect("three of them");
            (number.parse().expect("a number"), outcome)
        })
        .collect();
    // Without arguments, the calls that are refused only in some cases would have an effect.
    let answered = |number: &u32| match rows.get(number) {
        Some(&"refused" | &"network") => Some(1),
        Some(&"unknown") | None => Some(38),
        _ => None,
    };
    let expected: BTreeMap<u32, i32> = (0..600)
        .chain([1023, 0x4000_0000, 0x4000_0027, 0x4000_0209])
        .filter_map(|number| Some((number, answered(&number)?)))
        .collect();
    assert!(expected.len() > 400, "{expected:?}");
    let code = format!(
        r"
import ctypes, json
libc = ctypes.CDLL(None, use_errno=True)
expected, result = json.loads({:?}), []
for number, errno in expected.items():
    done = libc.syscall(ctypes.c_long(int(number)), *[ctypes.c_long(0)] * 6)
    if done != -1 or ctypes.get_errno() != errno:
        result.append([number, done, ctypes.get_errno()])
",
        serde_json::to_string(&expected).expect("JSON")
    );
    let dev = Dev::start();
    let report = run(&dev, &code).code(0).json();
    assert_eq!(report["result"], json!([]), "{report}");
}

/// Calls by the different numbers of 32-bit programs.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_block_that_calls_as_another_kind_of_program_is_ended() {
    let code = r"
import ctypes, mmap
area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
area.write(bytes.fromhex('b814000000cd80c3'))  # mov eax, 20; int 0x80; ret
address = ctypes.addressof(ctypes.c_char.from_buffer(area))
result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
";
    let dev = Dev::start();
    let report = run(&dev, code).code(1).json();
    let stderr = report["stderr"].as_str().expect("text");
    assert!(stderr.contains("signal"), "{stderr}");
}

/// The program that the list was derived from, in the sandbox that uses the list.
fn workload(dev: &Dev, more: &[&str]) -> String {
    let code = include_str!("../../../crates/resolver/syscalls/workload.py");
    let report = run_with(dev, code, more).code(0).json();
    let stderr = report["stderr"].as_str().expect("text");
    assert!(stderr.contains("done"), "{stderr}");
    let left_out = stderr.lines().filter(|line| line.starts_with("left out"));
    left_out.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_the_list_was_derived_from_runs_in_the_sandbox() {
    let dev = Dev::start();
    let left_out = workload(&dev, &[]);
    // This Python may lack numpy, but nothing else.
    let numpy = left_out.contains("ModuleNotFoundError: No module named 'numpy'");
    assert!(
        left_out.is_empty() || numpy && left_out.lines().count() == 1,
        "{left_out}"
    );
}

#[test]
#[ignore = "it needs a large package from PyPI: just test-parts"]
fn numpy_computes_in_the_sandbox() {
    // Every user may read it, because the sandbox's user is unprivileged.
    let home = tempfile::tempdir().expect("a directory");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(home.path(), open).expect("its mode");
    let of_the_system = Path::new("/usr/bin/python3");
    let base = if of_the_system.exists() {
        of_the_system
    } else {
        Path::new("python3")
    };
    let venv = home.path().join("venv");
    let own = venv.join("bin/python3");
    let must = |command: &mut Command| {
        let output = command.stdin(Stdio::null()).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command:?}\n{said}");
    };
    must(
        Command::new(base)
            .args(["-m", "venv", "--without-pip"])
            .arg(&venv),
    );
    install(&own, ["numpy"]);
    let dev = Dev::start();
    let own = own.to_str().expect("a path");
    assert_eq!(workload(&dev, &["--python", own]), "");
}

/// It leaves its process group, closes all its files and does nothing: neither its silence nor its
/// group decides when it ends.
#[test]
fn a_block_that_hides_is_ended_all_the_same() {
    let dev = Dev::start();
    let hides = r"
import os, time
for leave in (os.setsid, lambda: os.setpgid(0, os.getpgid(os.getppid()))):
    try:
        leave()
    except OSError:
        pass
for fd in range(64):
    try:
        os.close(fd)
    except OSError:
        pass
time.sleep(1000)
";
    for more in [&[][..], &["--sandbox", "off"]] {
        let report = run_with(&dev, hides, more).code(1).json();
        let stderr = report["stderr"].as_str().expect("text");
        assert!(stderr.contains("without a result"), "{stderr}");
    }
    // If it keeps the channel, the timeout ends it: stopped, or without its first thread, which
    // others see as the process.
    for code in [
        "import signal\nsignal.raise_signal(signal.SIGSTOP)",
        "import ctypes, threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\nctypes.CDLL(None).syscall(60, 0)",
    ] {
        run_with(&dev, code, &["--timeout", "2s"])
            .code(1)
            .error_code("timeout");
    }
    // Without a sandbox it can leave a process that holds its outputs open.
    let leaves = r"
import os, time
print('before', flush=True)
if os.fork() == 0:
    os.setsid()
    time.sleep(60)
    os._exit(0)
result = 'all of it'
";
    let report = run_with(&dev, leaves, &["--sandbox", "off", "--timeout", "20s"])
        .code(0)
        .json();
    assert_eq!(
        (&report["result"], &report["output"]),
        (&json!("all of it"), &json!("before\n"))
    );
}

/// Whether any thread of a process runs.
fn runs(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    threads.into_iter().flatten().flatten().any(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name before it may contain anything.
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
        state.is_some_and(|rest| !rest.starts_with(['Z', 'X']))
    })
}

/// The children of a process that still run.
fn children(parent: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").expect("processes").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let of = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after = stat.rsplit_once(") ").map(|(_, rest)| rest);
        let found = after.and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        found == Some(parent) && runs(*pid)
    };
    pids.filter(of).collect()
}

#[test]
fn a_block_does_not_outlive_a_killed_parent() {
    let dev = Dev::start();
    dev.create("Token", "token-value");
    let begins = r"
import ctypes, os, threading, time
libc = ctypes.CDLL(None)
libc.prctl(1, 0, 0, 0, 0)
threading.Thread(target=time.sleep, args=(1000,)).start()
for fd in range(3, 64):
    try:
        os.set_inheritable(fd, True)
    except OSError:
        pass
secrets.Token
for fd in range(3):
    os.close(fd)
";
    let read = |pid: u32, name| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
    for ends in [
        "time.sleep(1000)",
        // The same interpreter again, in its place.
        "os.execv('/proc/self/exe', ['python3', '-I', '-c', 'import time; time.sleep(1000)'])",
        // The first thread, which others see as the process, and which the tie to the parent was
        // made for.
        "libc.syscall(60, 0)",
    ] {
        let before = dev.audit().len();
        let path = file(&dev, &format!("{begins}{ends}"));
        let running = dev
            .keyroll(["block", "run", &path, "--timeout", "10m"])
            .start();
        until("the block asks", || {
            (dev.audit().len() > before).then_some(())
        });
        let block = children(running.pid());
        assert_eq!(block.len(), 1, "{block:?}");
        until("the block has done it", || {
            let words = read(block[0], "cmdline").ok()?;
            let state = read(block[0], "stat").ok()?;
            let done = match ends {
                _ if ends.contains("execv") => words.contains("import time"),
                _ if ends.contains("syscall") => state.contains(") Z "),
                _ => true,
            };
            done.then_some(())
        });
        let pid = nix::unistd::Pid::from_raw(i32::try_from(running.pid()).expect("a pid"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("killed");
        until("the block ends", || (!runs(block[0])).then_some(()));
    }
}

/// A block of root runs as another user, whose processes not every root may end.
#[test]
fn a_root_that_could_not_end_a_block_starts_none() {
    if !nix::unistd::geteuid().is_root() {
        skipped("it needs root, whose blocks alone run as another user");
        return;
    }
    let dev = Dev::start();
    let path = file(&dev, "result = 1");
    let words = ["--bounding-set", "-kill", "--inh-caps", "-kill", "--"];
    Run::program("setpriv", "setpriv")
        .args(words)
        .arg(programs::keyroll())
        .args(["block", "run", &path])
        .env("KEYROLL_HOME", dev.home().data())
        .run()
        .code(1)
        .error_code("sandbox_unavailable")
        .stderr_has("CAP_KILL");
}
