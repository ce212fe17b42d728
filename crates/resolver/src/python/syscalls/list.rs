//! The system calls that a block may make.
//!
//! What a call is here for: CPython or numpy makes it (`syscalls/observed.txt` of this crate, which
//! `syscalls/derive.py` makes anew), or a reason stands beside it. A call that reaches another
//! process, a file's contents or attributes, another namespace or the machine is not here, whatever
//! asks for it; nor is one whose arguments lie behind a pointer, which no filter can read.

use std::ops::RangeInclusive;

use super::bpf::{Arch, Case, Check};
use Check::{Aside, Is, Only, Own, Short, UpTo, Without};

/// A system call that may be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    #[cfg_attr(not(test), expect(dead_code, reason = "for people and tests"))]
    pub(super) name: &'static str,
    x86_64: Option<u32>,
    aarch64: Option<u32>,
    /// When it may be made: in any of these cases.
    pub(super) cases: &'static [Case],
    /// Further cases for a block that may use the network.
    pub(super) network: &'static [Case],
    /// Further cases where Landlock keeps files from being emptied.
    pub(super) truncation: &'static [Case],
    /// Why it is here although no interpreter was seen to make it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for people and tests"))]
    pub(super) reason: Option<&'static str>,
}

impl Call {
    pub(super) fn number(&self, arch: Arch) -> Option<u32> {
        match arch {
            Arch::X86_64 => self.x86_64,
            Arch::Aarch64 => self.aarch64,
        }
    }

    const fn when(self, cases: &'static [Case]) -> Self {
        Self { cases, ..self }
    }

    const fn with_network(self, network: &'static [Case]) -> Self {
        Self { network, ..self }
    }

    const fn truncating(self, truncation: &'static [Case]) -> Self {
        Self { truncation, ..self }
    }

    const fn since(self, reason: &'static str) -> Self {
        let reason = Some(reason);
        Self { reason, ..self }
    }
}

/// Whatever the arguments are.
const ALWAYS: &[Case] = &[&[]];
const NEVER: &[Case] = &[];

const fn call(name: &'static str, x86_64: Option<u32>, aarch64: Option<u32>) -> Call {
    Call {
        name,
        x86_64,
        aarch64,
        cases: ALWAYS,
        network: NEVER,
        truncation: NEVER,
        reason: None,
    }
}

/// A call of both architectures, with its numbers.
const fn both(name: &'static str, x86_64: u32, aarch64: u32) -> Call {
    call(name, Some(x86_64), Some(aarch64))
}

/// A call that later architectures left out.
const fn x86(name: &'static str, number: u32) -> Call {
    call(name, Some(number), None)
}

const OTHER_LIBC: &str = "what other versions of the C library, or other ones, call for the same";
const NO_VDSO: &str = "a clock that this machine has no short way to";
const DIRECTORY: &str = "the form of it that takes a directory's descriptor";

const MSG_OOB: u32 = 1;
const O_TRUNC: u32 = 0o1000;
const O_ASYNC: u32 = 0o2_0000;
/// The bit of it that no other flag has.
const O_TMPFILE: u32 = 0o2000_0000;

/// The clocks of the system. A clock of a process has a negative number.
const CLOCK: Check = UpTo(0, 11);

/// The kinds of futex operations but for those on locks that the kernel hands over.
const FUTEX: &[u32] = &[0, 1, 3, 4, 5, 9, 10];
/// `FUTEX_PRIVATE_FLAG` and `FUTEX_CLOCK_REALTIME`.
const FUTEX_FLAGS: u32 = 128 | 256;

/// What `pthread_create` of glibc asks for, and of musl.
const THREAD: &[u32] = &[0x003d_0f00, 0x007d_0f00];

/// `MAP_SHARED`, `_PRIVATE`, `_DROPPABLE`, `_FIXED`, `_ANONYMOUS`, `_DENYWRITE`, `_EXECUTABLE`,
/// `_NORESERVE`, `_POPULATE`, `_STACK` and `_FIXED_NOREPLACE`: neither the machine's huge pages, nor
/// pages that stay in memory, nor an area that grows.
const MAP: u32 =
    0x01 | 0x02 | 0x08 | 0x10 | 0x20 | 0x800 | 0x1000 | 0x4000 | 0x8000 | 0x2_0000 | 0x10_0000;

