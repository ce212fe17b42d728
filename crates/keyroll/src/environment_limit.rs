//! The size limit of a command's environment: execve(2), "Limits on size of arguments and environment".

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use nix::sys::resource::{Resource, getrlimit};

/// The least that Linux allows, with any limit on the stack.
const LEAST: u64 = 128 * 1024;
/// The most that Linux allows.
const MOST: u64 = 6 * 1024 * 1024;
/// Reserved for the kernel's own strings, and for an interpreter's line.
const SPARE: usize = 8 * 1024;
/// The cost of a string beside its bytes: a pointer and the NUL at its end.
const OVERHEAD: usize = size_of::<usize>() + 1;

/// The cost of a variable, by the bytes of its name and value.
pub(crate) const fn variable(name: usize, value: usize) -> usize {
    name + 1 + value + OVERHEAD
}

/// The bytes left for more variables of a command that inherits this process's environment.
pub(crate) fn left(command: &[OsString]) -> usize {
    let stack = getrlimit(Resource::RLIMIT_STACK).map_or(4 * LEAST, |(soft, _)| soft);
    let all = usize::try_from((stack / 4).clamp(LEAST, MOST)).unwrap_or(SPARE);
    let words = command.iter().map(|word| word.as_bytes().len() + OVERHEAD);
    let inherited = std::env::vars_os().map(|(name, value)| {
        let (name, value) = (name.as_bytes().len(), value.as_bytes().len());
        variable(name, value)
    });
    let used: usize = words.chain(inherited).sum();
    all.saturating_sub(used + SPARE)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// The kernel accepts what fits by this count.
    #[test]
    fn the_kernel_takes_what_there_is_room_for() {
        let command: Vec<OsString> = vec!["/bin/true".into()];
        let (mut room, mut child) = (left(&command), Command::new("/bin/true"));
        for at in 0.. {
            let name = format!("V{at:05}");
            let Some(bytes) = room.checked_sub(variable(name.len(), 0)) else {
                break;
            };
            let value = "x".repeat(bytes.min(60_000));
            room -= variable(name.len(), value.len());
            child.env(name, value);
        }
        assert!(room < 100, "nearly all of it is used");
        assert!(child.status().expect("it starts").success());
    }
}
