//! The list of the system calls that the sandbox allows.
//!
//! CPython or numpy makes each of these calls (`syscalls/observed.txt` of this crate; `syscalls/derive.py`
//! writes it), or the call has a reason beside it. The list has no call that reaches another process, another
//! namespace or the machine, or that changes the contents or attributes of files. Nor has it a call that passes
//! its arguments behind a pointer, since a filter cannot read those.

use std::ops::RangeInclusive;

use super::bpf_program::{Arch, Condition, Rule};
use Condition::{AtMost, MaskedOneOf, NoBits, OneOf, OnlyBits, OwnPid, UpperHalfZero};

/// An allowed system call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syscall {
    #[cfg_attr(not(test), expect(dead_code, reason = "for people and tests"))]
    pub(super) name: &'static str,
    x86_64: Option<u32>,
    aarch64: Option<u32>,
    /// The call is allowed if one of these rules holds.
    pub(super) rules: &'static [Rule],
    /// More rules for a block with network access.
    pub(super) network: &'static [Rule],
    /// More rules where Landlock refuses to truncate files.
    pub(super) truncation: &'static [Rule],
    /// Why it is in the list although no interpreter was observed to make it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for people and tests"))]
    pub(super) reason: Option<&'static str>,
}

impl Syscall {
    pub(super) fn number(&self, arch: Arch) -> Option<u32> {
        match arch {
            Arch::X86_64 => self.x86_64,
            Arch::Aarch64 => self.aarch64,
        }
    }

    const fn when(self, rules: &'static [Rule]) -> Self {
        Self { rules, ..self }
    }

    const fn with_network(self, network: &'static [Rule]) -> Self {
        Self { network, ..self }
    }

    const fn truncating(self, truncation: &'static [Rule]) -> Self {
        Self { truncation, ..self }
    }

    const fn because(self, reason: &'static str) -> Self {
        let reason = Some(reason);
        Self { reason, ..self }
    }
}

/// With any arguments.
const ALWAYS: &[Rule] = &[&[]];
const NEVER: &[Rule] = &[];

const fn call(name: &'static str, x86_64: Option<u32>, aarch64: Option<u32>) -> Syscall {
    Syscall {
        name,
        x86_64,
        aarch64,
        rules: ALWAYS,
        network: NEVER,
        truncation: NEVER,
        reason: None,
    }
}

/// A call of both architectures, with its two numbers.
const fn both(name: &'static str, x86_64: u32, aarch64: u32) -> Syscall {
    call(name, Some(x86_64), Some(aarch64))
}

/// A call of x86-64 only. Later architectures left it out.
const fn x86(name: &'static str, number: u32) -> Syscall {
    call(name, Some(number), None)
}

const OTHER_LIBC: &str =
    "other C libraries, or other versions, make this call for the same purpose";
const NO_VDSO: &str = "a clock that the vDSO of this machine does not serve";
const DIRECTORY: &str = "the variant that takes a directory's descriptor";

const MSG_OOB: u32 = 1;
const O_TRUNC: u32 = 0o1000;
const O_ASYNC: u32 = 0o2_0000;
/// Its bit that no other flag has.
const O_TMPFILE: u32 = 0o2000_0000;

/// The clocks of the system. The clock of a process has a negative id.
const CLOCK: Condition = AtMost(0, 11);

/// Futex operations, except those with priority inheritance.
const FUTEX: &[u32] = &[0, 1, 3, 4, 5, 9, 10];
/// `FUTEX_PRIVATE_FLAG` and `FUTEX_CLOCK_REALTIME`.
const FUTEX_FLAGS: u32 = 128 | 256;

/// The flags of `pthread_create` in glibc and in musl.
const THREAD: &[u32] = &[0x003d_0f00, 0x007d_0f00];

/// `MAP_SHARED`, `_PRIVATE`, `_DROPPABLE`, `_FIXED`, `_ANONYMOUS`, `_DENYWRITE`, `_EXECUTABLE`,
/// `_NORESERVE`, `_POPULATE`, `_STACK` and `_FIXED_NOREPLACE`: no huge pages, no locked
/// pages, and no area that grows.
const MAP: u32 =
    0x01 | 0x02 | 0x08 | 0x10 | 0x20 | 0x800 | 0x1000 | 0x4000 | 0x8000 | 0x2_0000 | 0x10_0000;

