//! A key rotation over many values while reveals continue; then a storage check and a rebuild, and
//! the service's peak memory.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use keyroll_client::Client;
use keyroll_client::{NewSecretSpec, unexpected};
use keyroll_core::command::Nothing;
use keyroll_core::{Action, WorkspaceName};
use keyroll_wire::query::{AuditStorage, Question};
use keyroll_wire::reply::{Answer, KeyStatus};

use crate::callers::{Callers, What};
use crate::report::Report;
use crate::service::Service;
use crate::stats::{float, median};
use crate::{Extent, Failed, say};

/// Values sent with one command, and commands sent at once, while they are created.
const TOGETHER: u64 = 200;
const AT_ONCE: usize = 8;
/// Callers that reveal meanwhile, and how long each measurement takes.
const CALLERS: usize = 64;
const TURN: Duration = Duration::from_secs(1);
/// How long the storage check and the rebuild may take.
const LONG: Duration = Duration::from_secs(1_800);
/// How often the progress is queried.
const POLL: Duration = Duration::from_millis(100);

/// Makes secrets with values, many with one command.
pub(crate) async fn fill(
    client: &Client,
    workspace: &WorkspaceName,
    values: u64,
) -> Result<(), Failed> {
    let requests = (0..values).step_by(usize::try_from(TOGETHER)?);
    let create = |first: u64| async move {
        let numbers = first..(first + TOGETHER).min(values);
        let specs = numbers.map(|number| {
            let spec = NewSecretSpec {
                name: format!("Value_{number}").parse()?,
                description: "".parse()?,
                hosts: Vec::new(),
                restricted: false,
                rotate_every: None,
            };
            Ok::<_, Failed>((spec, format!("value {number}")))
        });
        let specs = specs.collect::<Result<Vec<_>, _>>()?;
        let named = specs.iter();
        let named: Vec<_> = named
            .map(|(spec, value)| (spec.clone(), value.as_bytes()))
            .collect();
        client.create(workspace, &named).await?;
        Ok::<_, Failed>(())
    };
    futures::stream::iter(requests.map(create))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

async fn key_status(client: &Client, workspace: &WorkspaceName) -> Result<KeyStatus, Failed> {
    let asked = client.query(Some(workspace), Question::KeyStatus(Nothing {}));
    match asked.await?.answer {
        Answer::KeyStatus(status) => Ok(status),
        _ => Err(unexpected().into()),
    }
}

/// Rotates, and waits for the end. Returns the time of the copies and the time in all.
async fn rotate(
    client: &Client,
    workspace: &WorkspaceName,
) -> Result<(Duration, Duration), Failed> {
    let begun = Instant::now();
    client
        .execute(workspace, Action::KeyRotate(Nothing {}))
        .await?;
    let mut copied = None;
    loop {
        let status = key_status(client, workspace).await?;
        if let Some(problem) = status.problem {
            return Err(problem.to_string().into());
        }
        if status.retiring.is_none() {
            let all = begun.elapsed();
            return Ok((copied.unwrap_or(all), all));
        }
        if status.to_erase.is_some() {
            copied.get_or_insert_with(|| begun.elapsed());
        }
        tokio::time::sleep(POLL).await;
    }
}

pub(crate) async fn measure(
    plan: &Extent,
    scratch: &Path,
    report: &mut Report,
) -> Result<(), Failed> {
    let values = plan.values;
    say(&format!("a rotation of the key of {values} values"));
    let service = Service::start(&scratch.join("rotation"))?;
    let workspace: WorkspaceName = "bench".parse()?;
    let mut callers = Callers::start(service.url(), service.data(), &workspace)?;
    let client = service.client().await?;
    fill(&client, &workspace, values).await?;
    callers.act(What::Reveal, CALLERS, Duration::from_millis(500))?;
    let alone = callers.act(What::Reveal, CALLERS, plan.long)?;
    let alone = float(alone.count) / alone.seconds;

    let over = std::sync::atomic::AtomicBool::new(false);
    let (rotated, rates) = std::thread::scope(|scope| {
        let (over, callers) = (&over, &mut callers);
        let revealing = scope.spawn(move || {
            let mut rates = Vec::new();
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let done = callers.act(What::Reveal, CALLERS, TURN)?;
                rates.push(float(done.count) / done.seconds);
            }
            Ok::<_, Failed>(rates)
        });
        let rotated = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(rotate(&client, &workspace))
        });
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        let rates = revealing.join().map_err(|_| "the callers failed")?;
        Ok::<_, Failed>((rotated?, rates?))
    })?;
    let (copied, all) = rotated;
    report.figure("rotate_values", float(values), "values");
    report.figure("rotate_copy_seconds", copied.as_secs_f64(), "s, copied");
    report.figure(
        "rotate_seconds",
        all.as_secs_f64(),
        "s, copied and erased (goal: 10⁵ values in 100)",
    );
    report.figure(
        "rotate_per_second",
        float(values) / all.as_secs_f64(),
        "values/s with reveals beside it (goal: 1,000)",
    );
    report.figure(
        "rotate_reveal_over_alone",
        median(&rates) / alone,
        "reveals/s meanwhile over those before (goal: 0.5)",
    );
    let begun = Instant::now();
    let check = Question::AuditStorage(AuditStorage {
        workspace: workspace.clone(),
    });
    let Answer::AuditStorage(found) = client.query_within(None, check, LONG).await?.answer else {
        return Err(unexpected().into());
    };
    if !found.problems.is_empty() {
        return Err(format!("the storage is not whole: {:?}", found.problems).into());
    }
    report.figure(
        "storage_check_seconds",
        begun.elapsed().as_secs_f64(),
        "s, of all values",
    );
    let rebuild = Question::ProjectionRebuild(Nothing {});
    client.query_within(None, rebuild, LONG).await?;
    report.figure(
        "rotate_resident_most_bytes",
        float(service.most_resident()),
        "bytes, service at most, through all this (goal: 536,870,912)",
    );
    drop(callers);
    service.stop()
}
