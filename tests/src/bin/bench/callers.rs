//! Callers: this program again, as a separate process, with one connection and one task for each
//! caller. It reads its orders line by line, in JSON, and answers each line with one.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use keyroll_client::{Client, Settings, SignInConsent, Signer};
use keyroll_client::{NewSecretSpec, RequestedValue};
use keyroll_core::command::{Nothing, Purpose};
use keyroll_core::limits::SIGN_IN_MS;
use keyroll_core::sign_in::SignInTerms;
use keyroll_core::{Action, LedgerId, Millis, SecretId, SecretName, Version, WorkspaceName};
use keyroll_wire::time::now;
use serde::{Deserialize, Serialize};

use crate::stats::Times;
use crate::{Failed, machine, service};

/// Secrets that are revealed, at random.
const SECRETS: u32 = 200;

/// A line to the callers.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    /// The first line: the ledger to connect to.
    Connect {
        url: String,
        data: PathBuf,
        workspace: WorkspaceName,
    },
    /// Every later line.
    Do {
        what: What,
        callers: usize,
        millis: u64,
    },
}

/// The actions of callers, each done one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    /// Reveal a secret, check the receipt, open the value and compare it.
    Reveal,
    /// The same through a sign-in of the owner.
    SignedInReveal,
    /// Create a secret.
    Create,
    /// Give the caller's own secret a new value.
    Edit,
}

/// The callers' results when the time is over.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Number of actions done.
    pub(crate) count: u64,
    /// The time they took.
    pub(crate) seconds: f64,
    /// Median duration, in microseconds.
    pub(crate) p50: f64,
    /// 99th percentile.
    pub(crate) p99: f64,
    /// Processor time of the callers.
    pub(crate) computed: f64,
    /// The bytes of one new entry, in hex.
    pub(crate) entry: String,
}

/// The process, from the outside. It is killed when dropped.
pub(crate) struct Callers {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Callers {
    /// Starts it, and makes it create the secrets that it will reveal.
    pub(crate) fn start(url: &str, data: &Path, workspace: &WorkspaceName) -> Result<Self, Failed> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("callers")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut callers = Self {
            child,
            stdin: stdin.ok_or("no stdin")?,
            stdout: BufReader::new(stdout.ok_or("no stdout")?),
        };
        let connect = Line::Connect {
            url: url.to_owned(),
            data: data.to_owned(),
            workspace: workspace.clone(),
        };
        callers.tell(&connect)?;
        Ok(callers)
    }

    /// Lets `callers` of them repeat an action for a time.
    pub(crate) fn act(
        &mut self,
        what: What,
        callers: usize,
        time: Duration,
    ) -> Result<Done, Failed> {
        self.tell(&Line::Do {
            what,
            callers,
            millis: time.as_millis().try_into()?,
        })
    }

