//! Finding the dynamic loader that the kernel starts for a program.

use std::fs::File;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const PT_INTERP: u32 = 3;

/// The most program headers that are read.
const MAX_HEADERS: u64 = 128;

/// The dynamic loader (`PT_INTERP`) of a 64-bit little-endian program.
pub(super) fn loader(program: &Path) -> Option<PathBuf> {
    let file = File::open(program).ok()?;
    let header: [u8; 64] = read(&file, 0)?;
    if header[..6] != *b"\x7fELF\x02\x01" {
        return None;
    }
    let start = number(&header[32..40]);
    let (size, count) = (number(&header[54..56]), number(&header[56..58]));
    (0..count.min(MAX_HEADERS)).find_map(|index| {
        let entry: [u8; 56] = read(&file, start.checked_add(index * size)?)?;
        if number(&entry[..4]) != u64::from(PT_INTERP) {
            return None;
        }
        let (offset, len) = (number(&entry[8..16]), number(&entry[32..40]));
        let mut path = vec![0; usize::try_from(len.min(4096)).ok()?];
        file.read_exact_at(&mut path, offset).ok()?;
        path.truncate(path.iter().position(|byte| *byte == 0)?);
        Some(PathBuf::from(std::ffi::OsString::from_vec(path)))
    })
}

fn read<const N: usize>(file: &File, offset: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_names_its_loader_and_a_text_none() {
        let own = std::env::current_exe().expect("this program");
        let loader = loader(&own).expect("a loader");
        assert!(loader.is_absolute() && loader.exists(), "{loader:?}");
        assert_eq!(super::loader(Path::new("/etc/passwd")), None);
        assert_eq!(super::loader(Path::new("/nonexistent")), None);
    }
}
