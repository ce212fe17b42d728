//! Python blocks. Each run has an interpreter of its own, in a sandbox.
//!
//! | file | holds |
//! |---|---|
//! | `options`, `result` | what a run needs and returns |
//! | `interpreter` | finding a Python |
//! | `launcher` | the step between this program and the interpreter, which sets up the sandbox |
//! | `sandbox`, `elf` | the sandbox: user, limits, files |
//! | `syscalls` | the sandbox: the list of allowed system calls and the seccomp filter |
//! | `bootstrap.py` | the code that runs before the block's: the channel, `secrets`, references |
//! | `process` | the child process, its channel and its output |
//! | `conversation` | the messages between a run and its child |
//! | `execute` | running a block |
//! | `reveal_secrets` | the trait that supplies values |

mod conversation;
#[cfg(target_os = "linux")]
mod elf;
mod execute;
mod interpreter;
mod launcher;
mod options;
mod process;
mod result;
mod reveal_secrets;
#[cfg(target_os = "linux")]
mod sandbox;
#[cfg(target_os = "linux")]
mod syscalls;

pub use execute::{analyse_python, execute_python, probe_sandbox};
pub use interpreter::Interpreter;
pub use launcher::{PYTHON_CHILD, PythonLauncher, exec_python_child};
pub use options::PythonOptions;
pub use result::{Analysis, PythonResult};
pub use reveal_secrets::RevealSecrets;

/// The code that runs before a block's.
const BOOTSTRAP: &str = include_str!("python/bootstrap.py");
