//! The server: routes, and what all requests share.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use ed25519_dalek::SigningKey;
use keyroll_api::Client;
use keyroll_api::client::{ClientError, now};
use keyroll_core::{Identity, Millis, WorkspaceName};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::failure::Failure;
use crate::imports::Imports;
use crate::outcome::Wants;
use crate::place::Place;
use crate::session::{Ending, SESSION_MS, Sessions, Ticket};
use crate::verification::{Verification, Verify, is_doubt};
use crate::{assets, audit, enter, guard, login, members, secrets};

/// The largest request: an import of a megabyte, escaped in a form.
const BODY_BYTES: usize = 3 * 1024 * 1024;
/// Longer than a client's patience with the ledger, so that its words arrive.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Who may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The one identity that the client signs with, through links that the console's owner gets.
    Owner,
    /// Anybody to whom a member delegates, through `keyroll console login`.
    Members,
    /// Both.
    OwnerAndMembers,
}

/// What a console needs.
pub struct Options {
    /// The connection to the ledger, and the owner's identity where there is one.
    pub client: Client,
    /// Who may come in.
    pub who: Who,
    /// How browsers see the console.
    pub place: Place,
    /// Where to start, if the identity is a member there.
    pub workspace: Option<WorkspaceName>,
    /// Checks a whole log.
    pub verify: Verify,
}

pub(crate) struct App {
    pub(crate) base: Client,
    pub(crate) place: Place,
    pub(crate) workspace: Option<WorkspaceName>,
    pub(crate) sessions: Sessions,
    /// Keys that wait for a delegation.
    pub(crate) logins: Option<Ending<Identity, SigningKey>>,
    /// Files that wait for a yes.
    pub(crate) imports: Imports,
    pub(crate) verification: Arc<Verification>,
    pub(crate) verify: Verify,
    owned: bool,
}

impl App {
    /// The session cookie's name.
    pub(crate) fn cookie(&self) -> &str {
        self.place.cookie()
    }

    pub(crate) fn enter_url(&self, token: &str) -> String {
        format!("{}/enter?token={token}", self.place.origin())
    }

    pub(crate) fn how_to_sign_in(&self) -> String {
        if self.logins.is_some() {
            format!(
                "Run `keyroll console login {}` for a new link.",
                self.place.origin()
            )
        } else {
            "Stop `keyroll console` and start it again for a new link.".to_owned()
        }
    }

    /// A client's error, and what it says about the log kept in mind.
    pub(crate) fn noticed(&self, workspace: &WorkspaceName, error: ClientError) -> Failure {
        if is_doubt(error.code()) {
            self.verification.fail(workspace, &error.to_string());
        }
        error.into()
    }
}

/// A running console.
pub struct Console {
    app: Arc<App>,
    stop: watch::Sender<bool>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Console {
    /// Serves on a listener until it is stopped.
    pub fn start(listener: TcpListener, options: Options) -> Self {
        let app = Arc::new(App {
            base: options.client,
            place: options.place,
            workspace: options.workspace,
            sessions: Sessions::default(),
            logins: (options.who != Who::Owner).then(Ending::default),
            imports: Imports::default(),
            verification: Arc::default(),
            verify: options.verify,
            owned: options.who != Who::Members,
        });
        let (stop, mut stopped) = watch::channel(false);
        let service = router(Arc::clone(&app)).into_make_service();
        let task = tokio::spawn(async move {
            axum::serve(listener, service)
                .with_graceful_shutdown(async move {
                    // An error means that the console is gone: that is a stop too.
                    let _ = stopped.wait_for(|stop| *stop).await;
                })
                .await
        });
        Self { app, stop, task }
    }

    /// Where it is.
    pub fn origin(&self) -> &str {
        self.app.place.origin()
    }

    /// A link that signs the owner in, once and within a minute.
    ///
    /// # Errors
    /// When there is no owner, or no randomness.
    pub fn link(&self) -> Result<String, ClientError> {
        if !self.app.owned {
            let words = "this console has no owner: sign in with `keyroll console login`";
            return Err(ClientError::failed(keyroll_core::Code::Denied, words));
        }
        let time = now();
        let ticket = Ticket {
            client: self.app.base.clone(),
            only: None,
            until: Millis(time.0.saturating_add(SESSION_MS)),
        };
        let token = self.app.sessions.link(ticket, time)?;
        Ok(self.app.enter_url(&token))
    }

    /// Ends it. Pages under way get a moment.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let grace = Duration::from_secs(2);
        if tokio::time::timeout(grace, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

fn router(app: Arc<App>) -> Router {
    let visited = Router::new()
        .route("/", get(enter::home))
        .route("/sign-out", post(enter::leave))
        .merge(secrets::routes())
        .merge(audit::routes())
        .merge(members::routes());
    Router::new()
        .merge(visited)
        .route("/enter", get(enter::show).post(enter::enter))
        .route("/login/begin", post(login::begin))
        .route("/login/finish", post(login::finish))
        .route("/assets/{name}", get(assets::asset))
        .fallback(no_page)
        .method_not_allowed_fallback(no_page)
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            TIMEOUT,
        ))
        .layer(from_fn_with_state(Arc::clone(&app), guard::guard))
        .with_state(app)
}

async fn no_page(wants: Wants) -> Response {
    wants.failure(&Failure::not_found("There is no such page."), Some("/"))
}
