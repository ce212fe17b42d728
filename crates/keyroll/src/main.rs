//! The program `keyroll`: the command line, and the processes that it starts.
//!
//! `cli` is the tree of subcommands; `commands` has a file for each, which parses its arguments, talks to the
//! ledger through a `session` and prints through `output`. `options` and `input` hold the arguments that several
//! subcommands share. Rules about secrets are not here: the ledger decides every command.

mod certificate;
mod child;
mod cli;
mod commands;
mod config;
mod context;
mod dry_run;
mod environment_limit;
mod environment_policy;
mod error;
mod exit_code;
mod generate;
mod identity_file;
mod input;
mod journal;
mod masked_output;
mod omitted;
mod options;
mod output;
mod part_file;
mod passphrase;
mod private_file;
mod reveals;
mod root_key_place;
mod run;
mod secret_rows;
mod serve_file;
mod session;
mod shutdown;
mod time;
mod usage;

use std::process::ExitCode;

/// Gives memory back to the system: glibc's allocator keeps what a service no longer needs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run::run()
}
