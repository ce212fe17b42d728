//! A bundle of a long log, written and verified by the program, and the memory that both take.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_core::WorkspaceName;

use crate::report::Report;
use crate::service::{Service, keyroll};
use crate::stats::float;
use crate::{Failed, machine, say};

/// How often a program's memory is sampled. It reports its own peak.
const LOOK: Duration = Duration::from_millis(5);

/// Runs `keyroll` to its end. Returns the time it took, and its peak memory.
fn run(home: &Path, words: &[&str]) -> Result<(f64, u64), Failed> {
    let begun = Instant::now();
    let mut child = Command::new(keyroll()?)
        .args(words)
        .env("KEYROLL_HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let mut resident = 0;
    let status = loop {
        resident = machine::most_resident(child.id()).max(resident);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(LOOK);
    };
    if status.success() {
        return Ok((begun.elapsed().as_secs_f64(), resident));
    }
    Err(format!("keyroll {}: {status}", words.join(" ")).into())
}

pub(crate) fn measure(
    service: &Service,
    workspace: &WorkspaceName,
    entries: u64,
    report: &mut Report,
) -> Result<(), Failed> {
    say(&format!("a bundle of {entries} entries"));
    let path = service.data().with_extension("bundle");
    let file = path.to_str().ok_or("a path in UTF-8")?;
    let export = ["-w", workspace.as_str(), "audit", "export", "--out", file];
    let verify = ["audit", "verify", "--bundle", file];
    for (what, words) in [("export", &export[..]), ("verify", &verify)] {
        let (seconds, resident) = run(service.data(), words)?;
        report.figure(format!("bundle_{what}_{entries}_seconds"), seconds, "s");
        let name = format!("bundle_{what}_{entries}_resident_bytes");
        report.figure(name, float(resident), "bytes, at most");
    }
    let bytes = std::fs::metadata(&path)?.len();
    report.figure(format!("bundle_{entries}_bytes"), float(bytes), "bytes");
    std::fs::remove_file(path)?;
    Ok(())
}
