//! What a block may not ask the kernel for.
//!
//! Landlock guards paths; this guards everything that has none: sockets, other processes, other
//! namespaces, and the few calls that change a file without opening it. A call that Python can do
//! without is refused with an error it can handle, so that ordinary code goes on.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

/// Refused whatever their arguments are.
const REFUSED: &[i64] = &[
    // Sockets that somebody else could answer.
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_listen,
    // Other processes.
    libc::SYS_kcmp,
    libc::SYS_kill,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_tkill,
    // A program that Landlock's rule for executing does not see.
    libc::SYS_execveat,
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    // Memory and messages shared with whoever has the same user.
    libc::SYS_mq_open,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_shmget,
    // Namespaces and mounts.
    libc::SYS_chroot,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
    // The kernel's keys, programs and rings.
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_perf_event_open,
    libc::SYS_request_key,
    libc::SYS_userfaultfd,
    // Files that are changed or found without being opened.
    libc::SYS_fanotify_init,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    libc::SYS_removexattr,
    libc::SYS_setxattr,
    libc::SYS_truncate,
    libc::SYS_utimensat,
    // The machine.
    libc::SYS_acct,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_lookup_dcookie,
    libc::SYS_personality,
    libc::SYS_reboot,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    // Later than the library's list: fchmodat2, setxattrat, removexattrat, open_tree_attr,
    // file_setattr. The numbers are the same everywhere.
    452,
    463,
    466,
    467,
    469,
];

/// Calls that only this architecture has.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_creat,
    libc::SYS_fork,
    libc::SYS_futimesat,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kexec_file_load,
    libc::SYS_lchown,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// Calls whose arguments lie behind a pointer, which no filter can read. Callers fall back to the
/// older call of the same kind, whose arguments it can.
const UNKNOWN: &[i64] = &[libc::SYS_clone3, libc::SYS_openat2];

/// `ioctl` requests that send signals or type into a terminal. 0x8901 is `FIOSETOWN`, 0x8902
/// `SIOCSPGRP`, 0x5412 `TIOCSTI`.
const IOCTLS: [u64; 3] = [0x8901, 0x8902, 0x5412];

/// `fcntl` commands that have signals sent to another process: `F_SETOWN`, `F_SETSIG`,
/// `F_SETOWN_EX`.
const FCNTLS: [u64; 3] = [8, 10, 15];

/// What the filters depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    /// This process: the one that a thread may signal.
    pub(super) pid: u32,
    /// Whether internet sockets may be opened.
    pub(super) network: bool,
}

/// The filters, to be applied one after another: the strictest answer counts.
pub(super) fn filters(scope: Scope) -> Result<Vec<BpfProgram>, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)
        .map_err(|_| format!("no seccomp filter for {}", std::env::consts::ARCH))?;
    let build = |rules, errno: i32| {
        let errno = SeccompAction::Errno(errno.unsigned_abs());
        SeccompFilter::new(rules, SeccompAction::Allow, errno, arch)
            .and_then(BpfProgram::try_from)
            .map_err(|error| format!("the seccomp filter cannot be built: {error}"))
    };
    let unknown = UNKNOWN.iter().map(|call| (*call, Vec::new())).collect();
    let mut filters = vec![
        build(unknown, libc::ENOSYS)?,
        build(refused(scope)?, libc::EPERM)?,
    ];
    if cfg!(target_arch = "x86_64") {
        filters.push(no_x32());
    }
    Ok(filters)
}

fn refused(scope: Scope) -> Result<BTreeMap<i64, Vec<SeccompRule>>, String> {
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = REFUSED
        .iter()
        .chain(REFUSED_HERE)
        .map(|call| (*call, Vec::new()))
        .collect();
    let mut refuse = |call: i64, conditions: &[(u8, SeccompCmpOp, u64)]| {
        let conditions = conditions.iter().map(|(index, op, value)| {
            SeccompCondition::new(*index, SeccompCmpArgLen::Dword, op.clone(), *value)
        });
        let rule = conditions
            .collect::<Result<_, _>>()
            .and_then(SeccompRule::new)
            .map_err(|error| format!("the seccomp filter cannot be built: {error}"))?;
        rules.entry(call).or_default().push(rule);
        Ok::<(), String>(())
    };
    let number = |value: i32| u64::from(value.unsigned_abs());
    // A process of its own, rather than a thread.
    refuse(
        libc::SYS_clone,
        &[(0, MaskedEq(number(libc::CLONE_THREAD)), 0)],
    )?;
    refuse(libc::SYS_tgkill, &[(0, Ne, u64::from(scope.pid))])?;
    // Limits and the scheduling of others.
    for call in [
        libc::SYS_prlimit64,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ] {
        refuse(call, &[(0, Ne, 0), (0, Ne, u64::from(scope.pid))])?;
    }
    // Before its third form Landlock lets a file that may be read be emptied while it is opened.
    let truncate = number(libc::O_TRUNC);
    refuse(libc::SYS_openat, &[(2, MaskedEq(truncate), truncate)])?;
    #[cfg(target_arch = "x86_64")]
    refuse(libc::SYS_open, &[(1, MaskedEq(truncate), truncate)])?;
    for request in IOCTLS {
        refuse(libc::SYS_ioctl, &[(1, Eq, request)])?;
    }
    for command in FCNTLS {
        refuse(libc::SYS_fcntl, &[(1, Eq, command)])?;
    }
    // A pair of streams talks to nobody else; other kinds of pairs can send to an address.
    refuse(libc::SYS_socketpair, &[(0, Ne, number(libc::AF_UNIX))])?;
    for kind in [
        libc::SOCK_DGRAM,
        libc::SOCK_RAW,
        libc::SOCK_RDM,
        libc::SOCK_SEQPACKET,
    ] {
        refuse(libc::SYS_socketpair, &[(1, MaskedEq(0xf), number(kind))])?;
    }
    if scope.network {
        let inet = [number(libc::AF_INET), number(libc::AF_INET6)];
        refuse(libc::SYS_socket, &[(0, Ne, inet[0]), (0, Ne, inet[1])])?;
    } else {
        rules.insert(libc::SYS_socket, Vec::new());
        rules.insert(libc::SYS_connect, Vec::new());
    }
    Ok(rules)
}

/// x86-64 kernels may offer every call a second time, under a number with this bit set, and a
/// second list in which some calls have numbers of their own.
fn no_x32() -> BpfProgram {
    const X32: u32 = 0x4000_0000;
    const RETURN_ERRNO: u32 = 0x0005_0000;
    const RETURN_ALLOW: u32 = 0x7fff_0000;
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        // Load the number, compare, answer.
        instruction(0x20, 0, 0, 0),
        instruction(0x35, 0, 1, X32),
        instruction(0x06, 0, 0, RETURN_ERRNO | libc::ENOSYS.unsigned_abs()),
        instruction(0x06, 0, 0, RETURN_ALLOW),
    ]
}
