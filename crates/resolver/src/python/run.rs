//! What a block asks for, what it gets, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::interpreter::Interpreter;
use super::launcher::PythonLauncher;
use super::process::{Channel, Ends, Message, Process, PythonReferences, read_output};
use super::source::{Nobody, RevealSecrets};
use crate::block::Python;
use crate::error::{Code, ResolveError};
use crate::json::parse_json;
use crate::locate::byte_at;
use crate::redact::Redactor;
use crate::references::{Context, MAX_REFERENCES, Site};
use crate::secret::SecretValues;

/// How Python blocks are run.
#[derive(Debug, Clone)]
pub struct PythonOptions {
    /// How this program starts itself as the launcher.
    pub launcher: PythonLauncher,
    /// Which Python.
    pub interpreter: Interpreter,
    /// Whether every wall of the sandbox has to stand. Without it a block may do whatever this
    /// program may.
    pub sandbox: bool,
    /// Whether the sandbox lets the block open internet sockets. A secret that is bound to hosts
    /// is refused then.
    pub network: bool,
    /// The limit for the whole run.
    pub timeout: Duration,
}

/// What a block's code says of the secrets it uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Analysis {
    /// Every name that the code writes out, with its places.
    pub references: BTreeMap<String, Vec<Site>>,
    /// Line and column, from one, of each use of `secrets` whose name is only known when it runs.
    /// It can reach no name that is not also written out.
    pub dynamic: Vec<(usize, usize)>,
}

/// What a block did. Everything in it is masked.
#[derive(Debug, Clone, PartialEq)]
pub struct PythonResult {
    /// What the block assigned to `result`; null where it assigned nothing or failed.
    pub result: Value,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it printed as errors, and the traceback where it failed.
    pub stderr: Vec<u8>,
    /// Whether it ended with an exception, or without a result.
    pub failed: bool,
    /// What its code says.
    pub analysis: Analysis,
    /// Secrets of the run whose values are too short to be masked.
    pub unmasked: Vec<String>,
}

/// How the conversation ended.
enum End {
    Result(Value),
    /// With a result that cannot be taken, and why.
    NoResult(String),
    Failed,
    /// Without a word.
    Silent,
}

/// Reads the references in a block's code, by the interpreter's own syntax tree. The code is not
/// run; reading it takes place inside the sandbox all the same.
///
/// # Errors
///
/// `block_invalid` with line and column for what is no Python, `sandbox_unavailable`, `timeout`.
pub async fn analyse_python(
    block: &Python,
    options: &PythonOptions,
) -> Result<Analysis, ResolveError> {
    let analyse = async {
        let (_process, ends) = Process::start(options)?;
        let mut run = Run::new(block, ends.channel, options, Nobody);
        run.begin(false, &Value::Null).await;
        run.converse().await?;
        Ok(run.analysis)
    };
    within(options.timeout, analyse)
        .await
        .map_err(|error| error.in_block(&block.name))
}

/// Starts an interpreter inside the sandbox and has it do nothing, so that what is missing is
/// known before a block needs it.
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

