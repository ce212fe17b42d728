//! The console's first pages beside a long log: how long a browser waits, and how much it receives.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use keyroll_core::WorkspaceName;
use keyroll_tests::harness::browse::{Browse, Page};
use serde_json::Value;

use crate::report::Report;
use crate::service::{self, Service};
use crate::stats::{Times, float};
use crate::{Failed, fill, say};

/// Entries of the log; a tenth of them create a secret each.
const ENTRIES: u64 = 100_000;
const WORKSPACE: &str = "archive";
/// Requests for each page.
const REQUESTS: usize = 100;

/// Long enough for secrets that were not used for 90 days.
const MONTHS: u32 = 4;

/// `bench fill DIR`: fills the log of a data directory that no service uses, for the tests in a
/// browser.
pub(crate) fn run_fill(mut words: impl Iterator<Item = String>) -> Result<(), Failed> {
    let data = words.next().ok_or("usage: bench fill DIR")?;
    let runtime = tokio::runtime::Runtime::new()?;
    let workspace = WORKSPACE.parse()?;
    let filled = fill::fill(
        Path::new(&data),
        &workspace,
        (ENTRIES, 950),
        fill::MONTH * MONTHS,
    );
    runtime.block_on(filled)?;
    Ok(())
}

/// A person's own console as a process. It is killed when dropped.
struct Console(Child);

impl Drop for Console {
    fn drop(&mut self) {
        // A process that has ended is reaped already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Console {
    fn start(service: &Service) -> Result<(Self, Browse), Failed> {
        let mut child = Command::new(service::keyroll()?)
            .args(["--json", "-w", WORKSPACE, "--nats", service.url()])
            .arg("--nats-creds")
            .arg(service::creds(service.data()))
            .arg("--home")
            .arg(service.data())
            .arg("console")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let this = Self(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line)?;
        let link = ready["console_url"].as_str().ok_or("no link")?;
        Ok((this, Browse::open(link)))
    }
}

fn get(window: &mut Browse, path: &str) -> Result<Page, Failed> {
    let page = window.get(path);
    match page.status {
        200 => Ok(page),
        status => Err(format!("{path} answers {status}").into()),
    }
}

/// Bytes of a page's assets: styles, module, icon.
fn assets(window: &mut Browse, page: &Page) -> Result<usize, Failed> {
    let paths = page
        .body
        .split('"')
        .filter(|word| word.starts_with("/assets/"));
    let mut bytes = 0;
    for path in paths.map(str::to_owned).collect::<Vec<_>>() {
        bytes += get(window, &path)?.body.len();
    }
    Ok(bytes)
}

pub(crate) async fn measure(scratch: &Path, report: &mut Report) -> Result<(), Failed> {
    say(&format!("the console over {ENTRIES} entries"));
    let data = scratch.join("console");
    // Makes keys and streams.
    Service::start(&data)?.stop()?;
    let workspace: WorkspaceName = WORKSPACE.parse()?;
    fill::fill(&data, &workspace, (ENTRIES, 950), fill::MONTH).await?;
    let service = Service::start(&data)?;
    let (console, mut window) = Console::start(&service)?;
    for (name, path) in [
        ("secrets", "/w/archive/secrets"),
        ("audit", "/w/archive/audit"),
        ("members", "/w/archive/members"),
    ] {
        let page = get(&mut window, path)?;
        let bytes = page.body.len() + assets(&mut window, &page)?;
        let mut times = Times::default();
        for _ in 0..REQUESTS {
            times.add(get(&mut window, path)?.took);
        }
        report.figure(
            format!("console_{name}_p50_us"),
            times.permille(500),
            "µs, a page over 10⁵ entries and 10⁴ secrets",
        );
        report.figure(
            format!("console_{name}_p99_us"),
            times.permille(990),
            "µs, goal 100,000",
        );
        report.figure(
            format!("console_{name}_bytes"),
            float(u64::try_from(bytes)?),
            "bytes with styles, module and icon, goal 153,600",
        );
    }
    drop(console);
    service.stop()
}
