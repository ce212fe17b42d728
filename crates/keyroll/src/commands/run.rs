//! `keyroll run`: runs a command with secrets in its environment, and masks its output.

use std::ffi::{OsStr, OsString};
use std::future::poll_fn;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;
use std::task::Poll;

use clap::Args;
use keyroll_client::RevealedValue;
use keyroll_core::SecretName;
use keyroll_core::command::{Nothing, Purpose};
use keyroll_resolver::Redactor;
use nix::sys::signal::Signal;
use tokio::process::Command;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::watch;

use crate::child::{check_startable, not_started, send, status_of};
use crate::context::Context;
use crate::environment_limit;
use crate::environment_policy::controls_programs;
use crate::error::Failure;
use crate::exit_code::Status;
use crate::input::text;
use crate::masked_output::pass_on;
use crate::omitted::{Omitted, Reason};
use crate::reveals::{self, Selection};

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    selection: Selection,
    /// Do not mask values in the command's output. The command then writes directly to the terminal
    #[arg(long)]
    no_masking: bool,
    /// Reason, for the audit log [default: none]
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Command to run; each secret is a variable of its environment. Without --only, keyroll leaves out
    /// names that control other programs (PATH, LD_PRELOAD, *_OPTIONS) and variables that are already set
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

pub(crate) async fn run(context: &Context, args: RunArgs) -> Result<Status, Failure> {
    let selected = args.selection.parse()?;
    let reason = text(args.reason)?;
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::usage("no command to run. Add one after `--`"));
    };
    let session = context.session().await?;
    let place = (context, &session);
    let (mut names, mut omitted) = reveals::choose(place, &selected).await?;
    if selected.only.is_none() {
        leave_out_by_policy(&mut names, &mut omitted);
    }
    selected.check(&omitted, names.len(), "nothing was started")?;
    // A secret may set PATH itself.
    let on_own_path = !names.iter().any(|name| name.as_str() == "PATH");
    if on_own_path && let Err(error) = check_startable(program) {
        return Ok(not_started(program, &error));
    }
    let purpose = Purpose::Run(Nothing {});
    let why = (&purpose, reason.as_ref());
    let revealed = reveals::paged(place, &names, why, (&selected, &mut omitted)).await?;
    // The connection is no longer needed.
    drop(session);
    let values = variables(revealed.values, &args.command, &mut omitted);
    let recorded = match revealed.entries.as_slice() {
        [] => "nothing was started",
        _ => "nothing was started, but the audit log has the reveals",
    };
    selected.check(&omitted, values.len(), recorded)?;
    omitted.note(context, "left out");
    if values.is_empty() {
        context
            .out
            .note("the command gets no secrets: there are none for it");
    }
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    for opened in &values {
        command.env(opened.name.as_str(), OsStr::from_bytes(&opened.value));
    }
    let redactor = if args.no_masking {
        None
    } else {
        Some(redactor(context, &values))
    };
    drop(values);
    supervise(command, program, redactor).await
}

/// Leaves out names that control other programs, and variables that are already set: the caller has to ask for
/// them by name.
fn leave_out_by_policy(names: &mut Vec<SecretName>, omitted: &mut Omitted) {
    names.retain(|name| {
        let reason = if controls_programs(name.as_str()) {
            Reason::ControlsPrograms
        } else if std::env::var_os(name.as_str()).is_some() {
            Reason::AlreadySet
        } else {
            return true;
        };
        omitted.add(name.clone(), reason);
        false
    });
}

/// The values that can be variables: text without NUL, as many as the environment holds. The largest are left
/// out first, so that one value does not exclude many.
fn variables(
    mut values: Vec<RevealedValue>,
    command: &[OsString],
    omitted: &mut Omitted,
) -> Vec<RevealedValue> {
    values.retain(|opened| {
        let text = !opened.value.contains(&0) && std::str::from_utf8(&opened.value).is_ok();
        if !text {
            omitted.add(opened.name.clone(), Reason::NotText);
        }
        text
    });
    let size = |opened: &RevealedValue| {
        environment_limit::variable(opened.name.as_str().len(), opened.value.len())
    };
    let mut sizes: Vec<(usize, usize)> = values.iter().map(size).zip(0..).collect();
    let room = environment_limit::left(command);
    let mut total: usize = sizes.iter().map(|(size, _)| size).sum();
    sizes.sort_unstable();
    let mut too_large = Vec::new();
    while total > room
        && let Some((size, at)) = sizes.pop()
    {
        total -= size;
        too_large.push(at);
    }
    let mut at = 0..;
    values.retain(|opened| {
        let fits = at.next().is_none_or(|at| !too_large.contains(&at));
        if !fits {
            omitted.add(opened.name.clone(), Reason::TooLarge);
        }
        fits
    });
    values
}

