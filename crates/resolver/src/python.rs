//! Python blocks: an interpreter of its own for each run, inside a sandbox.
//!
//! | module | holds |
//! |---|---|
//! | `interpreter` | which Python |
//! | `launcher` | the step between this program and the interpreter, that puts up the walls |
//! | `sandbox`, `syscalls`, `elf` | the walls |
//! | `bootstrap.py` | what runs before the block's code: the channel, `secrets`, references |
//! | `process` | the child, its channel and its output |
//! | `run` | what the child asks for and what it gets |
//! | `source` | where that comes from |

#[cfg(target_os = "linux")]
mod elf;
mod interpreter;
mod launcher;
mod process;
mod run;
#[cfg(target_os = "linux")]
mod sandbox;
mod source;
#[cfg(target_os = "linux")]
mod syscalls;

pub use interpreter::Interpreter;
pub use launcher::{PYTHON_CHILD, PythonLauncher, exec_python_child};
pub use run::{
    Analysis, PythonOptions, PythonResult, analyse_python, execute_python, probe_sandbox,
};
pub use source::RevealSecrets;

/// The code that runs before a block's.
const BOOTSTRAP: &str = include_str!("python/bootstrap.py");
