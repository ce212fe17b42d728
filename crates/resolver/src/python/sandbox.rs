//! The sandbox of a block's process: user, resource limits, files (Landlock), system calls (seccomp).
//!
//! The process restricts itself before it executes the interpreter. If any part fails, the process ends: there
//! is no weaker sandbox.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope as LandlockScope,
};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};

use super::elf;
use super::syscalls::{FilterOptions, filter};

/// The largest address space in bytes, so that only the block fails if it needs too much memory.
const MEMORY: u64 = 1024 * 1024 * 1024;

/// The most open files.
const FILES: u64 = 256;

/// The most threads. Only a block with a user of its own has this limit, since it counts per user.
const THREADS: u64 = 64;

/// Users that nobody logs in as: the range of systemd's dynamic users. The process id selects one, so that
/// concurrent blocks have different users.
const USERS: std::ops::Range<u32> = 61_184..65_520;

/// The permissions of a block's process.
#[derive(Debug)]
pub(super) struct SandboxPolicy<'a> {
    pub(super) interpreter: &'a Path,
    /// Further directories and files that may be read.
    pub(super) read: &'a [PathBuf],
    pub(super) network: bool,
    /// Seconds of processor time.
    pub(super) seconds: u64,
}

/// Directories and files that any Python reads. Missing ones are skipped.
const READ: [&str; 11] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/ssl/openssl.cnf",
    "/dev/urandom",
];

/// Files for looking up names and checking certificates.
const READ_FOR_NETWORK: [&str; 9] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/ssl/certs",
    "/usr/share/ca-certificates",
];

/// Restricts this process. `own_user` runs as soon as the process has its final user, since its system calls
/// are refused later.
///
/// # Errors
///
/// The part that failed and why. The process must end then.
pub(super) fn enter(
    policy: &SandboxPolicy,
    own_user: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    limits(policy.seconds)?;
    leave_root()?;
    own_user()?;
    nix::sys::prctl::set_no_new_privs()
        .map_err(|error| format!("cannot set no_new_privs: {error}"))?;
    files(policy)?;
    let filter = filter(FilterOptions {
        pid: std::process::id(),
        network: policy.network,
        truncation: guards_truncation(),
    })?;
    seccompiler::apply_filter(&filter).map_err(|error| format!("seccomp is not available: {error}"))
}

fn limits(seconds: u64) -> Result<(), String> {
    let mut limits = vec![
        (Resource::RLIMIT_AS, MEMORY),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_CPU, seconds),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_MEMLOCK, 0),
        (Resource::RLIMIT_MSGQUEUE, 0),
        (Resource::RLIMIT_NOFILE, FILES),
    ];
    if geteuid().is_root() {
        limits.push((Resource::RLIMIT_NPROC, THREADS));
    }
    for (resource, limit) in limits {
        setrlimit(resource, limit, limit)
            .map_err(|error| format!("cannot set {resource:?}: {error}"))?;
    }
    Ok(())
}

/// The user as which a block of root runs.
pub(super) fn user() -> Option<u32> {
    let own = std::process::id();
    geteuid()
        .is_root()
        .then_some(USERS.start + own % (USERS.end - USERS.start))
}

fn leave_root() -> Result<(), String> {
    let Some(user) = user() else {
        return Ok(());
    };
    // The parent has the same capabilities. Without CAP_KILL it could not end a block of another user.
    if !may_end_others() {
        return Err(
            "root lacks CAP_KILL here, so it could not end a block: grant it, or run keyroll as \
             another user"
                .to_owned(),
        );
    }
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    setgroups(&[])
        .and_then(|()| setresgid(gid, gid, gid))
        .and_then(|()| setresuid(uid, uid, uid))
        .map_err(|error| format!("root cannot become user {user}: {error}"))
}

/// Whether this process has CAP_KILL, capability number 5.
fn may_end_others() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    effective.is_some_and(|bits| bits & 1 << 5 != 0)
}

/// Allows reading the interpreter and its libraries, and no writing at all.
///
/// Landlock ABI 1 (Linux 5.13) is required. Rights of later ABIs are used where the kernel has them. Seccomp
/// covers them where it does not.
fn files(policy: &SandboxPolicy) -> Result<(), String> {
    let missing = |error| {
        format!(
            "Landlock is not available (it needs Linux 5.13, enabled in the `lsm` list): {error}"
        )
    };
    let status = landlock(policy).map_err(missing)?;
    if status == RulesetStatus::NotEnforced {
        return Err(missing("the kernel does not enforce it".to_owned()));
    }
    Ok(())
}

/// Whether this kernel has Landlock ABI 3 (Linux 6.2) or later.
fn guards_truncation() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Truncate)
        .is_ok()
}

fn landlock(policy: &SandboxPolicy) -> Result<RulesetStatus, String> {
    let text = |error: landlock::RulesetError| error.to_string();
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .map_err(text)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))
        .map_err(text)?
        .scope(LandlockScope::from_all(ABI::V6))
        .map_err(text)?
        .create()
        .map_err(text)?;
    let mut allow = |path: &Path, execute: bool, write: bool| {
        let (Ok(meta), Ok(opened)) = (path.metadata(), PathFd::new(path)) else {
            return Ok(());
        };
        let mut access: BitFlags<AccessFs> = AccessFs::ReadFile.into();
        if meta.is_dir() {
            access |= AccessFs::ReadDir;
        }
        if execute {
            access |= AccessFs::Execute;
        }
        if write {
            access |= AccessFs::WriteFile;
        }
        (&mut ruleset)
            .add_rule(PathBeneath::new(opened, access))
            .map(drop)
            .map_err(text)
    };
    let interpreter = policy
        .interpreter
        .canonicalize()
        .map_err(|error| format!("{}: {error}", policy.interpreter.display()))?;
    allow(&interpreter, true, false)?;
    if let Some(loader) = elf::loader(&interpreter) {
        allow(&loader, true, false)?;
    }
    allow(Path::new("/dev/null"), false, true)?;
    let network: &[&str] = if policy.network {
        &READ_FOR_NETWORK
    } else {
        &[]
    };
    for path in READ.iter().chain(network) {
        allow(Path::new(path), false, false)?;
    }
    for path in policy.read {
        allow(path, false, false)?;
    }
    Ok(ruleset.restrict_self().map_err(text)?.ruleset)
}