/// How memory will be used; `MADV_MERGEABLE`, `MADV_HWPOISON` and the like are not among them.
const ADVICE: &[u32] = &[
    0, 1, 2, 3, 4, 8, // NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE
    10, 11, 14, 15, // DONTFORK, DOFORK, HUGEPAGE, NOHUGEPAGE
    16, 17, 18, 102, 103, // DONTDUMP, DODUMP, WIPEONFORK, GUARD_INSTALL, GUARD_REMOVE
];

/// `F_DUPFD`, `F_GETFD`, `F_SETFD`, `F_GETFL`, `F_DUPFD_CLOEXEC`.
const FCNTL: &[u32] = &[0, 1, 2, 3, 1030];
const F_SETFL: &[u32] = &[4];

/// `TCGETS` and `TCGETS2`, `TIOCGWINSZ`, `FIONREAD`, `FIONBIO`, `FIONCLEX`, `FIOCLEX`.
const IOCTL: &[u32] = &[0x5401, 0x802c_542a, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451];

const SOL_IP: &[u32] = &[0];
const SOL_SOCKET: &[u32] = &[1];
const SOL_TCP: &[u32] = &[6];
const SOL_IPV6: &[u32] = &[41];
/// `SO_TYPE`, `SO_ERROR`, `SO_SNDBUF`, `SO_RCVBUF`, `SO_PROTOCOL`, `SO_DOMAIN`.
const SO_GET: &[u32] = &[3, 4, 7, 8, 38, 39];
/// `SO_REUSEADDR`, `SO_SNDBUF`, `SO_RCVBUF`, `SO_KEEPALIVE`, `SO_LINGER`, `SO_RCVTIMEO`,
/// `SO_SNDTIMEO`.
const SO_NETWORK: &[u32] = &[2, 7, 8, 9, 13, 20, 21];
/// `TCP_NODELAY`, `TCP_MAXSEG`, `TCP_KEEPIDLE`, `TCP_KEEPINTVL`, `TCP_KEEPCNT`,
/// `TCP_USER_TIMEOUT`.
const TCP: &[u32] = &[1, 2, 4, 5, 6, 18];
/// `IP_TOS`, `IP_TTL`, `IP_MTU_DISCOVER`, `IP_RECVERR`.
const IP: &[u32] = &[1, 2, 10, 11];
/// `IPV6_UNICAST_HOPS`, `IPV6_MTU_DISCOVER`, `IPV6_RECVERR`, `IPV6_V6ONLY`, `IPV6_TCLASS`.
const IPV6: &[u32] = &[16, 23, 25, 26, 67];
const OPTIONS: &[Case] = &[
    &[Is(1, SOL_SOCKET), Is(2, SO_NETWORK)],
    &[Is(1, SOL_TCP), Is(2, TCP)],
    &[Is(1, SOL_IP), Is(2, IP)],
    &[Is(1, SOL_IPV6), Is(2, IPV6)],
];

/// A stream or datagrams, `SOCK_CLOEXEC` and `SOCK_NONBLOCK` aside.
const SOCKET_FLAGS: u32 = 0o200_0000 | 0o4000;
const AF_UNIX: &[u32] = &[1];
const AF_INET: &[u32] = &[2, 10];
/// The kind, and the protocol that it has by itself.
const INTERNET: &[Case] = &[
    &[Is(0, AF_INET), Aside(1, SOCKET_FLAGS, &[1]), Is(2, &[0, 6])],
    &[
        Is(0, AF_INET),
        Aside(1, SOCKET_FLAGS, &[2]),
        Is(2, &[0, 17]),
    ],
];