/// Runs a block. Each secret is revealed when the code first asks for it, and only if its name is
/// written out in the code.
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
/// // The program starts itself once more, to put up the sandbox around the interpreter.
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
/// let outcome = execute_python(block, &document, &options, &mut Ledger).await?;
/// println!("{}", outcome.result);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// `block_invalid` for what is no Python, `sandbox_unavailable`, `timeout`, `output_limit`; where
/// the block ended because it did not get a secret, the error of that: `denied`,
/// `secret_not_found`, `secret_deleted`, `host_not_allowed`, `value_illegal_for_context`,
/// `audit_unavailable`. Any other exception is an outcome.
pub async fn execute_python(
    block: &Python,
    document: &Value,
    options: &PythonOptions,
    secrets: &mut impl RevealSecrets,
) -> Result<PythonResult, ResolveError> {
    let in_block = |error: ResolveError| error.in_block(&block.name);
    let (mut process, ends) = Process::start(options).map_err(in_block)?;
    let Ends {
        channel,
        stdout,
        stderr,
    } = ends;
    let mut run = Run::new(block, channel, options, secrets);
    let total = AtomicUsize::new(0);
    let (over, ended) = watch::channel(false);
    let all = async {
        let conversation = async {
            run.begin(true, document).await;
            let end = run.converse().await?;
            // What was printed is in the pipes; whatever still runs has no say any more.
            process.kill();
            let how = process.end().await;
            over.send_replace(true);
            Ok((end, how))
        };
        tokio::try_join!(
            conversation,
            read_output(stdout, &total, ended.clone()),
            read_output(stderr, &total, ended)
        )
    };
    let ended = within(options.timeout, all).await;
    process.kill();
    let redactor = Redactor::of(&run.values, &[]);
    let ((end, how), stdout, stderr) =
        ended.map_err(|error| error.in_block(&block.name).masked(&redactor))?;
    let mut stderr = redactor.redact(&stderr);
    let (result, failed) = match end {
        End::Result(result) => (masked(result, &redactor), false),
        End::Failed => (Value::Null, true),
        End::NoResult(why) => {
            stderr.extend(format!("the result cannot be taken: {why}\n").bytes());
            (Value::Null, true)
        }
        End::Silent => {
            stderr.extend(format!("the block ended without a result ({how})\n").bytes());
            (Value::Null, true)
        }
    };
    Ok(PythonResult {
        result,
        stdout: redactor.redact(&stdout),
        stderr,
        failed,
        analysis: run.analysis,
        unmasked: redactor.unmasked().to_vec(),
    })
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, ResolveError>>,
) -> Result<T, ResolveError> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(ResolveError::new(Code::Timeout, "the block took too long")))
}

/// A result with every string, key and number masked.
fn masked(value: Value, redactor: &Redactor) -> Value {
    let text = |text: &str| {
        let masked = redactor.redact(text.as_bytes());
        String::from_utf8_lossy(&masked).into_owned()
    };
    match value {
        Value::String(string) => Value::String(text(&string)),
        Value::Number(number) => {
            let plain = number.to_string();
            let masked = text(&plain);
            if masked == plain {
                Value::Number(number)
            } else {
                Value::String(masked)
            }
        }
        Value::Array(items) => items
            .into_iter()
            .map(|item| masked(item, redactor))
            .collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, item)| (text(&key), masked(item, redactor)))
            .collect(),
        Value::Null | Value::Bool(_) => value,
    }
}

struct Run<'a, S> {
    block: &'a Python,
    channel: Channel,
    options: &'a PythonOptions,
    source: S,
    /// The names that may be asked for; none before the code was read.
    allowed: Option<BTreeSet<String>>,
    analysis: Analysis,
    values: SecretValues,
    /// Why secrets were refused: a block that asks again gets the same answer, and no second entry.
    refused: BTreeMap<String, ResolveError>,
    /// The last of these.
    refusal: Option<ResolveError>,
}

impl<'a, S: RevealSecrets> Run<'a, S> {
    fn new(block: &'a Python, channel: Channel, options: &'a PythonOptions, source: S) -> Self {
        Self {
            block,
            channel,
            options,
            source,
            allowed: None,
            analysis: Analysis::default(),
            values: SecretValues::new(),
            refused: BTreeMap::new(),
            refusal: None,
        }
    }

    /// Hands the block over. Where the child has ended already, the next message says so.
    async fn begin(&mut self, run: bool, document: &Value) {
        let block = &self.block;
        let message = json!({"name": block.name, "code": block.code, "run": run});
        let _ = self.channel.send(&message).await;
        let _ = self.channel.send(document).await;
    }

