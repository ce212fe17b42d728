//! The server: routes, and what all requests share.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use keyroll_client::Client;
use keyroll_client::ClientError;
use keyroll_core::{Millis, WorkspaceName};
use keyroll_http::{Limits, Server};
use keyroll_wire::time::now;
use tokio::net::TcpListener;
use tower_http::limit::RequestBodyLimitLayer;

use crate::failure::Failure;
use crate::imports::Imports;
use crate::login::Logins;
use crate::outcome::Wants;
use crate::place::Place;
use crate::session::{SESSION_MS, Session, Sessions, Ticket};
use crate::verification::{Verification, Verify, is_doubt};
use crate::{assets, audit, enter, guard, login, members, secrets};

/// The largest request: an import of a megabyte, escaped in a form.
const BODY_BYTES: usize = 3 * 1024 * 1024;
/// The largest request of somebody who is not signed in: a delegation.
const STRANGERS_BYTES: usize = 16 * 1024;
/// Connections at a time: those between two requests are given up when others come, so this bounds
/// requests rather than people.
const CONNECTIONS: usize = 512;
/// Of one address: many browsers behind one, each with six.
const PER_CLIENT: usize = 64;

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
    /// Addresses that speak for many people.
    pub proxies: Vec<IpAddr>,
}

pub(crate) struct App {
    pub(crate) base: Client,
    pub(crate) place: Place,
    pub(crate) workspace: Option<WorkspaceName>,
    pub(crate) sessions: Sessions,
    /// Makes keys that wait for a delegation.
    pub(crate) logins: Option<Logins>,
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

    /// Ends a session, and wipes what it leaves behind.
    pub(crate) fn end(&self, session: &Session) {
        self.sessions.end(session, now());
        self.imports.end(&session.key);
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
    server: Server,
}

impl Console {
    /// Serves on a listener until it is stopped.
    ///
    /// # Errors
    /// Without randomness.
    pub fn start(listener: TcpListener, options: Options) -> Result<Self, ClientError> {
        let logins = match options.who {
            Who::Owner => None,
            Who::Members | Who::OwnerAndMembers => Some(Logins::new()?),
        };
        let app = Arc::new(App {
            base: options.client,
            place: options.place,
            workspace: options.workspace,
            sessions: Sessions::default(),
            logins,
            imports: Imports::default(),
            verification: Arc::default(),
            verify: options.verify,
            owned: options.who != Who::Members,
        });
        let limits = Limits::new(CONNECTIONS, PER_CLIENT, &options.proxies);
        let pages = router(Arc::clone(&app));
        let server = Server::start(listener, pages, limits, guard::headers);
        Ok(Self { app, server })
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
        let until = Millis(time.0.saturating_add(SESSION_MS));
        let ticket = Ticket::new(self.app.base.clone(), None, until);
        let token = self.app.sessions.link(ticket, time)?;
        Ok(self.app.enter_url(&token))
    }

    /// Ends it. Pages under way get a moment.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

fn router(app: Arc<App>) -> Router {
    let visited = Router::new()
        .route("/", get(enter::home))
        .route("/sign-out", post(enter::leave))
        .merge(secrets::routes())
        .merge(audit::routes())
        .merge(members::routes());
    let strangers = Router::new()
        .route("/enter", get(enter::show).post(enter::enter))
        .route("/login/begin", post(login::begin))
        .route("/login/finish", post(login::finish))
        .layer(RequestBodyLimitLayer::new(STRANGERS_BYTES));
    Router::new()
        .merge(visited)
        .merge(strangers)
        .route("/assets/{name}", get(assets::asset))
        .fallback(no_page)
        .method_not_allowed_fallback(no_page)
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(BODY_BYTES))
        .layer(from_fn_with_state(Arc::clone(&app), guard::guard))
        .with_state(app)
}

async fn no_page(wants: Wants) -> Response {
    wants.failure(&Failure::not_found("There is no such page."), Some("/"))
}