/// Every call that a block may make.
pub(super) const ALLOWED: &[Call] = &[
    // Reading files, as far as Landlock lets it, and what is open already.
    both("read", 0, 63),
    both("readv", 19, 65),
    both("pread64", 17, 67),
    // No flags: one of them tells which files are in memory, and so what others have read.
    both("preadv2", 327, 286).when(&[&[Is(5, &[0])]]),
    both("write", 1, 64),
    both("writev", 20, 66),
    both("lseek", 8, 62),
    both("close", 3, 57),
    // `CLOSE_RANGE_CLOEXEC` at most, and not a table of files of its own.
    both("close_range", 436, 436).when(&[&[Only(2, 4)]]),
    x86("open", 2)
        .when(&[&[Without(1, O_TRUNC | O_TMPFILE)]])
        .truncating(&[&[Without(1, O_TMPFILE)]]),
    both("openat", 257, 56)
        .when(&[&[Without(2, O_TRUNC | O_TMPFILE)]])
        .truncating(&[&[Without(2, O_TMPFILE)]]),
    both("fstat", 5, 80),
    both("newfstatat", 262, 79),
    x86("stat", 4).since(OTHER_LIBC),
    x86("lstat", 6).since(OTHER_LIBC),
    both("statx", 332, 291).since(OTHER_LIBC),
    x86("access", 21),
    both("faccessat", 269, 48).since(DIRECTORY),
    both("faccessat2", 439, 439).since(DIRECTORY),
    x86("readlink", 89),
    both("readlinkat", 267, 78).since(DIRECTORY),
    both("getdents64", 217, 61),
    both("getcwd", 79, 17),
    both("dup", 32, 23),
    x86("dup2", 33),
    both("dup3", 292, 24),
    both("fcntl", 72, 25).when(&[&[Is(1, FCNTL)], &[Is(1, F_SETFL), Without(2, O_ASYNC)]]),
    both("ioctl", 16, 29).when(&[&[Is(1, IOCTL)]]),
    // Waiting for them.
    x86("poll", 7),
    both("ppoll", 271, 73).since(OTHER_LIBC),
    x86("select", 23).since(OTHER_LIBC),
    both("pselect6", 270, 72),
    both("epoll_create1", 291, 20),
    both("epoll_ctl", 233, 21),
    x86("epoll_wait", 232),
    both("epoll_pwait", 281, 22).since(OTHER_LIBC),
    both("eventfd2", 290, 19),
    // For bytes, and not for what the kernel has to tell of others' keys.
    both("pipe2", 293, 59).when(&[&[Only(1, SOCKET_FLAGS)]]),
    x86("pipe", 22).since(OTHER_LIBC),
    // Memory.
    both("mmap", 9, 222).when(&[&[Short(3), Only(3, MAP)]]),
    both("munmap", 11, 215),
    // `MREMAP_MAYMOVE` and `MREMAP_FIXED`.
    both("mremap", 25, 216).when(&[&[Short(3), Only(3, 3)]]),
    both("mprotect", 10, 226),
    both("madvise", 28, 233).when(&[&[Is(2, ADVICE)]]),
    both("brk", 12, 214),
    // Threads. `clone3` has its arguments behind a pointer; libraries take this one in its absence.
    both("clone", 56, 220)
        .when(&[&[Short(0), Is(0, THREAD)]])
        .since("how a thread is started where there is no clone3"),
    both("set_tid_address", 218, 96),
    both("set_robust_list", 273, 99),
    both("rseq", 334, 293),
    both("futex", 202, 98).when(&[&[Aside(1, FUTEX_FLAGS, FUTEX)]]),
    // `MEMBARRIER_CMD_QUERY`, and the two for this process alone.
    both("membarrier", 324, 283)
        .when(&[&[Is(0, &[0, 8, 16])]])
        .since("how musl loads a library while threads run"),
    both("sched_yield", 24, 124),
    // Which processors there are. glibc also asks for each thread's own, by ids no filter can know.
    both("sched_getaffinity", 204, 123),
    // `ARCH_SET_FS`: where a thread's own memory is.
    x86("arch_prctl", 158).when(&[&[Is(0, &[0x1002])]]),
    // `PR_SET_NAME` and `PR_GET_NAME`.
    both("prctl", 157, 167)
        .when(&[&[Is(0, &[15, 16])]])
        .since("the name of a thread, which Python 3.14 and libraries set"),
    both("exit", 60, 93),
    both("exit_group", 231, 94),
    // Signals to itself. `tgkill` names the process, unlike `kill` for a group and `tkill`.
    both("rt_sigaction", 13, 134),
    both("rt_sigprocmask", 14, 135),
    both("rt_sigreturn", 15, 139),
    both("rt_sigpending", 127, 136),
    both("rt_sigtimedwait", 128, 137),
    both("rt_sigsuspend", 130, 133).since("`sigsuspend`, and `pause` where it is no call"),
    both("sigaltstack", 131, 132),
    both("tgkill", 234, 131).when(&[&[Own(0)]]),
    x86("pause", 34),
    x86("alarm", 37),
    both("setitimer", 38, 103),
    both("getitimer", 36, 102),
    both("restart_syscall", 219, 128).since("what the kernel goes on with after a stop"),
    // Clocks.
    both("clock_gettime", 228, 113).when(&[&[CLOCK]]),
    both("clock_getres", 229, 114)
        .when(&[&[CLOCK]])
        .since(NO_VDSO),
    both("clock_nanosleep", 230, 115).when(&[&[CLOCK]]),
    both("nanosleep", 35, 101).since(OTHER_LIBC),
    both("gettimeofday", 96, 169).since(NO_VDSO),
    x86("time", 201).since(NO_VDSO),
    both("times", 100, 153),
    // What it is and has.
    both("getpid", 39, 172),
    both("gettid", 186, 178),
    both("getppid", 110, 173),
    both("getuid", 102, 174),
    both("geteuid", 107, 175),
    both("getgid", 104, 176),
    both("getegid", 108, 177),
    both("getgroups", 115, 158),
    both("getresuid", 118, 148),
    both("getresgid", 120, 150),
    both("getrusage", 98, 165),
    // Its own limits, and no new ones.
    both("prlimit64", 302, 261).when(&[
        &[Is(0, &[0]), Short(2), Is(2, &[0])],
        &[Own(0), Short(2), Is(2, &[0])],
    ]),
    both("sysinfo", 99, 179),
    both("uname", 63, 160),
    both("getrandom", 318, 278),
    // The interpreter is started from inside. Landlock lets nothing else be.
    both("execve", 59, 221),
    // A pair of streams, which talks to nobody else, and the network where it is allowed.
    both("socketpair", 53, 199).when(&[&[
        Is(0, AF_UNIX),
        Aside(1, SOCKET_FLAGS, &[1]),
        Is(2, &[0]),
    ]]),
    both("socket", 41, 198).when(NEVER).with_network(INTERNET),
    both("connect", 42, 203).when(NEVER).with_network(ALWAYS),
    both("sendto", 44, 206).when(&[&[Without(3, MSG_OOB)]]),
    both("recvfrom", 45, 207).when(&[&[Without(3, MSG_OOB)]]),
    both("sendmsg", 46, 211).when(&[&[Without(2, MSG_OOB)]]),
    both("recvmsg", 47, 212).when(&[&[Without(2, MSG_OOB)]]),
    both("sendmmsg", 307, 269)
        .when(NEVER)
        .with_network(&[&[Without(3, MSG_OOB)]]),
    both("shutdown", 48, 210),
    both("getsockname", 51, 204),
    both("getpeername", 52, 205),
    both("getsockopt", 55, 209)
        .when(&[&[Is(1, SOL_SOCKET), Is(2, SO_GET)]])
        .with_network(OPTIONS),
    both("setsockopt", 54, 208)
        .when(NEVER)
        .with_network(OPTIONS),
];

/// The numbers that mean a call, to the newest that was known when this was written
/// (`file_setattr`, Linux 6.17). Every other one is answered as a kernel without it would, so that
/// libraries do without a newer call by themselves. So are two that are known: what they ask for
/// lies behind a pointer, and they have an older form (`clone`, `openat`).
pub(super) fn known(arch: Arch) -> Vec<RangeInclusive<u32>> {
    let (clone3, openat2) = (435, 437);
    let later = [
        424..=clone3 - 1,
        clone3 + 1..=openat2 - 1,
        openat2 + 1..=469,
    ];
    let first: &[RangeInclusive<u32>] = match arch {
        Arch::X86_64 => &[0..=334],
        Arch::Aarch64 => &[0..=243, 260..=294],
    };
    first.iter().cloned().chain(later).collect()
}