fn redactor(context: &Context, values: &[RevealedValue]) -> Redactor {
    let values: Vec<(&str, &[u8])> = values
        .iter()
        .map(|opened| (opened.name.as_str(), opened.value.as_slice()))
        .collect();
    let redactor = Redactor::new(&values);
    match redactor.unmasked() {
        [] => {}
        [name] => context.out.warn(&format!(
            "the value of {name} is shorter than 8 bytes and is not masked"
        )),
        names => context.out.warn(&format!(
            "values shorter than 8 bytes are not masked: {}",
            names.join(", ")
        )),
    }
    redactor
}

/// The signals that are forwarded: those that end a program, and those with a meaning of its own.
const FORWARDED: [(SignalKind, Signal); 7] = [
    (SignalKind::interrupt(), Signal::SIGINT),
    (SignalKind::quit(), Signal::SIGQUIT),
    (SignalKind::terminate(), Signal::SIGTERM),
    (SignalKind::hangup(), Signal::SIGHUP),
    (SignalKind::user_defined1(), Signal::SIGUSR1),
    (SignalKind::user_defined2(), Signal::SIGUSR2),
    (SignalKind::alarm(), Signal::SIGALRM),
];

/// Receives the signals of [`FORWARDED`].
struct ForwardedSignals(Vec<(Signals, Signal)>);

impl ForwardedSignals {
    fn new() -> Result<Self, Failure> {
        let failed = |error| Failure::local(format!("signals cannot be received: {error}"));
        let on = |(kind, passed)| match signal(kind) {
            Ok(signals) => Ok((signals, passed)),
            Err(error) => Err(failed(error)),
        };
        let received: Result<Vec<_>, Failure> = FORWARDED.into_iter().map(on).collect();
        received.map(Self)
    }

    /// The next signal; `None` for one that the terminal has sent to the command as well.
    async fn next(&mut self) -> Option<Signal> {
        let came = poll_fn(|context| {
            let came = self.0.iter_mut().find_map(|(signals, passed)| {
                signals.poll_recv(context).is_ready().then_some(*passed)
            });
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        let from_keys = matches!(came, Signal::SIGINT | Signal::SIGQUIT) && from_terminal();
        (!from_keys).then_some(came)
    }
}

/// Whether keys at a terminal send signals to this program, and so to the command, which is in the same
/// process group: a forwarded interrupt would reach the command twice.
fn from_terminal() -> bool {
    let Ok(terminal) = std::fs::File::open("/dev/tty") else {
        return false;
    };
    nix::unistd::tcgetpgrp(terminal).is_ok_and(|foreground| foreground == nix::unistd::getpgrp())
}

async fn supervise(
    mut command: Command,
    program: &OsStr,
    redactor: Option<Redactor>,
) -> Result<Status, Failure> {
    let mut signals = ForwardedSignals::new()?;
    if redactor.is_some() {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ok(not_started(program, &error)),
    };
    // The values stay with the child.
    drop(command);
    let (sender, ended) = watch::channel(false);
    let output = pass_on(&mut child, redactor.as_ref(), ended);
    tokio::pin!(output);
    let mut written = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => {
                let lost = |error| Failure::local(format!("the command's status is unknown: {error}"));
                break status_of(status.map_err(lost)?);
            }
            () = &mut output, if !written => written = true,
            signal = signals.next() => {
                if let Some(signal) = signal {
                    send(&child, signal);
                }
            }
        }
    };
    // Pass on the output of the command, and do not wait for processes that it left running.
    let _ = sender.send(true);
    while !written {
        tokio::select! {
            () = &mut output => written = true,
            // The reader of the output may be slow: a signal ends this wait.
            _ = signals.next() => break,
        }
    }
    Ok(status)
}
