//! The subcommands, a file each.

pub(crate) mod accept;
pub(crate) mod audit;
pub(crate) mod block;
pub(crate) mod command;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod console;
pub(crate) mod dev;
pub(crate) mod export;
pub(crate) mod identity;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod login;
pub(crate) mod member;
pub(crate) mod nats;
pub(crate) mod projection;
pub(crate) mod recover;
pub(crate) mod root_key;
pub(crate) mod run;
pub(crate) mod secret;
pub(crate) mod serve;
pub(crate) mod signin;
pub(crate) mod status;
pub(crate) mod workspace;
