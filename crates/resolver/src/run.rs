//! The steps of running a block.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use url::Url;

use crate::address::Cidr;
use crate::block::{Block, BlockFile, ExternalApi, Redirects};
use crate::error::{Code, ResolveError};
use crate::hosts::{HostPattern, authority, check_host, check_hosts};
use crate::http::{self, Answer, Connector};
use crate::prepare::{Prepared, check, prepare, target};
use crate::redact::Redactor;
use crate::redirect::redirect;
use crate::references::{Context, Site};
use crate::secret::SecretValues;
use crate::sent::sent_forms;

/// How long a block may take, name lookup included, when nothing else is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The most redirects of one run.
const MAX_REDIRECTS: usize = 5;

/// What an operator allows.
#[derive(Debug, Clone)]
pub struct Options {
    /// Networks that may be connected to although they are not public.
    pub allow_address: Vec<Cidr>,
    /// Hosts that may be spoken to without TLS.
    pub allow_http: Vec<HostPattern>,
    /// The limit for the whole request: lookup, connection and response.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow_address: Vec::new(),
            allow_http: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

/// A block that has been checked as far as that is possible without values.
#[derive(Debug, Clone)]
pub struct Plan {
    workflow: String,
    block: ExternalApi,
    target: Url,
    references: BTreeMap<String, Vec<Site>>,
}

/// Where the request of a run goes: a target that passed every check, by the addresses that did.
/// There is no other way to [`execute`] a block, so none of its checks can come after the reveal.
pub struct Destination<'a> {
    plan: &'a Plan,
    options: &'a Options,
    connector: Connector,
    /// What is left of the time limit.
    time: Duration,
}

/// What a block did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunResult {
    /// The response's status.
    pub http_status: u16,
    /// The response's body, masked.
    pub output: Vec<u8>,
    /// Whether the status is anything but 2xx. A redirect that was not followed counts.
    pub failed: bool,
    /// Secrets of the run whose values are too short to be masked.
    pub unmasked: Vec<String>,
}

/// Checks a block of a file. Without a name the file's only block is meant.
///
/// # Errors
///
/// `block_invalid`, also for a Python block; `template_syntax`, `context_forbidden`.
pub fn plan(file: &BlockFile, block: Option<&str>) -> Result<Plan, ResolveError> {
    match file.block(block)? {
        Block::Python(python) => Err(ResolveError::new(
            Code::BlockInvalid,
            "a python block makes no request: it is run with `execute_python`",
        )
        .in_block(&python.name)),
        Block::External(api) => {
            let (_, target) = target(api).map_err(|error| error.in_block(&api.name))?;
            Ok(Plan {
                workflow: file.workflow.clone(),
                references: check(api)?,
                block: api.clone(),
                target,
            })
        }
    }
}

impl Plan {
    /// The workflow's name.
    pub fn workflow(&self) -> &str {
        &self.workflow
    }

    /// The block's name.
    pub fn block(&self) -> &str {
        &self.block.name
    }

    /// Every secret that the block references, with its places.
    pub fn references(&self) -> &BTreeMap<String, Vec<Site>> {
        &self.references
    }

    /// The names to have revealed, in order, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.references.keys().map(String::as_str)
    }

    /// The names that stand in the URL's query, where a secret must be allowed explicitly.
    pub fn names_in_query(&self) -> impl Iterator<Item = &str> {
        self.references
            .iter()
            .filter(|(_, places)| places.iter().any(|place| place.context == Context::Query))
            .map(|(name, _)| name.as_str())
    }

    /// Where the request goes: the URL without query and fragment.
    pub fn target(&self) -> &Url {
        &self.target
    }

    /// Checks the target against the host patterns of the block's secrets, before the reveal.
    ///
    /// # Errors
    ///
    /// `host_not_allowed`.
    pub fn check_hosts(
        &self,
        bindings: &BTreeMap<String, Vec<String>>,
    ) -> Result<(), ResolveError> {
        check_hosts(&self.target, bindings).map_err(|error| error.in_block(self.block()))
    }

    /// Checks scheme and, where the host is written as one, address: as far as that is possible
    /// without asking anybody. [`Plan::destination`] does so again.
    ///
    /// # Errors
    ///
    /// `host_not_allowed`, `address_blocked`.
    pub fn check_target(&self, options: &Options) -> Result<(), ResolveError> {
        check_url(&self.target, options).map_err(|error| error.in_block(self.block()))
    }

    /// Looks the target up and checks every address that it has, *before* the reveal: a request that
    /// cannot be sent releases nothing. The time that it takes counts towards the run's.
    ///
    /// # Errors
    ///
    /// Those of [`Plan::check_target`], `timeout`, and `http_failed` where the name has no address
    /// or this machine cannot make the connection (it has no root certificates, for example).
    pub async fn destination<'a>(
        &'a self,
        options: &'a Options,
    ) -> Result<Destination<'a>, ResolveError> {
        let started = Instant::now();
        let connector = async {
            check_url(&self.target, options)?;
            Connector::new(&self.target, &options.allow_address).await
        };
        let connector = within(options.timeout, connector, &self.target)
            .await
            .map_err(|error| error.in_block(self.block()))?;
        Ok(Destination {
            plan: self,
            options,
            connector,
            time: options.timeout.saturating_sub(started.elapsed()),
        })
    }
}

