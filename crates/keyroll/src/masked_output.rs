//! Masks a command's output while the command runs.

use std::os::fd::AsFd;
use std::time::Duration;

use keyroll_resolver::{RedactStream, Redactor};
use nix::fcntl::{FcntlArg, fcntl};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::watch;
use zeroize::Zeroizing;

/// How much output is read at once.
const PART: usize = 16 * 1024;
/// After this long without output, the command may be waiting for an answer to a prompt. Long enough for output
/// in several pieces, short for a person.
const SILENCE: Duration = Duration::from_millis(100);
/// The default size of a pipe.
const PIPE_BYTES: usize = 64 * 1024;

/// Passes a child's output on until it closes, or until `ended` reports the end of the child: then the output so
/// far, and not what other processes with the same pipe write later.
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

/// Copies until one end closes: a command learns from its own pipe that its reader has gone.
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
    // The reader may have gone.
    let _ = write(&mut to, &stream.finish()).await;
}

async fn write(to: &mut (impl AsyncWrite + Unpin), masked: &[u8]) -> std::io::Result<()> {
    if masked.is_empty() {
        return Ok(());
    }
    to.write_all(masked).await?;
    to.flush().await
}

/// Copies the content of the pipe, at most the size of a pipe, and does not wait for other writers.
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
        // The pipe does not block: an empty pipe gives an error, a closed one gives nothing.
        let Ok(read @ 1..) = nix::unistd::read(from, &mut part[..most]) else {
            break;
        };
        left -= read;
        write(to, &stream.push(&part[..read])).await?;
    }
    Ok(())
}
