//! Finding a Python interpreter.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Code, ResolveError};

/// A healthy interpreter answers within 50 ms.
const PATIENCE: Duration = Duration::from_secs(10);

/// Interpreters that every user can read.
const FALLBACKS: [&str; 2] = ["/usr/bin/python3", "/usr/local/bin/python3"];

/// Variables that `python3` may need to find itself. It may be a script that selects a version.
const KEPT: [&str; 5] = ["PATH", "HOME", "PYENV_ROOT", "PYENV_VERSION", "PYENV_DIR"];

const DESCRIBE: &str = "\
import json, sys, sysconfig
paths = sysconfig.get_paths()
read = [paths.get(key) for key in ('stdlib', 'platstdlib', 'purelib', 'platlib')]
read += sys.path + [sysconfig.get_config_var('LIBDIR'), sys.prefix + '/pyvenv.cfg']
read = [path for path in read if path and path.startswith('/')]
print(json.dumps({'executable': sys.executable, 'version': list(sys.version_info[:3]), 'read': read}))
";

/// The oldest supported Python. Older ones have other syntax trees.
const OLDEST: [u32; 2] = [3, 8];

/// A Python interpreter for blocks.
#[derive(Debug, Clone)]
pub struct Interpreter {
    /// The program itself, not a script that starts it.
    pub(super) program: PathBuf,
    pub(super) version: [u32; 3],
    /// Its library directories.
    pub(super) read: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Description {
    executable: PathBuf,
    version: [u32; 3],
    read: Vec<PathBuf>,
}

impl Interpreter {
    /// The interpreter at `python`. Without a path it is `python3` on the `PATH`, or `/usr/bin/python3` if that
    /// one is not usable. If `sandboxed`, the sandbox's user must be able to read it.
    ///
    /// # Errors
    ///
    /// `sandbox_unavailable`, with the reason for each candidate.
    pub async fn find(python: Option<&Path>, sandboxed: bool) -> Result<Self, ResolveError> {
        let mut candidates: Vec<PathBuf> = match python {
            Some(python) => vec![python.to_owned()],
            None => on_path("python3").into_iter().collect(),
        };
        if python.is_none() {
            candidates.extend(FALLBACKS.map(PathBuf::from));
            candidates.dedup();
        }
        let mut reasons = Vec::new();
        for candidate in candidates {
            match Self::describe(&candidate, sandboxed).await {
                Ok(found) => return Ok(found),
                Err(reason) => reasons.push(format!("{}: {reason}", candidate.display())),
            }
        }
        if reasons.is_empty() {
            reasons.push("there is no python3 on the PATH".to_owned());
        }
        let detail = format!("no usable Python: {}", reasons.join("; "));
        Err(ResolveError::new(Code::SandboxUnavailable, detail))
    }

    /// The version, such as `3.11.2`.
    pub fn version(&self) -> String {
        self.version.map(|part| part.to_string()).join(".")
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    async fn describe(candidate: &Path, sandboxed: bool) -> Result<Self, String> {
        let kept = KEPT
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        let output = tokio::process::Command::new(candidate)
            .args(["-I", "-B", "-c", DESCRIBE])
            .env_clear()
            .envs(kept)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(PATIENCE, output)
            .await
            .map_err(|_| "it does not answer within 10 seconds".to_owned())?
            .map_err(|error| error.to_string())?;
        let described: Description = serde_json::from_slice(&output.stdout)
            .map_err(|_| "it is not a Python interpreter".to_owned())?;
        let found = Self {
            program: described.executable,
            version: described.version,
            read: described.read,
        };
        if found.version[..2] < OLDEST[..] {
            return Err(format!(
                "Python {} is too old: Python 3.8 or later is needed",
                found.version()
            ));
        }
        if sandboxed && nix::unistd::geteuid().is_root() {
            let library = found.read.iter().filter(|path| path.is_dir());
            for path in library.chain([&found.program]) {
                check_world_readable(path)?;
            }
        }
        Ok(found)
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// Checks that any user can read a path: run as root, a block becomes a user of its own.
fn check_world_readable(path: &Path) -> Result<(), String> {
    let real = path
        .canonicalize()
        .map_err(|error| format!("{}: {error}", path.display()))?;
    for step in real.ancestors() {
        let mode = step
            .metadata()
            .map_err(|error| format!("{}: {error}", step.display()))?
            .mode();
        // Execute permission passes a directory or starts the program. The path itself must be readable too.
        let needed = if step == real { 0o5 } else { 0o1 };
        if mode & needed != needed {
            return Err(format!(
                "the sandbox's user cannot read {} (because of the permissions of {})",
                path.display(),
                step.display()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_closed_directory_above_is_noticed() {
        let home = std::env::temp_dir().join(format!("keyroll-read-{}", std::process::id()));
        let inner = home.join("inner");
        std::fs::create_dir_all(&inner).expect("a directory");
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
        };
        mode(&inner, 0o755);
        mode(&home, 0o755);
        assert_eq!(check_world_readable(&inner), Ok(()));
        mode(&home, 0o700);
        let error = check_world_readable(&inner).expect_err("closed");
        assert!(error.contains("cannot read"), "{error}");
        std::fs::remove_dir_all(&home).expect("cleaned");
    }
}
