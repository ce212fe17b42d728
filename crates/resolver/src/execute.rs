//! Running an External API block with revealed values.

use crate::block::Redirects;
use crate::encoded_values::encoded_values;
use crate::error::{Code, ResolveError};
use crate::host_pattern::{authority, check_host};
use crate::http::{self, Response};
use crate::plan::{Destination, check_url, within};
use crate::prepare::{PreparedRequest, prepare};
use crate::redact::Redactor;
use crate::redirect::redirect;
use crate::secret::SecretValues;

/// The most redirects of one run.
const MAX_REDIRECTS: usize = 5;

/// The result of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunResult {
    /// The status code of the response.
    pub http_status: u16,
    /// The body of the response, masked.
    pub output: Vec<u8>,
    /// Whether the status is anything but 2xx. A redirect that was not followed counts.
    pub failed: bool,
    /// The secrets whose values are too short to be masked.
    pub unmasked: Vec<String>,
}

/// Runs a block with revealed values. It checks the hosts again, against the host patterns that came with
/// the values.
///
/// # Errors
///
/// Those of [`crate::prepare()`], `host_not_allowed`, `timeout`, `output_limit`,
/// `redirect_blocked` and `http_failed`. Each error is masked like the output. After the last four the
/// service may have acted on a request.
pub async fn execute(
    destination: &Destination<'_>,
    secrets: &SecretValues,
) -> Result<RunResult, ResolveError> {
    let plan = destination.plan;
    let block = plan.block();
    let request = prepare(&plan.block, secrets)?;
    let encoded = encoded_values(&plan.references, secrets, &request)
        .map_err(|error| error.in_block(block))?;
    let encoded: Vec<(&str, &[u8])> = encoded
        .iter()
        .map(|(name, bytes)| (*name, bytes.as_slice()))
        .collect();
    let redactor = Redactor::of(secrets, &encoded);
    run(destination, secrets, request, &redactor)
        .await
        .map_err(|error| redactor.redact_error(error.in_block(block)))
}

async fn run(
    destination: &Destination<'_>,
    secrets: &SecretValues,
    request: PreparedRequest,
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

/// Sends the request and, where the block follows redirects, those after it. Each is checked like the first:
/// host patterns, scheme, and the same checked addresses.
async fn requests(
    destination: &Destination<'_>,
    secrets: &SecretValues,
    mut request: PreparedRequest,
) -> Result<http::FinalResponse, ResolveError> {
    let plan = destination.plan;
    let follow = plan.block.redirects == Redirects::SameOrigin;
    for _ in 0..=MAX_REDIRECTS {
        for name in plan.names() {
            check_host(&request.url, name, &secrets.get(name)?.allowed_hosts)?;
        }
        check_url(&request.url, destination.options)?;
        match destination.client.send(&request, follow).await? {
            Response::Final(response) => return Ok(response),
            Response::Redirect { status, location } => {
                redirect(&mut request, status, &location, secrets)?;
            }
        }
    }
    Err(ResolveError::new(
        Code::RedirectBlocked,
        format!("the service redirected more than {MAX_REDIRECTS} times"),
    )
    .at_host(&authority(&plan.target)))
}
