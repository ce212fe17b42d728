//! Sample arguments of calls whose arguments decide.

/// The process that the filters of these tests are for.
pub(super) const OWN: u32 = 4242;

/// Arguments that are allowed, that are allowed with the network only, and that are refused.
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) allowed: &'static [[u64; 6]],
    pub(super) network: &'static [[u64; 6]],
    pub(super) refused: &'static [[u64; 6]],
}

pub(super) const fn one(at: usize, value: u64) -> [u64; 6] {
    let mut arguments = [0; 6];
    arguments[at] = value;
    arguments
}

const fn two(at: usize, value: u64, and: usize, other: u64) -> [u64; 6] {
    let mut arguments = one(at, value);
    arguments[and] = other;
    arguments
}

const fn three(first: u64, second: u64, third: u64) -> [u64; 6] {
    [first, second, third, 0, 0, 0]
}

const fn sample(
    name: &'static str,
    allowed: &'static [[u64; 6]],
    refused: &'static [[u64; 6]],
) -> Sample {
    Sample {
        name,
        allowed,
        network: &[],
        refused,
    }
}

/// Bits that a C program may leave in the half of an argument that the kernel does not read.
const HIGH: u64 = 0xdead_beef_0000_0000;
const OWN_64: u64 = OWN as u64;

