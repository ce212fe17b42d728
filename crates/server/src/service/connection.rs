//! The service's connections, and what nats-server refuses them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Event;
use keyroll_core::Rejection;
use keyroll_nats::{Addresses, Creds};

use super::ServeError;

/// Requests that the connection buffers before it drops them. The dispatcher empties the buffer at once,
/// so it fills only when the process gets no processor time.
const BUFFERED_REQUESTS: usize = 16_384;
/// How long connecting, and draining a connection, may take.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// How nats-server begins to say that a user may not publish or subscribe.
const REFUSAL: &str = "permissions violation";

/// The last refusal of a user. A refused request has no answer: the caller only sees a timeout, and this
/// names the reason.
#[derive(Clone)]
pub(super) struct Refusals {
    user: String,
    last: Arc<Mutex<Option<String>>>,
}

impl Refusals {
    fn of(user: &'static str, creds: &Creds) -> Self {
        // What the configuration calls it, and what nats-server does.
        let user = match creds.name() {
            name if name == user => user.to_owned(),
            name => format!("{user} (its JWT names {name})"),
        };
        Self {
            user,
            last: Arc::default(),
        }
    }

    fn record(&self, event: &Event) {
        let Event::ServerError(error) = event else {
            return;
        };
        let refusal = error.to_string();
        if !refusal.to_lowercase().contains(REFUSAL) {
            return;
        }
        let user = &self.user;
        tracing::error!(%user, %refusal, "nats-server refuses the service's NATS user");
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    }

    /// An error's words, with the refusal that may be its cause.
    pub(super) fn explain(&self, words: &str) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            None => words.to_owned(),
            Some(refusal) => {
                let user = &self.user;
                format!(
                    "{words}. nats-server refuses NATS user {user}: {refusal}. Give it the credentials that \
                     `keyroll init --print-nats-config` wrote for it, or this permission"
                )
            }
        }
    }
}

/// Connects as a user of the service.
pub(super) async fn connect(
    url: &str,
    creds: &Creds,
    user: &'static str,
    inbox: Option<&str>,
) -> Result<(async_nats::Client, Refusals), ServeError> {
    let addresses: Addresses = url.parse().map_err(|why: Rejection| ServeError::Address {
        user,
        why: why.message,
    })?;
    let refusals = Refusals::of(user, creds);
    let recorded = refusals.clone();
    let mut options = creds
        .connect_options()
        .name(format!("keyroll {user}"))
        .subscription_capacity(BUFFERED_REQUESTS)
        .client_capacity(BUFFERED_REQUESTS)
        .event_callback(move |event| {
            recorded.record(&event);
            async {}
        });
    if let Some(inbox) = inbox {
        options = options.custom_inbox_prefix(inbox);
    }
    let hosts = addresses.hosts();
    let connected = addresses.connect(options, CONNECT).await;
    let client = connected.map_err(|why| ServeError::Connect { user, hosts, why })?;
    Ok((client, refusals))
}