    /// Each action ends within the client's own timeout, so a line comes.
    fn tell(&mut self, line: &Line) -> Result<Done, Failed> {
        writeln!(self.stdin, "{}", serde_json::to_string(line)?)?;
        let mut answer = String::new();
        if self.stdout.read_line(&mut answer)? == 0 {
            return Err("the callers failed: see above".into());
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        // A process that has ended is only reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process, from the inside: `bench callers`.
#[tokio::main]
pub(crate) async fn run() -> Result<(), Failed> {
    let mut lines = std::io::stdin().lines();
    let first = lines.next().ok_or("nothing was said")??;
    let Line::Connect {
        url,
        data,
        workspace,
    } = serde_json::from_str(&first)?
    else {
        return Err("first the ledger must be named".into());
    };
    let identity = service::owner(&data)?;
    let client = Client::connect(Settings {
        nats_url: url,
        nats_creds: Some(service::creds(&data)),
        nats_ca: None,
        identity: identity.clone().into(),
        ledger: None,
        home: None,
    })
    .await?;
    let mut crowd = Crowd {
        signed_in: client.clone(),
        client,
        workspace,
        created: Arc::default(),
        editors: Arc::default(),
    };
    let prepared = crowd.prepare().await?;
    // A sign-in is not older than the membership.
    let signer = sign_in(&identity, crowd.client.ledger())?;
    crowd.signed_in = crowd.client.with_signer(signer);
    answer(&prepared)?;
    for line in lines {
        let Line::Do {
            what,
            callers,
            millis,
        } = serde_json::from_str(&line?)?
        else {
            return Err("the ledger is named already".into());
        };
        answer(
            &crowd
                .act(what, callers, Duration::from_millis(millis))
                .await?,
        )?;
    }
    Ok(())
}

/// A fresh key, to which the owner consents for some hours.
fn sign_in(owner: &SigningKey, ledger: LedgerId) -> Result<Signer, Failed> {
    let key = SigningKey::from_bytes(&keyroll_client::random()?);
    let from = now();
    let terms = SignInTerms {
        key: keyroll_client::public(&key),
        from,
        until: Millis(from.0 + SIGN_IN_MS),
        origin: "the bench".parse()?,
    };
    Ok(Signer::signed_in(
        key,
        SignInConsent::by_key(owner, ledger, terms),
    )?)
}

fn answer(done: &Done) -> Result<(), Failed> {
    println!("{}", serde_json::to_string(done)?);
    Ok(())
}

#[derive(Clone)]
struct Crowd {
    client: Client,
    /// A sign-in of the same member, over the same connection.
    signed_in: Client,
    workspace: WorkspaceName,
    created: Arc<AtomicU64>,
    editors: Arc<AtomicU64>,
}

/// The results of one caller.
#[derive(Default)]
struct Share {
    times: Times,
    entry: Vec<u8>,
}

fn name(text: &str) -> Result<SecretName, Failed> {
    Ok(text.parse()?)
}

fn revealed(number: u32) -> String {
    format!("Revealed_{number}")
}

fn value_of(name: &str) -> String {
    format!("the value of {name}")
}

impl Crowd {
    async fn prepare(&self) -> Result<Done, Failed> {
        let begun = Instant::now();
        match self
            .client
            .execute(&self.workspace, Action::WorkspaceCreate(Nothing {}))
            .await
        {
            Err(error) if error.code() != keyroll_core::Code::Conflict => return Err(error.into()),
            _ => {}
        }
        for number in 0..SECRETS {
            self.create(&revealed(number)).await?;
        }
        Ok(Self::done(begun, Duration::ZERO, &[Share::default()]))
    }

    async fn create(&self, text: &str) -> Result<(SecretId, Vec<u8>), Failed> {
        let spec = NewSecretSpec {
            name: name(text)?,
            description: "made by the bench".parse()?,
            hosts: Vec::new(),
            restricted: false,
            rotate_every: None,
        };
        let acted = self
            .client
            .create(&self.workspace, &[(spec, value_of(text).as_bytes())])
            .await?;
        let command = keyroll_core::SignedCommand::decode(&acted.entry.command.0)?;
        let Action::SecretCreate(create) = &command.command().action else {
            return Err("another command was carried out".into());
        };
        Ok((create.secret.id, acted.receipt.entry.0))
    }

    async fn act(&self, what: What, callers: usize, time: Duration) -> Result<Done, Failed> {
        let begun = Instant::now();
        let before = machine::computed(std::process::id());
        let end = begun + time;
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let crowd = self.clone();
                tokio::spawn(async move {
                    match what {
                        What::Reveal => crowd.reveals(&crowd.client, end).await,
                        What::SignedInReveal => crowd.reveals(&crowd.signed_in, end).await,
                        What::Create => crowd.creates(end).await,
                        What::Edit => crowd.edits(end).await,
                    }
                })
            })
            .collect();
        let mut shares = Vec::new();
        for task in tasks {
            shares.push(task.await??);
        }
        Ok(Self::done(begun, before, &shares))
    }

    fn done(begun: Instant, before: Duration, shares: &[Share]) -> Done {
        let seconds = begun.elapsed().as_secs_f64();
        let mut times = Times::default();
        for share in shares {
            times.extend(&share.times);
        }
        let entry = shares.iter().find(|share| !share.entry.is_empty());
        Done {
            count: times.count(),
            seconds,
            p50: times.permille(500),
            p99: times.permille(990),
            computed: machine::computed(std::process::id())
                .saturating_sub(before)
                .as_secs_f64(),
            entry: entry
                .map(|share| hex::encode(&share.entry))
                .unwrap_or_default(),
        }
    }

    async fn reveals(&self, client: &Client, end: Instant) -> Result<Share, Failed> {
        let mut share = Share::default();
        let purpose = Purpose::Run(Nothing {});
        let mut indexes = BTreeSet::new();
        while Instant::now() < end {
            let text = revealed(rand::random_range(0..SECRETS));
            let wanted = [RequestedValue {
                name: name(&text)?,
                version: None,
            }];
            let begun = Instant::now();
            let reveal = client
                .reveal(&self.workspace, &wanted, &purpose, None)
                .await?;
            share.times.add(begun.elapsed());
            let mut warnings = Vec::new();
            let reveal = reveal.warn(|warning| warnings.push(warning));
            let ([opened], []) = (reveal.values.as_slice(), warnings.as_slice()) else {
                return Err("one value was asked for, and nothing has changed".into());
            };
            if *opened.value != value_of(&text).as_bytes() || !indexes.insert(reveal.index) {
                return Err(
                    format!("{text}: another value, or an entry that was there before").into(),
                );
            }
            share.entry = reveal.receipt.entry.0;
        }
        Ok(share)
    }

    async fn creates(&self, end: Instant) -> Result<Share, Failed> {
        let mut share = Share::default();
        while Instant::now() < end {
            let text = format!("Created_{}", self.created.fetch_add(1, Ordering::Relaxed));
            let begun = Instant::now();
            let (_, entry) = self.create(&text).await?;
            share.times.add(begun.elapsed());
            share.entry = entry;
        }
        Ok(share)
    }

    /// Each caller edits a secret of its own, so that versions do not collide.
    async fn edits(&self, end: Instant) -> Result<Share, Failed> {
        let text = format!("Edited_{}", self.editors.fetch_add(1, Ordering::Relaxed));
        let (id, _) = self.create(&text).await?;
        let secret = name(&text)?;
        let mut share = Share::default();
        let mut version = Version::FIRST;
        while Instant::now() < end {
            version = version.next();
            let begun = Instant::now();
            let value = format!("{version} of {text}");
            let edited = self.client.edit(
                &self.workspace,
                (id, &secret),
                version,
                value.as_bytes(),
                (None, None),
            );
            let acted = edited.await?;
            share.times.add(begun.elapsed());
            share.entry = acted.receipt.entry.0;
        }
        Ok(share)
    }
}
