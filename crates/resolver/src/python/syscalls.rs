//! The system calls that the sandbox allows, as a seccomp filter.
//!
//! Landlock restricts paths. The filter restricts everything else: sockets, other processes, shared memory,
//! namespaces, and calls that change or watch a file without opening it. `allowlist` lists the allowed calls. Any
//! other call fails with an error that Python can handle. `bpf_program` compiles the list for the kernel.

mod allowlist;
mod bpf_program;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use seccompiler::BpfProgram;

use bpf_program::{Arch, Rule, program};

/// The parameters of the filter.
#[derive(Debug, Clone, Copy)]
pub(super) struct FilterOptions {
    /// This process. Only its threads may be signalled.
    pub(super) pid: u32,
    /// Whether internet sockets may be opened.
    pub(super) network: bool,
    /// Whether Landlock refuses to truncate a file on opening.
    pub(super) truncation: bool,
}

/// The filter for this machine.
pub(super) fn filter(options: FilterOptions) -> Result<BpfProgram, String> {
    let arch = match std::env::consts::ARCH {
        _ if cfg!(not(target_endian = "little")) => None,
        "x86_64" => Some(Arch::X86_64),
        "aarch64" => Some(Arch::Aarch64),
        _ => None,
    };
    let arch = arch.ok_or_else(|| {
        format!(
            "no seccomp filter for {}: the sandbox needs x86-64 or arm64",
            std::env::consts::ARCH
        )
    })?;
    Ok(build(arch, options))
}

fn build(arch: Arch, options: FilterOptions) -> BpfProgram {
    program(
        arch,
        &allowed(arch, options),
        &allowlist::known(arch),
        options.pid,
    )
}

/// The numbers of the allowed calls, with their rules.
fn allowed(arch: Arch, options: FilterOptions) -> BTreeMap<u32, Vec<Rule>> {
    let mut allowed = BTreeMap::new();
    for call in allowlist::ALLOWED {
        let further = [
            (options.network, call.network),
            (options.truncation, call.truncation),
        ];
        let further = further.into_iter().filter(|(given, _)| *given);
        let rules: Vec<Rule> = std::iter::once(call.rules)
            .chain(further.map(|(_, rules)| rules))
            .flatten()
            .copied()
            .collect();
        if let Some(number) = call.number(arch)
            && !rules.is_empty()
        {
            allowed.insert(number, rules);
        }
    }
    allowed
}
