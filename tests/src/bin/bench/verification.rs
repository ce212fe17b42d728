//! Full verification of a log as any client can do it, from commits that the service returns.

use std::time::{Duration, Instant};

use keyroll_audit::verify::{Depth, Verifier};
use keyroll_client::Client;
use keyroll_client::unexpected;
use keyroll_core::command::Nothing;
use keyroll_core::{Blob, Index, LedgerId, WorkspaceName};
use keyroll_merkle::{Checkpoint, SignedCheckpoint};
use keyroll_wire::query::{AuditCommits, Question};
use keyroll_wire::reply::Answer;

use crate::stats::{float, median, median_ratio};
use crate::{Extent, Failed, limits, machine};

/// A workspace's commits, with a checkpoint over them.
pub(crate) struct Exported {
    ledger: LedgerId,
    workspace: WorkspaceName,
    commits: Vec<Blob>,
    checkpoint: Checkpoint,
}

/// Verification beside its limit.
pub(crate) struct Verification {
    /// Actors' and the ledger's signatures per second.
    pub(crate) signatures: f64,
    /// Signatures that one core verifies per second if it does nothing else.
    pub(crate) strict: f64,
    /// Signatures that all cores together verify.
    pub(crate) strict_together: f64,
    /// The median of the rounds' ratios, over the product of `strict` and cores.
    pub(crate) ratio: f64,
    /// Core microseconds per signature in a full verification, and in bare verification.
    pub(crate) computed: [f64; 2],
    /// The median of the rounds' ratios of these. Other work on the machine affects it less.
    pub(crate) ratio_computed: f64,
}

/// Signatures verified per second, and the core microseconds of each.
struct Pace {
    rate: f64,
    computed: f64,
}

impl Pace {
    /// The pace of a function that returns the number of signatures it verified and the time.
    fn of(verify: impl FnOnce() -> Result<(u64, Duration), Failed>) -> Result<Self, Failed> {
        let before = machine::computed(std::process::id());
        let (count, took) = verify()?;
        let computed = machine::computed(std::process::id()).saturating_sub(before);
        Ok(Self {
            rate: float(count) / took.as_secs_f64(),
            computed: computed.as_secs_f64() * 1e6 / float(count),
        })
    }
}

impl Exported {
    /// Fetches the whole log.
    pub(crate) async fn of(client: &Client, workspace: &WorkspaceName) -> Result<Self, Failed> {
        let asked = client
            .query(Some(workspace), Question::AuditCheckpoint(Nothing {}))
            .await?;
        let Answer::AuditCheckpoint(note) = asked.answer else {
            return Err(unexpected().into());
        };
        let checkpoint = SignedCheckpoint::open(&note.checkpoint, &client.verifier(workspace)?)?;
        let (mut commits, mut next) = (Vec::new(), Some(Index(0)));
        while let Some(first) = next {
            let asked = client
                .query(
                    Some(workspace),
                    Question::AuditCommits(AuditCommits { first }),
                )
                .await?;
            let Answer::AuditCommits(page) = asked.answer else {
                return Err(unexpected().into());
            };
            commits.extend(page.commits);
            next = page.next;
        }
        Ok(Self {
            ledger: client.ledger(),
            workspace: workspace.clone(),
            commits,
            checkpoint,
        })
    }

    pub(crate) fn entries(&self) -> u64 {
        self.checkpoint.size
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.len() as u64
    }

    /// Verifies all of it. Returns the number of signatures and the time.
    fn verify(&self) -> Result<(u64, Duration), Failed> {
        let begun = Instant::now();
        let mut verifier = Verifier::new(self.ledger, self.workspace.clone(), Depth::Full);
        for commit in &self.commits {
            verifier.commit(&commit.0);
        }
        let report = verifier.finish(Some(&self.checkpoint));
        let took = begun.elapsed();
        if !report.ok() || !report.end_proven || report.entries != self.entries() {
            return Err(format!("the log does not verify: {:?}", report.problems.first()).into());
        }
        Ok((self.entries() + self.commits(), took))
    }

    /// Verifies it in turns with the limit.
    pub(crate) fn measure(&self, plan: &Extent) -> Result<Verification, Failed> {
        let (mut signatures, mut strict, mut together) = (Vec::new(), Vec::new(), Vec::new());
        let time = plan.short / 2;
        let cores = machine::cores();
        for _ in 0..plan.rounds {
            strict.push(Pace::of(|| limits::verify_strict(time))?);
            signatures.push(Pace::of(|| self.verify())?);
            together.push(limits::verify_strict_together(
                Duration::from_millis(500),
                cores,
            )?);
        }
        let rates = |paces: &[Pace]| paces.iter().map(|pace| pace.rate).collect::<Vec<_>>();
        let computed = |paces: &[Pace]| paces.iter().map(|pace| pace.computed).collect::<Vec<_>>();
        let product = rates(&strict);
        let product: Vec<f64> = product
            .iter()
            .map(|rate| rate * float(cores as u64))
            .collect();
        Ok(Verification {
            signatures: median(&rates(&signatures)),
            strict: median(&rates(&strict)),
            strict_together: median(&together),
            ratio: median_ratio(&rates(&signatures), &product),
            computed: [median(&computed(&signatures)), median(&computed(&strict))],
            ratio_computed: median_ratio(&computed(&strict), &computed(&signatures)),
        })
    }
}
