//! A long log beside a short one: start, audit queries, size on disk and in memory, rebuild.

use std::path::Path;
use std::time::{Duration, Instant};

use keyroll_client::Client;
use keyroll_client::unexpected;
use keyroll_core::command::Nothing;
use keyroll_core::{Digest, Millis, TreeSize, WorkspaceName};
use keyroll_wire::query::{AsOf, AuditLog, PAGE_ROWS, Question, SecretList};
use keyroll_wire::reply::{Answer, ProjectionRebuild};

use crate::report::Report;
use crate::service::Service;
use crate::stats::{Times, float, median, median_ratio};
use crate::{Extent, Failed, bundle, fill, limits, machine, say};

/// Rows of one audit query, as a page shows them.
const ROWS: u32 = 50;
/// Rows of a rarely used secret, each in another commit.
const SCATTERED: u32 = 25;
/// Rows of a run of a block.
const OF_RUN: u32 = 10;
/// Queries of each kind in one round.
const QUERIES: usize = 40;
/// Longer than any rebuild takes.
const REBUILD: Duration = Duration::from_secs(900);
/// Starts differ little from each other.
const STARTS: usize = 3;
/// Rebuilds are long enough to need few.
const REBUILDS: usize = 3;

/// A ledger with a log that was filled, and its service.
struct Filled {
    service: Service,
    client: Client,
    workspace: WorkspaceName,
    entries: u64,
}

impl Filled {
    async fn new(
        plan: &Extent,
        data: &Path,
        entries: u64,
        report: &mut Report,
    ) -> Result<Self, Failed> {
        say(&format!("a log of {entries} entries"));
        // Makes keys and streams.
        Service::start(data)?.stop()?;
        let workspace: WorkspaceName = "archive".parse()?;
        let filled = fill::fill(
            data,
            &workspace,
            (entries, plan.commit_entries),
            fill::MONTH,
        )
        .await?;
        report.figure(
            format!("fill_{entries}_seconds"),
            filled.seconds,
            "s, by this program",
        );
        report.figure(
            format!("entries_per_commit_{entries}"),
            float(entries) / float(filled.commits),
            "entries",
        );
        let service = Service::start(data)?;
        let first = service.started_in.as_secs_f64();
        report.figure(
            format!("start_without_read_model_{entries}_seconds"),
            first,
            "s",
        );
        let client = service.client().await?;
        Ok(Self {
            service,
            client,
            workspace,
            entries,
        })
    }

    /// Stops it and starts it again. Returns the time that this takes.
    async fn again(self, kill: bool) -> Result<(Self, f64), Failed> {
        let data = self.service.data().to_owned();
        drop(self.client);
        if kill {
            self.service.kill()?;
        } else {
            self.service.stop()?;
        }
        let service = Service::start(&data)?;
        let seconds = service.started_in.as_secs_f64();
        let client = service.client().await?;
        Ok((
            Self {
                service,
                client,
                ..self
            },
            seconds,
        ))
    }

    async fn ask(&self, filter: &AuditLog) -> Result<Duration, Failed> {
        let begun = Instant::now();
        let asked = self
            .client
            .query(Some(&self.workspace), Question::AuditLog(filter.clone()))
            .await?;
        let took = begun.elapsed();
        match asked.answer {
            Answer::AuditLog(page) if page.rows.len() == filter.limit as usize => Ok(took),
            Answer::AuditLog(page) => {
                Err(format!("{} rows for {filter:?}", page.rows.len()).into())
            }
            _ => Err(unexpected().into()),
        }
    }

    fn sizes(&self, report: &mut Report) {
        let entries = self.entries;
        let log = machine::bytes_below(&self.service.data().join("jetstream"));
        let redb = std::fs::metadata(self.service.data().join("ledger.redb"))
            .map_or(0, |found| found.len());
        report.figure(
            format!("disk_jetstream_bytes_per_entry_{entries}"),
            float(log) / float(entries),
            "bytes",
        );
        report.figure(
            format!("disk_redb_bytes_per_entry_{entries}"),
            float(redb) / float(entries),
            "bytes",
        );
        let (service, nats) = self.service.resident();
        report.figure(
            format!("resident_{entries}_bytes"),
            float(service),
            "bytes, service after start and queries",
        );
        report.figure(
            format!("resident_nats_{entries}_bytes"),
            float(nats),
            "bytes, nats-server",
        );
    }
}