/// Advice on the use of memory, without `MADV_MERGEABLE`, `MADV_HWPOISON` and the like.
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
const OPTIONS: &[Rule] = &[
    &[OneOf(1, SOL_SOCKET), OneOf(2, SO_NETWORK)],
    &[OneOf(1, SOL_TCP), OneOf(2, TCP)],
    &[OneOf(1, SOL_IP), OneOf(2, IP)],
    &[OneOf(1, SOL_IPV6), OneOf(2, IPV6)],
];

/// `SOCK_CLOEXEC` and `SOCK_NONBLOCK`.
const SOCKET_FLAGS: u32 = 0o200_0000 | 0o4000;
const AF_UNIX: &[u32] = &[1];
const AF_INET: &[u32] = &[2, 10];
/// TCP and UDP: the type with its default protocol.
const INTERNET: &[Rule] = &[
    &[
        OneOf(0, AF_INET),
        MaskedOneOf(1, SOCKET_FLAGS, &[1]),
        OneOf(2, &[0, 6]),
    ],
    &[
        OneOf(0, AF_INET),
        MaskedOneOf(1, SOCKET_FLAGS, &[2]),
        OneOf(2, &[0, 17]),
    ],
];

/// Every allowed call.
pub(super) const ALLOWED: &[Syscall] = &[
    // Reading files that Landlock allows, and using open ones.
    both("read", 0, 63),
    both("readv", 19, 65),
    both("pread64", 17, 67),
    // Without flags: `RWF_NOWAIT` tells which files are cached, and so what other processes have read.
    both("preadv2", 327, 286).when(&[&[OneOf(5, &[0])]]),
    both("write", 1, 64),
    both("writev", 20, 66),
    both("lseek", 8, 62),
    both("close", 3, 57),
    // `CLOSE_RANGE_CLOEXEC` only: no descriptor table of its own.
    both("close_range", 436, 436).when(&[&[OnlyBits(2, 4)]]),
    x86("open", 2)
        .when(&[&[NoBits(1, O_TRUNC | O_TMPFILE)]])
        .truncating(&[&[NoBits(1, O_TMPFILE)]]),
    both("openat", 257, 56)
        .when(&[&[NoBits(2, O_TRUNC | O_TMPFILE)]])
        .truncating(&[&[NoBits(2, O_TMPFILE)]]),
    both("fstat", 5, 80),
    both("newfstatat", 262, 79),
    x86("stat", 4).because(OTHER_LIBC),
    x86("lstat", 6).because(OTHER_LIBC),
    both("statx", 332, 291).because(OTHER_LIBC),
    x86("access", 21),
    both("faccessat", 269, 48).because(DIRECTORY),
    both("faccessat2", 439, 439).because(DIRECTORY),
    x86("readlink", 89),
    both("readlinkat", 267, 78).because(DIRECTORY),
    both("getdents64", 217, 61),
    both("getcwd", 79, 17),
    both("dup", 32, 23),
    x86("dup2", 33),
    both("dup3", 292, 24),
    both("fcntl", 72, 25).when(&[&[OneOf(1, FCNTL)], &[OneOf(1, F_SETFL), NoBits(2, O_ASYNC)]]),
    both("ioctl", 16, 29).when(&[&[OneOf(1, IOCTL)]]),
    // Waiting for files.
    x86("poll", 7),
    both("ppoll", 271, 73).because(OTHER_LIBC),
    x86("select", 23).because(OTHER_LIBC),
    both("pselect6", 270, 72),
    both("epoll_create1", 291, 20),
    both("epoll_ctl", 233, 21),
    x86("epoll_wait", 232),
    both("epoll_pwait", 281, 22).because(OTHER_LIBC),
    both("eventfd2", 290, 19),
    // Without `O_NOTIFICATION_PIPE`: the kernel would report on keys of other processes there.
    both("pipe2", 293, 59).when(&[&[OnlyBits(1, SOCKET_FLAGS)]]),
    x86("pipe", 22).because(OTHER_LIBC),
    // Memory.
    both("mmap", 9, 222).when(&[&[UpperHalfZero(3), OnlyBits(3, MAP)]]),
    both("munmap", 11, 215),
    // `MREMAP_MAYMOVE` and `MREMAP_FIXED`.
    both("mremap", 25, 216).when(&[&[UpperHalfZero(3), OnlyBits(3, 3)]]),
    both("mprotect", 10, 226),
    both("madvise", 28, 233).when(&[&[OneOf(2, ADVICE)]]),
    both("brk", 12, 214),
    // Threads. `clone3` has its arguments behind a pointer. Without it libraries call `clone`.
    both("clone", 56, 220)
        .when(&[&[UpperHalfZero(0), OneOf(0, THREAD)]])
        .because("starts a thread where there is no clone3"),
    both("set_tid_address", 218, 96),
    both("set_robust_list", 273, 99),
    both("rseq", 334, 293),
    both("futex", 202, 98).when(&[&[MaskedOneOf(1, FUTEX_FLAGS, FUTEX)]]),
    // `MEMBARRIER_CMD_QUERY`, and the two private expedited commands.
    both("membarrier", 324, 283)
        .when(&[&[OneOf(0, &[0, 8, 16])]])
        .because("musl loads a library with it while threads run"),
    both("sched_yield", 24, 124),
    // The processors. glibc also asks by thread id, which a filter cannot check.
    both("sched_getaffinity", 204, 123),
    // `ARCH_SET_FS`: the base of thread-local storage.
    x86("arch_prctl", 158).when(&[&[OneOf(0, &[0x1002])]]),
    // `PR_SET_NAME` and `PR_GET_NAME`.
    both("prctl", 157, 167)
        .when(&[&[OneOf(0, &[15, 16])]])
        .because("Python 3.14 and libraries set the names of threads"),
    both("exit", 60, 93),
    both("exit_group", 231, 94),
    // Signals to itself. `tgkill` names the process; `tkill` does not, and `kill` may name a group.
    both("rt_sigaction", 13, 134),
    both("rt_sigprocmask", 14, 135),
    both("rt_sigreturn", 15, 139),
    both("rt_sigpending", 127, 136),
    both("rt_sigtimedwait", 128, 137),
    both("rt_sigsuspend", 130, 133)
        .because("`sigsuspend`, and `pause` where there is no such call"),
    both("sigaltstack", 131, 132),
    both("tgkill", 234, 131).when(&[&[OwnPid(0)]]),
    x86("pause", 34),
    x86("alarm", 37),
    both("setitimer", 38, 103),
    both("getitimer", 36, 102),
    both("restart_syscall", 219, 128).because("the kernel resumes an interrupted call with it"),
    // Clocks.
    both("clock_gettime", 228, 113).when(&[&[CLOCK]]),
    both("clock_getres", 229, 114)
        .when(&[&[CLOCK]])
        .because(NO_VDSO),
    both("clock_nanosleep", 230, 115).when(&[&[CLOCK]]),
    both("nanosleep", 35, 101).because(OTHER_LIBC),
    both("gettimeofday", 96, 169).because(NO_VDSO),
    x86("time", 201).because(NO_VDSO),
    both("times", 100, 153),
    // Its own ids and resource usage.
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
    // Reading its own limits.
    both("prlimit64", 302, 261).when(&[
        &[OneOf(0, &[0]), UpperHalfZero(2), OneOf(2, &[0])],
        &[OwnPid(0), UpperHalfZero(2), OneOf(2, &[0])],
    ]),
    both("sysinfo", 99, 179),
    both("uname", 63, 160),
    both("getrandom", 318, 278),
    // Executing the interpreter. Landlock allows no other program but the loader.
    both("execve", 59, 221),
    // A connected pair of stream sockets, and the network where it is allowed.
    both("socketpair", 53, 199).when(&[&[
        OneOf(0, AF_UNIX),
        MaskedOneOf(1, SOCKET_FLAGS, &[1]),
        OneOf(2, &[0]),
    ]]),
    both("socket", 41, 198).when(NEVER).with_network(INTERNET),
    both("connect", 42, 203).when(NEVER).with_network(ALWAYS),
    both("sendto", 44, 206).when(&[&[NoBits(3, MSG_OOB)]]),
    both("recvfrom", 45, 207).when(&[&[NoBits(3, MSG_OOB)]]),
    both("sendmsg", 46, 211).when(&[&[NoBits(2, MSG_OOB)]]),
    both("recvmsg", 47, 212).when(&[&[NoBits(2, MSG_OOB)]]),
    both("sendmmsg", 307, 269)
        .when(NEVER)
        .with_network(&[&[NoBits(3, MSG_OOB)]]),
    both("shutdown", 48, 210),
    both("getsockname", 51, 204),
    both("getpeername", 52, 205),
    both("getsockopt", 55, 209)
        .when(&[&[OneOf(1, SOL_SOCKET), OneOf(2, SO_GET)]])
        .with_network(OPTIONS),
    both("setsockopt", 54, 208)
        .when(NEVER)
        .with_network(OPTIONS),
];

/// The numbers of existing calls, up to `file_setattr` of Linux 6.17. Any other number fails as on a kernel
/// without the call, so libraries fall back to an older one. So do `clone3` and `openat2`, which are left out:
/// their arguments are behind a pointer, and they have an older form (`clone`, `openat`).
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
