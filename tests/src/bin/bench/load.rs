//! Reveals, creates and edits under load, beside plain publishes.

use std::path::Path;
use std::time::Duration;

use keyroll_client::unexpected;
use keyroll_core::WorkspaceName;
use keyroll_core::command::Nothing;
use keyroll_wire::query::Question;
use keyroll_wire::reply::Answer;

use crate::callers::{Callers, Done, What};
use crate::limits::{Echo, Publisher};
use crate::report::Report;
use crate::service::Service;
use crate::stats::{float, median, median_ratio};
use crate::verification::Exported;
use crate::{Extent, Failed, history, say};

const MANY: usize = 256;
const SOME: usize = 64;

/// The results of callers and service, per round.
#[derive(Default)]
struct Rounds {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// Processor microseconds per action: callers, service, nats-server.
    computed: [Vec<f64>; 3],
}

impl Rounds {
    fn run(
        &mut self,
        service: &Service,
        callers: &mut Callers,
        turn: (What, usize, Duration),
    ) -> Result<Done, Failed> {
        let before = service.computed();
        let done = callers.act(turn.0, turn.1, turn.2)?;
        let after = service.computed();
        let each = |seconds: f64| seconds * 1e6 / float(done.count.max(1));
        self.rate.push(float(done.count) / done.seconds);
        self.p50.push(done.p50);
        self.p99.push(done.p99);
        self.computed[0].push(each(done.computed));
        self.computed[1].push(each(
            after.service.saturating_sub(before.service).as_secs_f64(),
        ));
        self.computed[2].push(each(after.nats.saturating_sub(before.nats).as_secs_f64()));
        Ok(done)
    }

    fn tell(&self, report: &mut Report, what: &str) {
        report.figure(format!("{what}_per_second"), median(&self.rate), "1/s");
        report.figure(format!("{what}_p50_us"), median(&self.p50), "µs");
        report.figure(format!("{what}_p99_us"), median(&self.p99), "µs");
        for (who, computed) in ["callers", "service", "nats"]
            .into_iter()
            .zip(&self.computed)
        {
            report.figure(
                format!("{what}_cpu_{who}_us"),
                median(computed),
                "µs of a core, each",
            );
        }
    }
}

#[derive(Default)]
struct Measured {
    publish: Vec<f64>,
    publish_p50: Vec<f64>,
    request_p50: Vec<f64>,
    many: Rounds,
    some: Rounds,
    some_signed_in: Rounds,
    one: Rounds,
    create: Rounds,
    edit: Rounds,
}

impl Measured {
    async fn round(
        &mut self,
        plan: &Extent,
        (service, callers): (&Service, &mut Callers),
        (publisher, echo): (&Publisher, &Echo),
    ) -> Result<(), Failed> {
        self.publish.push(publisher.flood(plan.long).await?);
        self.many
            .run(service, callers, (What::Reveal, MANY, plan.long))?;
        self.some
            .run(service, callers, (What::Reveal, SOME, plan.long))?;
        self.some_signed_in
            .run(service, callers, (What::SignedInReveal, SOME, plan.long))?;
        self.publish_p50
            .push(publisher.awaited(plan.short).await?.permille(500));
        self.request_p50
            .push(echo.awaited(plan.short).await?.permille(500));
        self.one
            .run(service, callers, (What::Reveal, 1, plan.short))?;
        self.create
            .run(service, callers, (What::Create, MANY, plan.short))?;
        self.edit
            .run(service, callers, (What::Edit, MANY, plan.short))?;
        Ok(())
    }

    fn tell(&self, report: &mut Report) {
        report.ratio(
            "reveal_256_over_publish",
            median_ratio(&self.many.rate, &self.publish),
        );
        report.ratio(
            "reveal_64_over_publish",
            median_ratio(&self.some.rate, &self.publish),
        );
        report.ratio(
            "reveal_1_p50_over_publish_p50",
            median_ratio(&self.one.p50, &self.publish_p50),
        );
        report.ratio(
            "reveal_64_signed_in_over_key",
            median_ratio(&self.some_signed_in.rate, &self.some.rate),
        );
        report.figure(
            "publish_per_second",
            median(&self.publish),
            "1/s, 1024 in flight",
        );
        report.figure(
            "publish_p50_us",
            median(&self.publish_p50),
            "µs, one at a time",
        );
        report.figure(
            "request_p50_us",
            median(&self.request_p50),
            "µs, answered at once",
        );
        let both = self.publish_p50.iter().zip(&self.request_p50);
        let floor: Vec<f64> = both.map(|(publish, request)| publish + request).collect();
        report.figure(
            "publish_and_request_over_publish_p50",
            median_ratio(&floor, &self.publish_p50),
            "what a reveal cannot be below here",
        );
        self.many.tell(report, "reveal_256");
        self.some.tell(report, "reveal_64");
        self.some_signed_in.tell(report, "reveal_64_signed_in");
        self.one.tell(report, "reveal_1");
        self.create.tell(report, "create_256");
        self.edit.tell(report, "edit_256");
    }
}

