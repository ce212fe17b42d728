//! Looking back: `secret list --at` on a log of 100,000 entries, read as the command reads it.

use std::path::Path;
use std::time::{Duration, Instant};

use keyroll_client::Client;
use keyroll_client::unexpected;
use keyroll_core::{TreeSize, WorkspaceName};
use keyroll_wire::query::{AsOf, PAGE_ROWS, PointInTime, Question, SecretList};
use keyroll_wire::reply::Answer;

use crate::report::Report;
use crate::service::Service;
use crate::stats::Times;
use crate::{Extent, Failed, fill, say};

const ENTRIES: u64 = 100_000;
/// Lists at each point.
const LISTS: usize = 100;

/// Lists all secrets of a point, page by page. Returns the time of the first page, the time of all,
/// and the number.
async fn list(
    client: &Client,
    workspace: &WorkspaceName,
    at: PointInTime,
) -> Result<(Duration, Duration, usize), Failed> {
    let begun = Instant::now();
    let (mut first, mut count, mut after) = (None, 0, None);
    loop {
        let list = SecretList {
            at: Some(at),
            after,
            limit: PAGE_ROWS,
            deleted: false,
        };
        let asked = client
            .query(Some(workspace), Question::SecretList(list))
            .await?;
        let Answer::SecretList(page) = asked.answer else {
            return Err(unexpected().into());
        };
        count += page.rows.len();
        let so_far = begun.elapsed();
        let first = *first.get_or_insert(so_far);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok((first, so_far, count)),
        }
    }
}

pub(crate) async fn measure(
    plan: &Extent,
    scratch: &Path,
    report: &mut Report,
) -> Result<(), Failed> {
    say(&format!("looking back on {ENTRIES} entries"));
    let data = scratch.join("past");
    // Makes keys and streams.
    Service::start(&data)?.stop()?;
    let workspace: WorkspaceName = "archive".parse()?;
    fill::fill(
        &data,
        &workspace,
        (ENTRIES, plan.commit_entries),
        fill::MONTH,
    )
    .await?;
    let service = Service::start(&data)?;
    let client = service.client().await?;
    let (mut pages, mut whole) = (Times::default(), Times::default());
    // Early, when only a few of the secrets existed, in the middle, and at the end.
    for size in [ENTRIES / 100, ENTRIES / 2, ENTRIES] {
        let point = Question::WorkspaceAt(AsOf::Size(TreeSize(size)));
        let Answer::WorkspaceAt(found) = client.query(Some(&workspace), point).await?.answer else {
            return Err(unexpected().into());
        };
        for _ in 0..LISTS {
            let (first, all, count) = list(&client, &workspace, found.at).await?;
            if count == 0 {
                return Err(format!("no secrets after {size} entries").into());
            }
            pages.add(first);
            whole.add(all);
        }
    }
    report.figure(
        format!("secret_list_at_page_{ENTRIES}_p99_us"),
        pages.permille(990),
        "µs, up to 1,000 secrets as they were (goal: 50,000)",
    );
    report.figure(
        format!("secret_list_at_whole_{ENTRIES}_p99_us"),
        whole.permille(990),
        "µs, all of up to 10,000 secrets, in pages",
    );
    service.stop()
}