fn check_url(url: &Url, options: &Options) -> Result<(), ResolveError> {
    let http_allowed = || options.allow_http.iter().any(|host| host.matches(url));
    if url.scheme() != "https" && !http_allowed() {
        return Err(ResolveError::new(
            Code::HostNotAllowed,
            "https is required: no operator allows http for this host",
        )
        .at_host(&authority(url)));
    }
    http::check_literal(url, &options.allow_address)
}

/// Runs a block with revealed values. Hosts are checked again, against the bindings that came
/// with the values.
///
/// # Errors
///
/// Those of [`crate::prepare()`], `host_not_allowed`, `timeout`, `output_limit`,
/// `redirect_blocked` and `http_failed`; every one is masked like the output. After the last four
/// the service may have acted on a request.
pub async fn execute(
    destination: &Destination<'_>,
    secrets: &SecretValues,
) -> Result<RunResult, ResolveError> {
    let plan = destination.plan;
    let block = plan.block();
    let request = prepare(&plan.block, secrets)?;
    let forms =
        sent_forms(&plan.references, secrets, &request).map_err(|error| error.in_block(block))?;
    let forms: Vec<(&str, &[u8])> = forms
        .iter()
        .map(|(name, form)| (*name, form.as_slice()))
        .collect();
    let redactor = Redactor::of(secrets, &forms);
    run(destination, secrets, request, &redactor)
        .await
        .map_err(|error| error.in_block(block).masked(&redactor))
}

async fn run(
    destination: &Destination<'_>,
    secrets: &SecretValues,
    request: Prepared,
    redactor: &Redactor,
) -> Result<RunResult, ResolveError> {
    let requests = requests(destination, secrets, request);
    let response = within(destination.time, requests, &destination.plan.target).await?;
    Ok(RunResult {
        http_status: response.status,
        output: if response.json || matches!(response.body.trim_ascii().first(), Some(b'{' | b'['))
        {
            redactor.redact_json(&response.body)
        } else {
            redactor.redact(&response.body)
        },
        failed: !(200..300).contains(&response.status),
        unmasked: redactor.unmasked().to_vec(),
    })
}

async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, ResolveError>>,
    target: &Url,
) -> Result<T, ResolveError> {
    tokio::time::timeout(time, work).await.unwrap_or_else(|_| {
        Err(ResolveError::new(Code::Timeout, "the block took too long").at_host(&authority(target)))
    })
}

/// The request and, where the block follows redirects, those after it. Every one is checked like
/// the first: host bindings, scheme, and the same checked addresses.
async fn requests(
    destination: &Destination<'_>,
    secrets: &SecretValues,
    mut request: Prepared,
) -> Result<http::Response, ResolveError> {
    let plan = destination.plan;
    let follow = plan.block.redirects == Redirects::SameOrigin;
    for _ in 0..=MAX_REDIRECTS {
        for name in plan.names() {
            check_host(&request.url, name, &secrets.get(name)?.allowed_hosts)?;
        }
        check_url(&request.url, destination.options)?;
        match destination.connector.send(&request, follow).await? {
            Answer::Complete(response) => return Ok(response),
            Answer::Redirect { status, location } => {
                redirect(&mut request, status, &location, secrets)?;
            }
        }
    }
    Err(ResolveError::new(
        Code::RedirectBlocked,
        format!("more than {MAX_REDIRECTS} redirects"),
    )
    .at_host(&authority(&plan.target)))
}
