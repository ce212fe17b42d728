//! A command's output, passed on masked while the command runs.

use std::os::fd::AsFd;
use std::time::Duration;

use keyroll_resolver::{RedactStream, Redactor};
use nix::fcntl::{FcntlArg, fcntl};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::watch;
use zeroize::Zeroizing;

/// Output read at once.
const PART: usize = 16 * 1024;
/// After this long without output, the command may be waiting for an answer to what it has printed. Long
/// enough for what a program writes in several pieces, short for a person.
const SILENCE: Duration = Duration::from_millis(100);
/// What a pipe holds where nobody says.
const PIPE_BYTES: usize = 64 * 1024;

/// Passes a child's output on until it ends, or until `ended` says that the child has ended: then what it
/// has written, and not what others that hold its output may write later.
pub(crate) fn pass_on(
    child: &mut Child,
    redactor: Option<&Redactor>,
    ended: watch::Receiver<bool>,
) -> impl Future<Output = ()> + use<> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let streams = redactor.map(|redactor| (redactor.stream(), redactor.stream()));
    let (for_out, for_err) = streams.unzip();
    let (out_ended, err_ended) = (ended.clone(), ended);
    async move {
        let out = async {
            if let (Some(from), Some(stream)) = (out, for_out) {
                copy(from, tokio::io::stdout(), stream, out_ended).await;
            }
        };
        let err = async {
            if let (Some(from), Some(stream)) = (err, for_err) {
                copy(from, tokio::io::stderr(), stream, err_ended).await;
            }
        };
        tokio::join!(out, err);
    }
}

/// Copies until one end closes: a command whose reader has gone is told so by its own pipe.
async fn copy(
    mut from: impl AsyncRead + AsFd + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut stream: RedactStream,
    mut ended: watch::Receiver<bool>,
) {
    let mut part = Zeroizing::new(vec![0_u8; PART]);
    let mut paused = true;
    loop {
        let masked = tokio::select! {
            read = from.read(&mut part) => {
                let Ok(read @ 1..) = read else { break };
                paused = false;
                stream.push(&part[..read])
            }
            () = tokio::time::sleep(SILENCE), if !paused => {
                paused = true;
                stream.pause()
            }
            _ = ended.wait_for(|ended| *ended) => {
                if drain(&from, &mut to, &mut stream, &mut part).await.is_err() {
                    return;
                }
                break;
            }
        };
        if write(&mut to, &masked).await.is_err() {
            return;
        }
    }
    // Whoever read it has gone: nobody is left to tell.
    let _ = write(&mut to, &stream.finish()).await;
}

async fn write(to: &mut (impl AsyncWrite + Unpin), masked: &[u8]) -> std::io::Result<()> {
    if masked.is_empty() {
        return Ok(());
    }
    to.write_all(masked).await?;
    to.flush().await
}

/// Copies what is in the pipe. That is at most what a pipe holds: whoever goes on writing into it is not
/// waited for.
async fn drain(
    from: &impl AsFd,
    to: &mut (impl AsyncWrite + Unpin),
    stream: &mut RedactStream,
    part: &mut [u8],
) -> std::io::Result<()> {
    let holds = fcntl(from, FcntlArg::F_GETPIPE_SZ).ok();
    let mut left = holds
        .and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or(PIPE_BYTES);
    while left > 0 {
        let most = left.min(part.len());
        // The pipe is not waited for: when it is empty this is an error, as at its end there is nothing.
        let Ok(read @ 1..) = nix::unistd::read(from, &mut part[..most]) else {
            break;
        };
        left -= read;
        write(to, &stream.push(&part[..read])).await?;
    }
    Ok(())
}
