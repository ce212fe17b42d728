//! The filter of system calls.
//!
//! Landlock guards paths; this guards everything that has none: sockets, other processes, shared
//! memory, namespaces, and the calls that change or watch a file without opening it. `list` says
//! what may be called, and whatever it does not name is refused with an error that Python can
//! handle; `bpf` turns it into the one program that the kernel runs.

mod bpf;
mod list;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use seccompiler::BpfProgram;

use bpf::{Arch, Case, program};

/// What the filter depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    /// This process: the one whose threads may be signalled.
    pub(super) pid: u32,
    /// Whether internet sockets may be opened.
    pub(super) network: bool,
    /// Whether Landlock keeps a file that may be read from being emptied as it is opened.
    pub(super) truncation: bool,
}

/// The filter for this machine.
pub(super) fn filter(scope: Scope) -> Result<BpfProgram, String> {
    let arch = match std::env::consts::ARCH {
        _ if cfg!(not(target_endian = "little")) => None,
        "x86_64" => Some(Arch::X86_64),
        "aarch64" => Some(Arch::Aarch64),
        _ => None,
    };
    let arch = arch.ok_or_else(|| format!("no seccomp filter for {}", std::env::consts::ARCH))?;
    Ok(build(arch, scope))
}

fn build(arch: Arch, scope: Scope) -> BpfProgram {
    program(arch, &allowed(arch, scope), &list::known(arch), scope.pid)
}

/// The numbers that may be called, and in which cases.
fn allowed(arch: Arch, scope: Scope) -> BTreeMap<u32, Vec<Case>> {
    let mut allowed = BTreeMap::new();
    for call in list::ALLOWED {
        let further = [
            (scope.network, call.network),
            (scope.truncation, call.truncation),
        ];
        let further = further.into_iter().filter(|(given, _)| *given);
        let cases: Vec<Case> = std::iter::once(call.cases)
            .chain(further.map(|(_, cases)| cases))
            .flatten()
            .copied()
            .collect();
        if let Some(number) = call.number(arch)
            && !cases.is_empty()
        {
            allowed.insert(number, cases);
        }
    }
    allowed
}