pub(super) const SAMPLES: &[Sample] = &[
    sample(
        "open",
        &[one(1, 0), one(1, 0o200_0000), one(1, 2), one(1, HIGH)],
        &[one(1, 0o1000), one(1, 0o1001 | HIGH), one(1, 0o2020_0002)],
    ),
    sample(
        "openat",
        &[one(2, 0), one(2, 0o220_0000), one(2, 1), one(2, HIGH)],
        &[one(2, 0o1000), one(2, 0o1001 | HIGH), one(2, 0o2020_0002)],
    ),
    sample(
        "mmap",
        &[one(3, 2), one(3, 0x22), one(3, 0x2_4022), one(3, 0x812)],
        &[
            one(3, 0x4_0022),
            one(3, 0x122),
            one(3, 0x2022),
            one(3, HIGH | 2),
            one(3, 0x62),
        ],
    ),
    sample(
        "preadv2",
        &[[0; 6], one(4, 7), one(5, HIGH)],
        &[one(5, 8), one(5, 1 | HIGH), one(5, 0x40)],
    ),
    sample(
        "close_range",
        &[one(2, 0), one(2, 4)],
        &[one(2, 2), one(2, 6 | HIGH)],
    ),
    sample(
        "pipe2",
        &[one(1, 0), one(1, 0o200_4000)],
        &[one(1, 0o200), one(1, 0o4_0000), one(1, 0o200 | HIGH)],
    ),
    sample(
        "mremap",
        &[one(3, 1), one(3, 3), one(3, 0)],
        &[one(3, 5), one(3, 1 | HIGH)],
    ),
    sample(
        "madvise",
        &[one(2, 4), one(2, 14), one(2, 8 | HIGH)],
        &[
            one(2, 12),
            one(2, 9),
            one(2, 21),
            one(2, 100),
            one(2, 101),
            one(2, 0xffff_ffff),
        ],
    ),
    sample(
        "ioctl",
        &[
            one(1, 0x5451),
            one(1, 0x5401),
            one(1, 0x541b),
            one(1, 0x5421 | HIGH),
        ],
        &[
            one(1, 0x5412),      // TIOCSTI
            one(1, 0x541d),      // TIOCCONS
            one(1, 0x540e),      // TIOCSCTTY
            one(1, 0x8901),      // FIOSETOWN
            one(1, 0x8902),      // SIOCSPGRP
            one(1, 0x5452),      // FIOASYNC
            one(1, 0x4004_9409), // FICLONE
            one(1, 0xff04),      // PIDFD_GET_MNT_NAMESPACE
            one(1, 0),
        ],
    ),
    sample(
        "fcntl",
        &[
            one(1, 0),
            one(1, 1),
            one(1, 2),
            one(1, 3),
            one(1, 1030),
            two(1, 4, 2, 0o4000),
        ],
        &[
            two(1, 4, 2, 0o2_4000), // F_SETFL with O_ASYNC
            one(1, 5),
            one(1, 6),
            one(1, 8),
            one(1, 8 | HIGH),
            one(1, 10),
            one(1, 15),
            one(1, 37),
            one(1, 1024),
            one(1, 1026),
            one(1, 1031),
            one(1, 1033),
        ],
    ),
    sample(
        "clone",
        &[one(0, 0x003d_0f00), one(0, 0x007d_0f00)],
        &[
            one(0, 0),
            one(0, 17),
            one(0, 0x0120_0011),
            one(0, 0x4111),
            one(0, 0x103d_0f00),
            one(0, 0x003d_0f00 | HIGH),
            one(0, 0x003d_2f00),
        ],
    ),
    sample(
        "futex",
        &[
            one(1, 0),
            one(1, 128),
            one(1, 129),
            one(1, 393),
            one(1, 137),
            one(1, 1 | HIGH),
        ],
        &[
            one(1, 6),
            one(1, 134),
            one(1, 11),
            one(1, 13),
            one(1, 7),
            one(1, 2),
            one(1, 8),
        ],
    ),
    sample(
        "membarrier",
        &[one(0, 0), one(0, 8), one(0, 16)],
        &[one(0, 1), one(0, 2), one(0, 4), one(0, 32)],
    ),
    sample(
        "arch_prctl",
        &[one(0, 0x1002)],
        &[one(0, 0x1001), one(0, 0x3001), one(0, 0x5001), one(0, 0)],
    ),
    sample(
        "prctl",
        &[one(0, 15), one(0, 16)],
        &[
            one(0, 1), // PR_SET_PDEATHSIG without a signal
            two(0, 1, 1, 9),
            one(0, 1 | HIGH),
            one(0, 4), // PR_SET_DUMPABLE
            one(0, 22),
            one(0, 35),
            one(0, 36), // PR_SET_CHILD_SUBREAPER
            one(0, 38),
            one(0, 62),          // PR_SCHED_CORE
            one(0, 0x5961_6d61), // PR_SET_PTRACER
            one(0, 0x5356_4d41),
            one(0, 0),
        ],
    ),
    sample(
        "tgkill",
        &[
            three(OWN_64, OWN_64, 6),
            three(OWN_64, 7, 0),
            three(OWN_64 | HIGH, 7, 0),
        ],
        &[
            three(1, 1, 9),
            three(0, 0, 0),
            three(0xffff_ffff, 1, 9),
            three(OWN_64 + 1, OWN_64, 9),
        ],
    ),
    sample(
        "clock_gettime",
        &[one(0, 0), one(0, 1), one(0, 3), one(0, 11)],
        &[one(0, 12), one(0, 0xffff_fffa), one(0, u64::MAX - 9)],
    ),
    sample(
        "clock_getres",
        &[one(0, 0), one(0, 11)],
        &[one(0, 12), one(0, u64::MAX - 9)],
    ),
    sample(
        "clock_nanosleep",
        &[one(0, 0), one(0, 1)],
        &[one(0, 12), one(0, u64::MAX - 9)],
    ),
    sample(
        "prlimit64",
        &[three(0, 7, 0), three(OWN_64, 3, 0)],
        &[
            three(1, 7, 0),
            three(0, 7, 0x7fff_0000_1000),
            three(0, 7, HIGH),
            three(OWN_64, 0, 1),
            three(OWN_64 + 1, 0, 0),
        ],
    ),
    sample(
        "socketpair",
        &[three(1, 1, 0), three(1, 0o200_4001, 0)],
        &[
            three(1, 2, 0),
            three(1, 5, 0),
            three(2, 1, 0),
            three(1, 1, 1),
            three(16, 3, 0),
            three(30, 1, 0),
        ],
    ),
    Sample {
        name: "socket",
        allowed: &[],
        network: &[
            three(2, 1, 0),
            three(10, 0o200_4001, 6),
            three(2, 2, 17),
            three(10, 2, 0),
        ],
        refused: &[
            three(2, 3, 1),   // raw
            three(2, 2, 1),   // ping
            three(2, 1, 262), // MPTCP
            three(2, 5, 132), // SCTP
            three(1, 1, 0),
            three(16, 3, 0), // netlink
            three(17, 3, 0), // packets
            three(38, 5, 0), // crypto
            three(40, 1, 0), // the machine that hosts this one
            three(0, 1, 0),
        ],
    },
    Sample {
        name: "connect",
        allowed: &[],
        network: &[[0; 6]],
        refused: &[],
    },
    Sample {
        name: "sendmmsg",
        allowed: &[],
        network: &[one(3, 0x4000)],
        refused: &[one(3, 1)],
    },
    sample(
        "sendto",
        &[one(3, 0), one(3, 0x4000)],
        &[one(3, 1), one(3, 0x4001 | HIGH)],
    ),
    sample("recvfrom", &[one(3, 0), one(3, 2)], &[one(3, 1)]),
    sample("sendmsg", &[one(2, 0)], &[one(2, 1)]),
    sample("recvmsg", &[one(2, 0)], &[one(2, 1)]),
    Sample {
        name: "getsockopt",
        allowed: &[two(1, 1, 2, 3), two(1, 1, 2, 4), two(1, 1, 2, 38)],
        network: &[two(1, 6, 2, 1), two(1, 1, 2, 9)],
        refused: &[
            two(1, 1, 2, 17), // SO_PEERCRED
            two(1, 1, 2, 77), // SO_PEERPIDFD
            two(1, 1, 2, 26),
            two(1, 0, 2, 64),
            two(1, 41, 2, 64),
        ],
    },
    Sample {
        name: "setsockopt",
        allowed: &[],
        network: &[
            two(1, 6, 2, 1),
            two(1, 1, 2, 9),
            two(1, 0, 2, 11),
            two(1, 41, 2, 26),
        ],
        refused: &[
            two(1, 1, 2, 26), // SO_ATTACH_FILTER
            two(1, 1, 2, 50), // SO_ATTACH_BPF
            two(1, 1, 2, 25), // SO_BINDTODEVICE
            two(1, 6, 2, 31), // TCP_ULP
            two(1, 6, 2, 19), // TCP_REPAIR
            two(1, 0, 2, 64), // the tables of the firewall
            two(1, 255, 2, 1),
        ],
    },
];

pub(super) fn sample_of(name: &str) -> &'static Sample {
    let found = SAMPLES.iter().find(|sample| sample.name == name);
    found.unwrap_or_else(|| panic!("{name} has no sample arguments"))
}
