//! From arguments to exit status.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use keyroll_resolver::{PYTHON_CHILD, exec_python_child};
use keyroll_server::dev::{CHILD_COMMAND, exec_child};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::cli::Cli;
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::{Exit, Status};
use crate::output::Output;
use crate::usage;

/// Runs the program.
pub(crate) fn run() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // Before anything else: the process becomes nats-server.
    if arguments
        .get(1)
        .is_some_and(|argument| argument == CHILD_COMMAND)
    {
        let Err(error) = exec_child(arguments.into_iter().skip(2));
        Output::new(false).failure(&Failure::local(error.to_string()));
        return Status::from(Exit::Other).into();
    }
    // The process becomes a block's Python, inside the sandbox.
    if arguments
        .get(1)
        .is_some_and(|argument| argument == PYTHON_CHILD)
    {
        let Err(error) = exec_python_child(arguments.into_iter().skip(2));
        Output::new(false).failure(&Failure::local(error));
        return Status::from(Exit::Other).into();
    }
    forbid_core_dumps();
    match Cli::try_parse_from(&arguments) {
        Ok(cli) => execute(cli).into(),
        Err(error) => {
            let text = |argument: &OsString| argument.to_string_lossy().into_owned();
            usage::report(error, &arguments.iter().map(text).collect::<Vec<_>>()).into()
        }
    }
}

/// Forbids core dumps, which would hold values and keys. If that fails, the limits stay.
fn forbid_core_dumps() {
    let hard = getrlimit(Resource::RLIMIT_CORE).map_or(0, |(_, hard)| hard);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, hard);
    // The limit does not apply where the kernel pipes cores to a program, nor to other processes of the same
    // user that read this one's memory.
    let _ = nix::sys::prctl::set_dumpable(false);
}

fn execute(cli: Cli) -> Status {
    let out = Output::new(cli.global.json);
    let context = Context {
        global: cli.global,
        out,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(cli.command.run(&context));
            // A pending read from the terminal must not delay the exit.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::local(format!("cannot start: {error}"))),
    };
    match result {
        Ok(status) => status,
        Err(failure) => {
            out.failure(&failure);
            match failure {
                Failure::Reported { exit, .. } => exit.into(),
                Failure::Pipe => Exit::Ok.into(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_core_of_this_program_is_dumped() {
        forbid_core_dumps();
        let (soft, _) = getrlimit(Resource::RLIMIT_CORE).expect("the limit");
        let dumpable = nix::sys::prctl::get_dumpable().expect("whether it is dumpable");
        assert_eq!((soft, dumpable), (0, false));
    }
}
