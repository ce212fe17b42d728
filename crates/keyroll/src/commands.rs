//! The subcommands, a file each.

pub(crate) mod audit;
pub(crate) mod block;
pub(crate) mod command;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod console;
pub(crate) mod delegation;
pub(crate) mod dev;
pub(crate) mod export;
pub(crate) mod identity;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod member;
pub(crate) mod projection;
pub(crate) mod recover;
pub(crate) mod root_key;
pub(crate) mod run;
pub(crate) mod secret;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod workspace;

use crate::cli::Command;
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::{Exit, Status};

/// Runs a subcommand.
pub(crate) async fn dispatch(context: &Context, command: Command) -> Result<Status, Failure> {
    let done = match command {
        Command::Dev(args) => return dev::run(context, args).await,
        Command::Audit(command) => return audit::run(context, command).await,
        Command::Block(command) => return block::run(context, command).await,
        Command::Run(args) => return run::run(context, args).await,
        Command::Import(args) => import::run(context, args).await,
        Command::Export(args) => export::run(context, args).await,
        Command::Init(args) => init::run(context, args).await,
        Command::Serve(args) => serve::run(context, args).await,
        Command::Identity(command) => identity::run(context, &command),
        Command::Signed(command) => command::run(context, command).await,
        Command::Workspace(command) => workspace::run(context, command).await,
        Command::Delegation(command) => delegation::run(context, command).await,
        Command::Member(command) => member::run(context, command).await,
        Command::RootKey(command) => root_key::run(context, &command),
        Command::Secret(command) => secret::run(context, command).await,
        Command::Console(args) => console::run(context, args).await,
        Command::Key(command) => key::run(context, command).await,
        Command::Projection(command) => projection::run(context, command).await,
        Command::Recover(args) => recover::run(context, args).await,
        Command::Status => return status::run(context).await,
        Command::Config(command) => config::run(context, &command),
        Command::Completions(args) => completions::completions(context, &args),
        Command::Man(args) => completions::man(context, &args),
    };
    done.map(|()| Exit::Ok.into())
}
