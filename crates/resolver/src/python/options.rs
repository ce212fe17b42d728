//! How Python blocks are run.

use std::time::Duration;

use super::interpreter::Interpreter;
use super::launcher::PythonLauncher;

/// How Python blocks are run.
#[derive(Debug, Clone)]
pub struct PythonOptions {
    /// How to start this program as the launcher.
    pub launcher: PythonLauncher,
    /// The Python to run.
    pub interpreter: Interpreter,
    /// Whether blocks run in the sandbox. Without it a block may do whatever this program may.
    pub sandbox: bool,
    /// Whether the sandbox lets the block open internet sockets. If so, the block gets no secret that is
    /// bound to hosts.
    pub network: bool,
    /// The time limit for the whole run.
    pub timeout: Duration,
}
