//! Running a Python block, or only reading the references in its code.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use super::conversation::{BlockEnd, Conversation};
use super::options::PythonOptions;
use super::process::{ChildIo, ChildProcess, read_output};
use super::result::{Analysis, PythonResult, masked};
use super::reveal_secrets::{NoSecrets, RevealSecrets};
use crate::block::Python;
use crate::error::{Code, ResolveError};
use crate::redact::Redactor;

/// Finds the references in a block's code with the interpreter's own parser. The code does not run. The
/// parser runs in the sandbox.
///
/// # Errors
///
/// `block_invalid` with line and column for code that is not valid Python, `sandbox_unavailable`, `timeout`.
pub async fn analyse_python(
    block: &Python,
    options: &PythonOptions,
) -> Result<Analysis, ResolveError> {
    let analyse = async {
        let (_process, io) = ChildProcess::start(options)?;
        let mut conversation = Conversation::new(block, io.channel, options, NoSecrets);
        conversation.begin(false, &Value::Null).await;
        conversation.converse().await?;
        Ok(conversation.analysis)
    };
    within(options.timeout, analyse)
        .await
        .map_err(|error| error.in_block(&block.name))
}

/// Starts an interpreter in the sandbox and runs nothing. It shows whether the sandbox works here, before a
/// block needs it.
///
/// # Errors
///
/// `sandbox_unavailable`.
pub async fn probe_sandbox(options: &PythonOptions) -> Result<(), ResolveError> {
    let nothing = Python {
        name: "probe".to_owned(),
        code: String::new(),
    };
    match analyse_python(&nothing, options).await {
        Err(error) if error.kind() != Code::SandboxUnavailable => {
            Err(ResolveError::new(Code::SandboxUnavailable, error.detail()))
        }
        other => other.map(drop),
    }
}

/// Runs a block. Each secret is revealed when the code first asks for it, and only if the code contains its
/// name.
///
/// ```no_run
/// use std::time::Duration;
///
/// use keyroll_resolver::{
///     Block, BlockFile, Interpreter, PythonLauncher, PythonOptions, ResolveError, RevealSecrets,
///     SecretValue, execute_python, exec_python_child,
/// };
///
/// /// Asks the ledger: each call of `reveal` is an entry that names workflow, block and run.
/// struct Ledger;
///
/// impl RevealSecrets for Ledger {
///     async fn allowed_hosts(&mut self, name: &str) -> Result<Vec<String>, ResolveError> {
/// #       let _ = name;
///         Ok(vec![])
///     }
///
///     async fn reveal(&mut self, name: &str) -> Result<SecretValue, ResolveError> {
/// #       let _ = name;
///         Ok(SecretValue::new("from the ledger"))
///     }
/// }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// // The program starts itself once more, to set up the sandbox for the interpreter.
/// let mut args = std::env::args_os().skip(1);
/// if args.next().is_some_and(|first| first == keyroll_resolver::PYTHON_CHILD) {
///     let Err(why) = exec_python_child(args);
///     return Err(why.into());
/// }
/// let options = PythonOptions {
///     launcher: PythonLauncher::this_program()?,
///     interpreter: Interpreter::find(None, true).await?,
///     sandbox: true,
///     network: false,
///     timeout: Duration::from_secs(30),
/// };
/// let file = BlockFile::parse(br#"{"workflow": "intake", "blocks": [
///     {"name": "enrich", "type": "python", "code": "result = len(secrets.API_Key)"}]}"#)?;
/// let Block::Python(block) = file.block(None)? else { unreachable!() };
/// let document = serde_json::json!({"id": 7});
/// let result = execute_python(block, &document, &options, &mut Ledger).await?;
/// println!("{}", result.result);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// `block_invalid` for code that is not valid Python, `sandbox_unavailable`, `timeout`, `output_limit`. If the
/// block ended because it did not get a secret, the reason for that: `denied`, `secret_not_found`,
/// `secret_deleted`, `host_not_allowed`, `value_illegal_for_context`, `audit_unavailable`. Any other exception
/// is a [`PythonResult`] that has `failed`.
pub async fn execute_python(
    block: &Python,
    document: &Value,
    options: &PythonOptions,
    secrets: &mut impl RevealSecrets,
) -> Result<PythonResult, ResolveError> {
    let in_block = |error: ResolveError| error.in_block(&block.name);
    let (mut process, io) = ChildProcess::start(options).map_err(in_block)?;
    let ChildIo {
        channel,
        stdout,
        stderr,
    } = io;
    let mut conversation = Conversation::new(block, channel, options, secrets);
    let total = AtomicUsize::new(0);
    let (ended_sender, ended) = watch::channel(false);
    let all = async {
        let messages = async {
            conversation.begin(true, document).await;
            let end = conversation.converse().await?;
            // The output is in the pipes. Processes that still run are ended.
            process.kill();
            let status = process.wait().await;
            ended_sender.send_replace(true);
            Ok((end, status))
        };
        tokio::try_join!(
            messages,
            read_output(stdout, &total, ended.clone()),
            read_output(stderr, &total, ended)
        )
    };
    let ended = within(options.timeout, all).await;
    process.kill();
    let redactor = Redactor::of(&conversation.values, &[]);
    let ((end, status), stdout, stderr) =
        ended.map_err(|error| redactor.redact_error(in_block(error)))?;
    let (result, note) = match end {
        BlockEnd::Result(result) => (Some(masked(result, &redactor)), String::new()),
        BlockEnd::Failed => (None, String::new()),
        BlockEnd::NoResult(why) => (None, format!("the result cannot be used: {why}\n")),
        BlockEnd::Silent => (
            None,
            format!("the block ended without a result ({status})\n"),
        ),
    };
    let mut stderr = redactor.redact(&stderr);
    stderr.extend(note.bytes());
    Ok(PythonResult {
        failed: result.is_none(),
        result: result.unwrap_or_default(),
        stdout: redactor.redact(&stdout),
        stderr,
        analysis: conversation.analysis,
        unmasked: redactor.unmasked().to_vec(),
    })
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, ResolveError>>,
) -> Result<T, ResolveError> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(ResolveError::new(
            Code::Timeout,
            "the block did not end within the time limit",
        ))
    })
}