    async fn converse(&mut self) -> Result<End, ResolveError> {
        while let Some(message) = self.channel.receive().await? {
            match message {
                Message::Sandbox(detail) if self.allowed.is_none() => {
                    return Err(ResolveError::new(Code::SandboxUnavailable, detail));
                }
                Message::Document(what) if self.allowed.is_none() => {
                    let detail = format!("this Python cannot read the document: {what}");
                    return Err(ResolveError::new(Code::BlockInvalid, detail));
                }
                Message::Syntax(what, line, column) if self.allowed.is_none() => {
                    let detail = format!("the code is no Python: {what}");
                    return Err(ResolveError::new(Code::BlockInvalid, detail)
                        .in_place("code")
                        .at_line(line, column));
                }
                Message::Analysis(found) if self.allowed.is_none() => self.learn(found)?,
                Message::Get(name) if self.allowed.is_some() => self.answer(&name).await,
                Message::Result(result) if self.allowed.is_some() => {
                    return Ok(match parse_json(result.get()) {
                        Ok(result) => End::Result(result),
                        Err(error) => End::NoResult(error.detail().to_owned()),
                    });
                }
                Message::Failed(code) if self.allowed.is_some() => {
                    return match self.refusal.take() {
                        Some(refusal) if !code.is_empty() => Err(refusal),
                        _ => Ok(End::Failed),
                    };
                }
                // The block speaks on the channel itself, and out of turn.
                _ => return Ok(End::Silent),
            }
        }
        Ok(End::Silent)
    }

    /// What the code says, before any of it has run: from here on it can say nothing new.
    fn learn(&mut self, found: PythonReferences) -> Result<(), ResolveError> {
        if found.references.len() > MAX_REFERENCES {
            return Err(ResolveError::new(
                Code::BlockInvalid,
                "a block has at most 1000 references",
            ));
        }
        for (name, line, column) in found.references {
            let place = Site {
                path: format!("code line {line} column {column}"),
                offset: byte_at(&self.block.code, (line, column)),
                context: Context::Python,
            };
            self.analysis
                .references
                .entry(name)
                .or_default()
                .push(place);
        }
        self.analysis.dynamic = found.dynamic;
        self.allowed = Some(self.analysis.references.keys().cloned().collect());
        Ok(())
    }

    async fn answer(&mut self, name: &str) {
        let message = match self.value(name).await {
            Ok(()) => match self.values.get(name) {
                Ok(value) => json!({"value": STANDARD.encode(&value.bytes)}),
                Err(error) => json!({"error": error.code(), "message": error.to_string()}),
            },
            Err(error) => {
                let message = json!({"error": error.code(), "message": error.to_string()});
                self.refusal = Some(error);
                message
            }
        };
        // A child that has ended meanwhile is noticed when it is listened to.
        let _ = self.channel.send(&message).await;
    }

    /// Makes sure that a value is there.
    async fn value(&mut self, name: &str) -> Result<(), ResolveError> {
        if self.values.get(name).is_ok() {
            return Ok(());
        }
        if !self.allowed.iter().flatten().any(|known| known == name) {
            return Err(ResolveError::new(
                Code::Denied,
                "the block's code does not write this name out as `secrets.NAME`",
            )
            .about(&name.chars().take(128).collect::<String>()));
        }
        if let Some(refused) = self.refused.get(name) {
            return Err(refused.clone());
        }
        let asked = self.ask(name).await;
        if let Err(error) = &asked {
            self.refused.insert(name.to_owned(), error.clone());
        }
        asked
    }

    async fn ask(&mut self, name: &str) -> Result<(), ResolveError> {
        let open = self.options.network || !self.options.sandbox;
        let bound = || {
            let words = "the secret is bound to hosts, and this block could send it anywhere";
            ResolveError::new(Code::HostNotAllowed, words).about(name)
        };
        if open && !self.source.allowed_hosts(name).await?.is_empty() {
            return Err(bound());
        }
        let value = self.source.reveal(name).await?;
        // What comes with the value counts; the question before only spares a reveal in vain.
        if open && !value.allowed_hosts.is_empty() {
            return Err(bound());
        }
        value.text().map_err(|error| error.about(name))?;
        self.values.insert(name, value);
        Ok(())
    }
}
