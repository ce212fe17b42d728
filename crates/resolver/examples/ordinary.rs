//! Masks every file in some directories and reports each match.
//!
//! The values occur in no file, so every match is a false positive.
//!
//! ```console
//! $ cargo run --release -p keyroll-resolver --example ordinary -- ~/.cargo/registry/src /usr/share
//! ```

use std::path::{Path, PathBuf};
use std::time::Instant;

use keyroll_resolver::Redactor;

/// Larger files are cut, so that one kind of file does not outweigh the others.
const MAX_FILE: usize = 4 * 1024 * 1024;

/// Pseudo-random values of several kinds, the same in every run.
fn values() -> Vec<(String, String)> {
    let alphabets = [
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        "0123456789abcdef",
        "abcdefghijklmnopqrstuvwxyz0123456789 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
        "0123456789",
    ];
    let mut state = 11_u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits fit") % below
    };
    (0..100)
        .map(|number| {
            let alphabet: Vec<char> = alphabets[number % alphabets.len()].chars().collect();
            let value = (0..12 + next(30))
                .map(|_| alphabet[next(alphabet.len())])
                .collect();
            (format!("Key_{number}"), value)
        })
        .collect()
}

fn files(below: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(below) else {
        return;
    };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path(), out),
            Ok(kind) if kind.is_file() => out.push(entry.path()),
            _ => {}
        }
    }
}

fn main() {
    let values = values();
    let pairs: Vec<(&str, &[u8])> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let redactor = Redactor::new(&pairs);
    let mut all = Vec::new();
    for directory in std::env::args().skip(1) {
        files(Path::new(&directory), &mut all);
    }
    let (mut bytes, mut changed, mut seconds) = (0_u64, 0, 0.0);
    for path in all {
        let Ok(mut text) = std::fs::read(&path) else {
            continue;
        };
        text.truncate(MAX_FILE);
        let begun = Instant::now();
        let masked = redactor.redact(&text);
        seconds += begun.elapsed().as_secs_f64();
        bytes += u64::try_from(text.len()).expect("a size fits");
        if masked != text {
            println!("masked in {}", path.display());
            changed += 1;
        }
    }
    println!("{bytes} bytes, {changed} files with something masked, {seconds:.0} s");
}