/// The pages that people ask for; each has as many rows in a short log as in a long one.
fn filters() -> Result<[(&'static str, AuditLog); 5], Failed> {
    let page = AuditLog {
        limit: ROWS,
        ..AuditLog::default()
    };
    let (begin, end) = fill::span(fill::MONTH);
    let middle = Millis(begin.0 + (end.0 - begin.0) / 2);
    Ok([
        ("newest", page.clone()),
        (
            "secret",
            AuditLog {
                secret: Some(fill::hot_secret()?),
                ..page.clone()
            },
        ),
        (
            "actor",
            AuditLog {
                actor: Some(fill::editor().into()),
                ..page.clone()
            },
        ),
        (
            "action",
            AuditLog {
                action: Some("secret.edited".to_owned()),
                ..page.clone()
            },
        ),
        (
            "until",
            AuditLog {
                until: Some(middle),
                ..page
            },
        ),
    ])
}

/// Sends queries to both in turns. Returns the ratio of p99 over all kinds of queries.
async fn queries(
    plan: &Extent,
    short: &Filled,
    long: &Filled,
    report: &mut Report,
) -> Result<(), Failed> {
    let filters = filters()?;
    let mut kinds: [[Times; 2]; 5] = Default::default();
    let mut p99: [Vec<f64>; 2] = Default::default();
    for _ in 0..plan.rounds {
        let mut round: [Times; 2] = Default::default();
        for _ in 0..QUERIES {
            for (at, (_, filter)) in filters.iter().enumerate() {
                for (which, filled) in [short, long].into_iter().enumerate() {
                    let took = filled.ask(filter).await?;
                    round[which].add(took);
                    kinds[at][which].add(took);
                }
            }
        }
        p99[0].push(round[0].permille(990));
        p99[1].push(round[1].permille(990));
    }
    report.ratio("audit_query_1e6_over_1e4", median_ratio(&p99[1], &p99[0]));
    for (which, filled) in [short, long].into_iter().enumerate() {
        let entries = filled.entries;
        report.figure(
            format!("audit_query_{entries}_p99_us"),
            median(&p99[which]),
            "µs, 50 rows",
        );
        for (at, (kind, _)) in filters.iter().enumerate() {
            let p50 = kinds[at][which].permille(500);
            report.figure(
                format!("audit_query_{kind}_{entries}_p50_us"),
                p50,
                "µs, 50 rows",
            );
        }
    }
    for filled in [short, long] {
        let mut of_run = Times::default();
        let filter = AuditLog {
            limit: OF_RUN,
            run: Some(fill::middle_run(filled.entries)),
            ..AuditLog::default()
        };
        for _ in 0..QUERIES {
            of_run.add(filled.ask(&filter).await?);
        }
        report.figure(
            format!("audit_query_run_{}_p50_us", filled.entries),
            of_run.permille(500),
            "µs, the rows of one run",
        );
    }
    let mut cold = Times::default();
    let filter = AuditLog {
        limit: SCATTERED,
        secret: Some(fill::cold_secret()?),
        ..AuditLog::default()
    };
    for _ in 0..QUERIES {
        cold.add(long.ask(&filter).await?);
    }
    report.figure(
        format!("audit_query_scattered_{}_p50_us", long.entries),
        cold.permille(500),
        "µs, 25 rows far apart",
    );
    Ok(())
}

/// A page of secrets as of the middle of the log.
async fn looking_back(filled: &Filled, report: &mut Report) -> Result<(), Failed> {
    let (client, workspace) = (&filled.client, Some(&filled.workspace));
    let middle = AsOf::Size(TreeSize(filled.entries / 2));
    let Answer::WorkspaceAt(found) = client
        .query(workspace, Question::WorkspaceAt(middle))
        .await?
        .answer
    else {
        return Err(unexpected().into());
    };
    let list = SecretList {
        at: Some(found.at),
        limit: PAGE_ROWS,
        ..SecretList::default()
    };
    let mut times = Times::default();
    for _ in 0..QUERIES * 5 {
        let begun = Instant::now();
        let asked = client
            .query(workspace, Question::SecretList(list.clone()))
            .await?;
        times.add(begun.elapsed());
        match asked.answer {
            Answer::SecretList(page) if !page.rows.is_empty() => {}
            _ => return Err(unexpected().into()),
        }
    }
    let entries = filled.entries;
    report.figure(
        format!("list_at_{entries}_p99_us"),
        times.permille(990),
        "µs, a page of secrets as they were",
    );
    Ok(())
}

async fn rebuild(client: &Client) -> Result<ProjectionRebuild, Failed> {
    let rebuilt = client
        .query_within(None, Question::ProjectionRebuild(Nothing {}), REBUILD)
        .await?;
    let Answer::ProjectionRebuild(rebuilt) = rebuilt.answer else {
        return Err(unexpected().into());
    };
    if !rebuilt.identical {
        return Err("the read model built anew is another one".into());
    }
    Ok(rebuilt)
}

async fn digest(client: &Client) -> Result<Digest, Failed> {
    let asked = client
        .query_within(None, Question::ProjectionDigest(Nothing {}), REBUILD)
        .await?;
    match asked.answer {
        Answer::ProjectionDigest(found) => Ok(found.digest),
        _ => Err(unexpected().into()),
    }
}

/// Rebuilds in turns with a bare drain of the same log. Returns entries per second of each, per
/// round.
pub(crate) async fn rebuild_beside_drain(
    plan: &Extent,
    service: &Service,
) -> Result<(Vec<f64>, Vec<f64>), Failed> {
    let client = service.client().await?;
    let (mut rate, mut drained) = (Vec::new(), Vec::new());
    let before = digest(&client).await?;
    for round in 1..=plan.rounds.min(REBUILDS) {
        say(&format!(
            "rebuild, round {round} of {}",
            plan.rounds.min(REBUILDS)
        ));
        let (_, seconds) = limits::drain(service.operator().await?).await?;
        let rebuilt = rebuild(&client).await?;
        rate.push(float(rebuilt.entries) * 1e3 / float(rebuilt.millis.max(1)));
        drained.push(float(rebuilt.entries) / seconds);
    }
    if digest(&client).await? != before {
        return Err("after the rebuilds the read model has another digest".into());
    }
    Ok((rate, drained))
}

/// Starts it several times, after an orderly end and after a kill.
async fn starts(plan: &Extent, mut filled: Filled, report: &mut Report) -> Result<Filled, Failed> {
    let entries = filled.entries;
    say(&format!("starts on {entries} entries"));
    for (kill, name) in [(true, "start_after_kill"), (false, "start")] {
        let mut seconds = Vec::new();
        for _ in 0..plan.rounds.min(STARTS) {
            let (again, took) = filled.again(kill).await?;
            filled = again;
            seconds.push(took);
        }
        report.figure(format!("{name}_{entries}_seconds"), median(&seconds), "s");
    }
    Ok(filled)
}

pub(crate) async fn measure(
    plan: &Extent,
    scratch: &Path,
    report: &mut Report,
) -> Result<(), Failed> {
    let short = Filled::new(plan, &scratch.join("short"), plan.entries[0], report).await?;
    let long = Filled::new(plan, &scratch.join("long"), plan.entries[1], report).await?;
    let short = starts(plan, short, report).await?;
    let long = starts(plan, long, report).await?;
    say("audit queries");
    queries(plan, &short, &long, report).await?;
    looking_back(&short, report).await?;
    looking_back(&long, report).await?;
    short.sizes(report);
    long.sizes(report);
    short.service.stop()?;
    bundle::measure(&long.service, &long.workspace, long.entries, report)?;
    let (rate, drained) = rebuild_beside_drain(plan, &long.service).await?;
    report.ratio("rebuild_over_drain", median_ratio(&rate, &drained));
    report.fact("digests_equal_after_rebuild", true);
    report.figure("rebuild_per_second", median(&rate), "entries/s");
    report.figure("drain_per_second", median(&drained), "entries/s");
    let (service, _) = long.service.resident();
    report.figure(
        "resident_after_rebuild_bytes",
        float(service),
        "bytes, service",
    );
    long.service.stop()
}
