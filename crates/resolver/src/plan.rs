//! Checking an External API block, and where its request goes, before the reveal.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use url::Url;

use crate::address::Cidr;
use crate::block::{Block, ExternalApi};
use crate::block_file::BlockFile;
use crate::error::{Code, ResolveError};
use crate::host_pattern::{HostPattern, authority, check_hosts};
use crate::http::{self, PinnedClient};
use crate::prepare::{check, target};
use crate::reference_locations::{Context, ReferenceLocation};

/// How long a block may take, name lookup included, unless the caller sets a limit.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The permissions and limits that the operator sets.
#[derive(Debug, Clone)]
pub struct Options {
    /// Networks that are allowed although they are not public.
    pub allow_address: Vec<Cidr>,
    /// Hosts to which plain http is allowed.
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

/// A block that passed every check that needs no value.
#[derive(Debug, Clone)]
pub struct Plan {
    workflow: String,
    pub(crate) block: ExternalApi,
    pub(crate) target: Url,
    pub(crate) references: BTreeMap<String, Vec<ReferenceLocation>>,
}

/// Where the request of a run goes: a checked target with its checked addresses. [`crate::execute()`] takes a
/// block in this form only, so no check can come after the reveal.
pub struct Destination<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) options: &'a Options,
    pub(crate) client: PinnedClient,
    /// The rest of the time limit.
    pub(crate) time: Duration,
}

/// Checks a block of a file. Without a name it takes the file's only block.
///
/// # Errors
///
/// `block_invalid`, also for a Python block; `template_syntax`, `context_forbidden`.
pub fn plan(file: &BlockFile, block: Option<&str>) -> Result<Plan, ResolveError> {
    match file.block(block)? {
        Block::Python(python) => Err(ResolveError::new(
            Code::BlockInvalid,
            "a Python block sends no request; run it with `execute_python`",
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

    /// Every secret that the block references, and where.
    pub fn references(&self) -> &BTreeMap<String, Vec<ReferenceLocation>> {
        &self.references
    }

    /// The names of the secrets to reveal, in order, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.references.keys().map(String::as_str)
    }

    /// The names that stand in the URL's query. The caller has to allow each of them there.
    pub fn names_in_query(&self) -> impl Iterator<Item = &str> {
        self.references
            .iter()
            .filter(|(_, locations)| {
                locations
                    .iter()
                    .any(|location| location.context == Context::Query)
            })
            .map(|(name, _)| name.as_str())
    }

    /// Where the request goes: the URL without query and fragment.
    pub fn target(&self) -> &Url {
        &self.target
    }

    /// Checks the target against the host patterns of the block's secrets, before the reveal.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// use keyroll_resolver::{BlockFile, Options, plan};
    ///
    /// let file = BlockFile::parse(
    ///     br#"{"workflow": "intake", "blocks": [
    ///         {"name": "push", "type": "external_api", "method": "POST",
    ///          "url": "https://api.crm.example/v1/invoices",
    ///          "auth": {"type": "bearer", "token": "{{secrets.CRM_Token}}"}}]}"#,
    /// )?;
    /// let plan = plan(&file, Some("push"))?;
    /// assert_eq!(plan.names().collect::<Vec<_>>(), ["CRM_Token"]);
    /// plan.check_target(&Options::default())?;
    /// let bound = |host: &str| BTreeMap::from([("CRM_Token".to_owned(), vec![host.to_owned()])]);
    /// plan.check_hosts(&bound("*.crm.example"))?;
    /// let refused = plan.check_hosts(&bound("api.other.example")).unwrap_err();
    /// assert_eq!(refused.code(), "host_not_allowed");
    /// # Ok::<(), keyroll_resolver::ResolveError>(())
    /// ```
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

    /// Checks the scheme, and the address where the host is one. It looks no name up.
    /// [`Plan::destination`] repeats these checks.
    ///
    /// # Errors
    ///
    /// `host_not_allowed`, `address_blocked`.
    pub fn check_target(&self, options: &Options) -> Result<(), ResolveError> {
        check_url(&self.target, options).map_err(|error| error.in_block(self.block()))
    }

    /// Looks the target's name up and checks each of its addresses, *before* the reveal: a request that
    /// cannot be sent releases nothing. The lookup counts towards the run's time limit.
    ///
    /// # Errors
    ///
    /// Those of [`Plan::check_target`], `timeout`, and `http_failed` where the name has no address
    /// or this machine cannot connect (for example, it has no root certificates).
    pub async fn destination<'a>(
        &'a self,
        options: &'a Options,
    ) -> Result<Destination<'a>, ResolveError> {
        let started = Instant::now();
        let client = async {
            check_url(&self.target, options)?;
            PinnedClient::new(&self.target, &options.allow_address).await
        };
        let client = within(options.timeout, client, &self.target)
            .await
            .map_err(|error| error.in_block(self.block()))?;
        Ok(Destination {
            plan: self,
            options,
            client,
            time: options.timeout.saturating_sub(started.elapsed()),
        })
    }
}

/// Checks scheme and, where the host is an address, the address.
pub(crate) fn check_url(url: &Url, options: &Options) -> Result<(), ResolveError> {
    let http_allowed = || options.allow_http.iter().any(|host| host.matches(url));
    if url.scheme() != "https" && !http_allowed() {
        return Err(ResolveError::new(
            Code::HostNotAllowed,
            "plain http to this host is off: use https, or have the operator allow http for it",
        )
        .at_host(&authority(url)));
    }
    http::check_literal_address(url, &options.allow_address)
}

/// Runs `work` within a time limit.
pub(crate) async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, ResolveError>>,
    target: &Url,
) -> Result<T, ResolveError> {
    tokio::time::timeout(time, work).await.unwrap_or_else(|_| {
        Err(
            ResolveError::new(Code::Timeout, "the block did not end within the time limit")
                .at_host(&authority(target)),
        )
    })
}
