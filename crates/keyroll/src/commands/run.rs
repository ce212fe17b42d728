//! `keyroll run`: a command with secrets in its environment, its output masked.

use std::ffi::{OsStr, OsString};
use std::future::poll_fn;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;
use std::task::Poll;

use clap::Args;
use keyroll_api::client::Opened;
use keyroll_core::command::{Nothing, Purpose};
use keyroll_core::{Code, SecretName, limits};
use keyroll_resolver::{RedactStream, Redactor};
use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use super::secret::text;
use crate::child::{check_startable, not_started, send, status_of};
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::Status;
use crate::reveals::{self, Chosen};
use crate::steering::steers;

/// Output read at once.
const PART: usize = 16 * 1024;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Only these secrets [default: all that you may see, but for restricted ones and names such as
    /// PATH and LD_PRELOAD by which programs are steered]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Give its output out as it is, values and all; it then has the terminal to itself
    #[arg(long)]
    no_masking: bool,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The command; each secret is a variable of its environment
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

pub(crate) async fn run(context: &Context, args: RunArgs) -> Result<Status, Failure> {
    let only = reveals::names(&args.only)?;
    let reason = text(args.reason)?;
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::usage("which command?"));
    };
    let session = context.session().await?;
    let all = only.is_none();
    let Chosen {
        mut names,
        left_out,
    } = reveals::choose(&session, only).await?;
    reveals::note_left_out(context, &left_out);
    if all {
        leave_out_steering(context, &mut names);
    }
    if names.len() > limits::REVEAL_SECRETS {
        return Err(Failure::coded(
            Code::TooLarge,
            format!(
                "{} secrets are more than the {} of one entry: name those that it needs with --only",
                names.len(),
                limits::REVEAL_SECRETS
            ),
        ));
    }
    // A secret may be the path itself.
    let on_own_path = !names.iter().any(|name| name.as_str() == "PATH");
    if on_own_path && let Err(error) = check_startable(program) {
        return Ok(not_started(program, &error));
    }
    let values = if names.is_empty() {
        context.out.note("no secrets: there are none for it");
        Vec::new()
    } else {
        let purpose = Purpose::Run(Nothing {});
        reveals::at_once((context, &session), &names, &purpose, reason.as_ref())
            .await?
            .values
    };
    // The connection is of no more use.
    drop(session);
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    for opened in &values {
        command.env(opened.name.as_str(), variable(opened)?);
    }
    let redactor = if args.no_masking {
        None
    } else {
        Some(redactor(context, &values))
    };
    drop(values);
    supervise(command, program, redactor).await
}

/// Leaves out what would decide which programs run and what they load, unless it was asked for.
fn leave_out_steering(context: &Context, names: &mut Vec<SecretName>) {
    let (steering, rest) = names
        .drain(..)
        .partition::<Vec<_>, _>(|name| steers(name.as_str()));
    *names = rest;
    if !steering.is_empty() {
        let steering: Vec<&str> = steering.iter().map(SecretName::as_str).collect();
        context.out.note(&format!(
            "left out, as programs are steered by variables of these names: {}; name them with --only \
             if that is meant",
            steering.join(", ")
        ));
    }
}

/// A value as a variable of the environment, which ends at the first NUL and is text to most.
fn variable(opened: &Opened) -> Result<&OsStr, Failure> {
    if opened.value.contains(&0) || std::str::from_utf8(&opened.value).is_err() {
        let message = format!(
            "the value of {} is no text, so it cannot be a variable: leave it out with --only; \
             nothing was started",
            opened.name
        );
        return Err(Failure::coded(Code::InvalidValue, message));
    }
    Ok(OsStr::from_bytes(&opened.value))
}

fn redactor(context: &Context, values: &[Opened]) -> Redactor {
    let values: Vec<(&str, &[u8])> = values
        .iter()
        .map(|opened| (opened.name.as_str(), opened.value.as_slice()))
        .collect();
    let redactor = Redactor::new(&values);
    for name in redactor.unmasked() {
        context.out.note(&format!(
            "warning: the value of {name} has less than 8 bytes and is not masked"
        ));
    }
    redactor
}

/// Signals that are passed on: what ends a program, and what asks one to do something of its own.
const FORWARDED: [(SignalKind, Signal); 7] = [
    (SignalKind::interrupt(), Signal::SIGINT),
    (SignalKind::quit(), Signal::SIGQUIT),
    (SignalKind::terminate(), Signal::SIGTERM),
    (SignalKind::hangup(), Signal::SIGHUP),
    (SignalKind::user_defined1(), Signal::SIGUSR1),
    (SignalKind::user_defined2(), Signal::SIGUSR2),
    (SignalKind::alarm(), Signal::SIGALRM),
];

/// What comes of [`FORWARDED`].
struct Forwarded(Vec<(Signals, Signal)>);

impl Forwarded {
    fn new() -> Result<Self, Failure> {
        let failed = |error| Failure::local(format!("signals cannot be received: {error}"));
        let on = |(kind, passed)| match signal(kind) {
            Ok(signals) => Ok((signals, passed)),
            Err(error) => Err(failed(error)),
        };
        let received: Result<Vec<_>, Failure> = FORWARDED.into_iter().map(on).collect();
        received.map(Self)
    }

    /// The next one. `None` for what the terminal has sent to the command as well.
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

/// Whether keys at a terminal reach this program, and with it the command, which is of the same
/// process group: passed on, an interrupt would reach the command twice.
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
    let mut signals = Forwarded::new()?;
    if redactor.is_some() {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ok(not_started(program, &error)),
    };
    // The values stay with the child.
    drop(command);
    let output = masked(&mut child, redactor.as_ref());
    tokio::pin!(output);
    let mut written = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => {
                let lost = |error| Failure::local(format!("the command was lost: {error}"));
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
    // What the command has left running may still write; a signal ends the wait for it.
    while !written {
        tokio::select! {
            () = &mut output => written = true,
            _ = signals.next() => break,
        }
    }
    Ok(status)
}

/// Passes a child's output on, masked.
fn masked(child: &mut Child, redactor: Option<&Redactor>) -> impl Future<Output = ()> + use<> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let streams = redactor.map(|redactor| (redactor.stream(), redactor.stream()));
    let (for_out, for_err) = streams.unzip();
    async move {
        let out = async {
            if let (Some(from), Some(stream)) = (out, for_out) {
                copy(from, tokio::io::stdout(), stream).await;
            }
        };
        let err = async {
            if let (Some(from), Some(stream)) = (err, for_err) {
                copy(from, tokio::io::stderr(), stream).await;
            }
        };
        tokio::join!(out, err);
    }
}

/// Copies until one end closes: a command whose reader has gone is told so by its own pipe.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut stream: RedactStream,
) {
    let mut part = zeroize::Zeroizing::new(vec![0_u8; PART]);
    while let Ok(read @ 1..) = from.read(&mut part).await {
        let masked = stream.push(&part[..read]);
        if !masked.is_empty() && (to.write_all(&masked).await.is_err() || to.flush().await.is_err())
        {
            return;
        }
    }
    if to.write_all(&stream.finish()).await.is_ok() {
        // Whoever read it has gone: nobody is left to tell.
        let _ = to.flush().await;
    }
}
