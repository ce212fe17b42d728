//! What another run would change in the files for nats-servers, without anything secret.

use std::path::Path;

use super::nats_files::{Files, read};
use crate::error::Failure;

/// What differs from the files of an earlier run, in words.
pub(super) fn differences(out: &Path, files: &Files) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for (name, text) in files {
        let Some(have) = read(&out.join(name))? else {
            continue;
        };
        if have == *text {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        let is_config = Path::new(name)
            .extension()
            .is_some_and(|kind| kind == "conf");
        let mut gone = have.lines().filter(|line| !lines.contains(line));
        let example = gone.find(|line| is_config && is_public(line));
        found.push(match example {
            Some(line) => format!("{name} differs; for example it has: {}", line.trim()),
            None => format!("{name} differs"),
        });
    }
    Ok(found)
}

/// The settings that may be shown. Any other line, perhaps of somebody's own, may hold a password or a seed.
const PUBLIC: [&str; 11] = [
    "advertise",
    "ca_file",
    "cert_file",
    "http",
    "key_file",
    "listen",
    "max_control_line",
    "max_payload",
    "server_name",
    "store_dir",
    "sync_interval",
];

fn is_public(line: &str) -> bool {
    let setting = line.trim().split_once(':');
    // No setting of these has a comma, which would begin another one.
    setting.is_some_and(|(name, value)| PUBLIC.contains(&name) && !value.contains([',', ';', '@']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_with_a_secret_is_shown() {
        for line in [
            "SUAIBDPBAUTWCWBKIO6XHQNINK5FWJW4OHLXC3HQ2KFE4PEJUA44CNHTC4",
            "operator = \"SOAA\"",
            "    \"nats-route://routes:hunter2@a:6222\"",
            "  authorization { user: \"routes\", password: \"hunter2\" }",
            "listen: \"a\", password: hunter2",
            "listen: \"nats://routes:hunter2@a\"",
            "token: hunter2",
            "  AAAA: \"eyJ\"",
            "default_sentinel: \"eyJ\"",
        ] {
            assert!(!is_public(line), "{line}");
        }
        assert!(is_public("  store_dir: \"/data\""));
        assert!(is_public("http: \"127.0.0.1:8222\""));
    }
}
