//! `just bench`: keyroll's throughput and latency, each figure beside the limit that the same
//! machine has in the same run.
//!
//! The service is the real `keyroll dev`, and every message is on disk before it is acknowledged.
//! Callers are a separate process, as in production. Limit and figure are measured in turns, round
//! by round; the figure shown is the median of the rounds, and a ratio is the median of the rounds'
//! ratios. Any failure ends the run: the client checks and opens each revealed value, each rebuilt
//! read model is compared, and each measured log is verified.

mod bundle;
mod callers;
mod console;
mod fill;
mod history;
mod idle;
mod limits;
mod load;
mod machine;
mod past;
mod report;
mod rotation;
mod service;
mod stats;
mod verification;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use report::Report;

/// Any failure ends the run.
type Failed = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "usage: bench [--quick] [--only load|history|past|rotation|idle] [--values N] [--commit-entries N] [--out FILE]

  --quick             10⁵ entries in place of 10⁶, and shorter rounds: under three minutes
  --only PART         measure `load` (reveals, creates, edits, verification), `history` (start,
                      audit queries, rebuild), `past` (lists of then), `rotation` (of the key) or
                      `idle` (memory after six idle minutes) alone; writes no file
  --values N          values whose key is rotated [100000; 10000 with --quick]
  --workspaces N      workspaces that become idle [2000; --quick leaves them out]
  --commit-entries N  entries per commit of the long log that is filled in [950, which fill its 512 KiB]
  --out FILE          in place of target/bench.json";

/// The parts that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Load,
    History,
    Past,
    Rotation,
    Idle,
}

/// How much to measure.
#[derive(Debug, Clone)]
struct Extent {
    quick: bool,
    /// The one part to measure; `None` for all.
    only: Option<Part>,
    /// Rounds of everything that is measured in turns.
    rounds: usize,
    /// Duration of one measurement of throughput.
    long: Duration,
    /// Duration of one measurement of latency.
    short: Duration,
    /// Entries of the short and of the long log.
    entries: [u64; 2],
    commit_entries: u64,
    /// Number of values in the rotation.
    values: u64,
    /// Number of workspaces that become idle; 0 measures none.
    workspaces: u64,
    out: PathBuf,
}

impl Extent {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failed> {
        let mut plan = Self {
            quick: false,
            only: None,
            rounds: 5,
            long: Duration::from_secs(3),
            short: Duration::from_secs(2),
            entries: [10_000, 1_000_000],
            commit_entries: 950,
            values: 100_000,
            workspaces: 2_000,
            out: target().join("bench.json"),
        };
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .ok_or_else(|| format!("{word} needs a value\n{USAGE}"))
            };
            match word.as_str() {
                "--quick" => {
                    plan.quick = true;
                    plan.rounds = 3;
                    plan.long = Duration::from_millis(1_500);
                    plan.short = Duration::from_secs(1);
                    plan.entries = [10_000, 100_000];
                    plan.values = 10_000;
                    plan.workspaces = 0;
                }
                "--only" => match value()?.as_str() {
                    "load" => plan.only = Some(Part::Load),
                    "history" => plan.only = Some(Part::History),
                    "past" => plan.only = Some(Part::Past),
                    "rotation" => plan.only = Some(Part::Rotation),
                    "idle" => plan.only = Some(Part::Idle),
                    other => return Err(format!("there is no part {other}\n{USAGE}").into()),
                },
                "--values" => plan.values = value()?.parse()?,
                "--workspaces" => plan.workspaces = value()?.parse()?,
                "--commit-entries" => plan.commit_entries = value()?.parse()?,
                "--out" => plan.out = value()?.into(),
                _ => return Err(USAGE.into()),
            }
        }
        if !(1..=keyroll_core::limits::COMMIT_ENTRIES as u64).contains(&plan.commit_entries) {
            return Err(format!(
                "a commit has 1 to {} entries",
                keyroll_core::limits::COMMIT_ENTRIES
            )
            .into());
        }
        Ok(plan)
    }
}

impl Extent {
    fn measures(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

/// Cargo's target directory: it is usually on a real disk, unlike a directory for temporary files.
fn target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target"))
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    if words.peek().is_some_and(|word| word == "callers") {
        return ended(callers::run());
    }
    if words.peek().is_some_and(|word| word == "fill") {
        return ended(console::run_fill(words.skip(1)));
    }
    ended(Extent::parse(words).and_then(|plan| bench(&plan)))
}

fn ended(outcome: Result<(), Failed>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Set by a signal: long waits check it.
static STOPPING: AtomicBool = AtomicBool::new(false);

fn is_stopping() -> bool {
    STOPPING.load(Ordering::Relaxed)
}

#[tokio::main]
async fn bench(plan: &Extent) -> Result<(), Failed> {
    if cfg!(debug_assertions) {
        eprintln!("warning: this is no release build; run `just bench`");
    }
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let stopped = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        STOPPING.store(true, Ordering::Relaxed);
    });
    std::fs::create_dir_all(target())?;
    let scratch = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(target())?;
    let watch = machine::Watch::start();
    let mut report = Report::new(plan.quick, machine::describe(scratch.path())?);
    let measured = tokio::select! {
        measured = measure(plan, scratch.path(), &mut report) => measured,
        // All started processes are dropped with the measurement, and so stopped.
        _ = stopped => Err("stopped".into()),
    };
    report.others(watch.others()?);
    if let Err(error) = measured {
        // The results until then are useful, and so are the services' last lines.
        report.incomplete(&error.to_string());
        println!("{report}");
        return Err(format!("{error}{}", last_words(scratch.path())).into());
    }
    println!("{report}");
    if plan.only.is_none() {
        report.write(&plan.out)?;
        println!("written to {}", plan.out.display());
    }
    scratch.close()?;
    Ok(())
}

async fn measure(plan: &Extent, scratch: &Path, report: &mut Report) -> Result<(), Failed> {
    if plan.measures(Part::Load) {
        load::measure(plan, scratch, report).await?;
    }
    if plan.measures(Part::History) {
        history::measure(plan, scratch, report).await?;
        console::measure(scratch, report).await?;
    }
    if plan.measures(Part::Past) {
        past::measure(plan, scratch, report).await?;
    }
    if plan.measures(Part::Rotation) {
        rotation::measure(plan, scratch, report).await?;
    }
    if plan.measures(Part::Idle) && plan.workspaces > 0 {
        idle::measure(plan, scratch, report).await?;
    }
    Ok(())
}

/// Lines of each service's stderr that are shown when a run fails.
const LAST_WORDS: usize = 20;

/// The end of the services' stderr, which is deleted with their directory.
fn last_words(scratch: &Path) -> String {
    let files = std::fs::read_dir(scratch).into_iter().flatten().flatten();
    let mut all = String::new();
    for path in files.map(|file| file.path()) {
        if path.extension().is_none_or(|kind| kind != "stderr") {
            continue;
        }
        let said = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_WORDS)..];
        if !last.is_empty() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            all = format!("{all}\n{name} said:\n  {}", last.join("\n  "));
        }
    }
    all
}

/// Prints the present step; the table comes at the end.
fn say(words: &str) {
    eprintln!("bench: {words}");
}
