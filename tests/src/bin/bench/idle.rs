//! Many workspaces that nobody uses any more: the service's resident memory when they were just
//! written, and when they have been idle for longer than the ledger keeps such workspaces.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use keyroll_core::command::Nothing;
use keyroll_core::{Action, WorkspaceName};

use crate::report::Report;
use crate::service::Service;
use crate::stats::float;
use crate::{Extent, Failed, rotation, say};

/// Secrets in each workspace, and workspaces that are made at once.
const SECRETS: u64 = 40;
const AT_ONCE: usize = 8;
/// The ledger drops workspaces after five idle minutes, and looks every half minute.
const IDLE: Duration = Duration::from_secs(6 * 60);
/// How often the resident memory is printed meanwhile.
const LOOK: Duration = Duration::from_secs(30);

pub(crate) async fn measure(
    plan: &Extent,
    scratch: &Path,
    report: &mut Report,
) -> Result<(), Failed> {
    let workspaces = plan.workspaces;
    say(&format!("{workspaces} workspaces that become idle"));
    let service = Service::start(&scratch.join("idle"))?;
    let client = service.client().await?;
    let (before, _) = service.resident();
    let make = |number: u64| {
        let client = &client;
        async move {
            let workspace: WorkspaceName = format!("idle-{number}").parse()?;
            client
                .execute(&workspace, Action::WorkspaceCreate(Nothing {}))
                .await?;
            rotation::fill(client, &workspace, SECRETS).await
        }
    };
    futures::stream::iter((0..workspaces).map(make))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let (busy, _) = service.resident();
    let begun = Instant::now();
    while begun.elapsed() < IDLE {
        tokio::time::sleep(LOOK).await;
        let (now, _) = service.resident();
        say(&format!(
            "{} MiB resident after {} s",
            now >> 20,
            begun.elapsed().as_secs()
        ));
    }
    let (idle, _) = service.resident();
    report.figure("idle_workspaces", float(workspaces), "workspaces");
    report.figure(
        "idle_resident_new_bytes",
        float(before),
        "bytes, empty service",
    );
    report.figure("idle_resident_busy_bytes", float(busy), "bytes, all in use");
    report.figure(
        "idle_resident_idle_bytes",
        float(idle),
        "bytes, after six idle minutes",
    );
    service.stop()
}