pub(crate) async fn measure(
    plan: &Extent,
    scratch: &Path,
    report: &mut Report,
) -> Result<(), Failed> {
    let service = Service::start(&scratch.join("load"))?;
    report.figure(
        "start_new_seconds",
        service.started_in.as_secs_f64(),
        "s, a new ledger",
    );
    let (resident, _) = service.resident();
    let workspace: WorkspaceName = "bench".parse()?;
    let mut callers = Callers::start(service.url(), service.data(), &workspace)?;
    let warm = callers.act(What::Reveal, MANY, Duration::from_millis(500))?;
    let entry = hex::decode(&warm.entry)?;
    report.figure(
        "entry_bytes",
        float(entry.len() as u64),
        "bytes of a reveal's entry",
    );
    let signed_in = callers.act(What::SignedInReveal, SOME, Duration::from_millis(500))?;
    let more = hex::decode(&signed_in.entry)?
        .len()
        .saturating_sub(entry.len());
    report.figure(
        "entry_bytes_signed_in_more",
        float(more as u64),
        "bytes more through a sign-in (goal: at most 48)",
    );
    let two = (service.operator().await?, service.operator().await?);
    let echo = Echo::new(two, entry.clone()).await?;
    let publisher = Publisher::new(service.operator().await?, entry).await?;
    publisher.flood(Duration::from_millis(500)).await?;
    let mut measured = Measured::default();
    for round in 1..=plan.rounds {
        say(&format!("load, round {round} of {}", plan.rounds));
        measured
            .round(plan, (&service, &mut callers), (&publisher, &echo))
            .await?;
    }
    measured.tell(report);
    drop(callers);
    let (after, nats) = service.resident();
    report.figure(
        "resident_new_bytes",
        float(resident),
        "bytes, service of a new ledger",
    );
    report.figure("resident_after_load_bytes", float(after), "bytes, service");
    report.figure(
        "resident_after_load_nats_bytes",
        float(nats),
        "bytes, nats-server",
    );
    look_back(plan, &service, &workspace, report).await?;
    service.stop()
}

/// Verifies the log that the load wrote, and rebuilds its read model.
async fn look_back(
    plan: &Extent,
    service: &Service,
    workspace: &WorkspaceName,
    report: &mut Report,
) -> Result<(), Failed> {
    say("verification of what was written");
    let client = service.client().await?;
    let exported = Exported::of(&client, workspace).await?;
    let (entries, commits) = (exported.entries(), exported.commits());
    report.figure("load_entries", float(entries), "entries");
    report.figure(
        "load_entries_per_commit",
        float(entries) / float(commits),
        "entries",
    );
    let verification = exported.measure(plan)?;
    report.ratio("verify_over_strict", verification.ratio);
    report.figure(
        "verify_full_per_second",
        verification.signatures,
        "signatures/s",
    );
    report.figure(
        "verify_strict_per_second",
        verification.strict,
        "1/s on one core",
    );
    report.figure(
        "verify_strict_all_cores_per_second",
        verification.strict_together,
        "1/s",
    );
    let [full, strict] = verification.computed;
    report.figure("verify_full_cpu_us", full, "µs of a core, each");
    report.figure("verify_strict_cpu_us", strict, "µs of a core, each");
    report.figure(
        "verify_over_strict_by_cpu",
        verification.ratio_computed,
        "strict ÷ full",
    );
    let status = client.query(None, Question::Status(Nothing {})).await?;
    let Answer::Status(status) = status.answer else {
        return Err(unexpected().into());
    };
    if !status.sync_verified || !status.problems.is_empty() {
        return Err(format!("the service is not well: {:?}", status.problems).into());
    }
    let (rate, drained) = history::rebuild_beside_drain(plan, service).await?;
    report.figure("rebuild_of_load_per_second", median(&rate), "entries/s");
    report.figure("drain_of_load_per_second", median(&drained), "entries/s");
    report.figure(
        "rebuild_of_load_over_drain",
        median_ratio(&rate, &drained),
        "",
    );
    Ok(())
}
