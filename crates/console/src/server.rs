//! The server: its options, and the routes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use keyroll_client::Client;
use keyroll_client::ClientError;
use keyroll_core::{Code, Millis, WorkspaceName};
use keyroll_http::{Limits, Server};
use keyroll_wire::time::now;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tower_http::limit::RequestBodyLimitLayer;

use crate::app::App;
use crate::failure::Failure;
use crate::login_keys::LoginKeys;
use crate::pending_imports::PendingImports;
use crate::public_origin::PublicOrigin;
use crate::response::Responder;
use crate::session::{PendingSession, SESSION_MS, Sessions};
use crate::verification::VerifyLog;
use crate::{assets, audit, guard, login, members, secrets, sign_in};

/// The largest request: an import of a megabyte, escaped in a form.
const BODY_BYTES: usize = 3 * 1024 * 1024;
/// The largest request without a session: a consent to a sign-in.
const ANONYMOUS_BODY_BYTES: usize = 16 * 1024;
/// Connections at a time. Idle ones are closed when others come, so this bounds requests rather than
/// people.
const CONNECTIONS: usize = 512;
/// Connections of one address: many browsers behind one, each with six.
const PER_CLIENT: usize = 64;

/// How often the console looks for links and sessions that have ended.
const SWEEP: Duration = Duration::from_secs(15);

/// The people who may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInPolicy {
    /// The owner: the identity that the client signs with. It signs in through [`Console::link`].
    Owner,
    /// Members, who sign in with `keyroll console login`.
    Members,
    /// Both.
    OwnerAndMembers,
}

/// The options of a console.
pub struct Options {
    /// The connection to the ledger, and the owner's identity where there is one.
    pub client: Client,
    /// The people who may sign in.
    pub sign_in: SignInPolicy,
    /// The console's origin, as browsers see it.
    pub origin: PublicOrigin,
    /// The workspace to open first, if the identity is a member there.
    pub workspace: Option<WorkspaceName>,
    /// Checks a whole log.
    pub verify: VerifyLog,
    /// Addresses of proxies, which connect for many people.
    pub proxies: Vec<IpAddr>,
}

/// A running console.
pub struct Console {
    app: Arc<App>,
    server: Server,
    sweeper: JoinHandle<()>,
}

impl Console {
    /// Serves on a listener until it is stopped.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn start(listener: TcpListener, options: Options) -> Result<Self, ClientError> {
        let login_keys = match options.sign_in {
            SignInPolicy::Owner => None,
            SignInPolicy::Members | SignInPolicy::OwnerAndMembers => Some(LoginKeys::new()?),
        };
        let app = Arc::new(App {
            client: options.client,
            origin: options.origin,
            workspace: options.workspace,
            sessions: Sessions::default(),
            login_keys,
            imports: PendingImports::default(),
            verification: Arc::default(),
            verify: options.verify,
            has_owner: options.sign_in != SignInPolicy::Members,
        });
        let limits = Limits::new(CONNECTIONS, PER_CLIENT, &options.proxies);
        let routes = router(Arc::clone(&app));
        let server = Server::start(listener, routes, limits, guard::headers);
        let sweeper = tokio::spawn(sweep(Arc::clone(&app)));
        Ok(Self {
            app,
            server,
            sweeper,
        })
    }

    /// The console's origin.
    pub fn origin(&self) -> &str {
        self.app.origin.as_str()
    }

    /// A link that signs the owner in, once and within a minute.
    ///
    /// # Errors
    /// When the console has no owner, or the system gives no randomness.
    pub fn link(&self) -> Result<String, ClientError> {
        if !self.app.has_owner {
            let message = "this console has no owner: sign in with `keyroll console login`";
            return Err(ClientError::failed(Code::Denied, message));
        }
        let time = now();
        let until = Millis(time.0.saturating_add(SESSION_MS));
        let pending = PendingSession::new(self.app.client.clone(), None, until);
        let token = self.app.sessions.link(pending, time)?;
        Ok(self.app.link_url(&token))
    }

    /// Stops it. Requests under way get a moment to finish.
    pub async fn stop(self) {
        self.sweeper.abort();
        self.server.stop().await;
    }
}

/// Closes the sign-ins of what has ended, for as long as the console runs.
async fn sweep(app: Arc<App>) {
    let mut due = tokio::time::interval(SWEEP);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        app.close_ended().await;
    }
}

fn router(app: Arc<App>) -> Router {
    let signed_in = Router::new()
        .route("/", get(sign_in::home))
        .route("/sign-out", post(sign_in::sign_out))
        .merge(secrets::routes())
        .merge(audit::routes())
        .merge(members::routes());
    let anonymous = Router::new()
        .route("/enter", get(sign_in::show).post(sign_in::sign_in))
        .route("/login/begin", post(login::begin))
        .route("/login/finish", post(login::finish))
        .layer(RequestBodyLimitLayer::new(ANONYMOUS_BODY_BYTES));
    Router::new()
        .merge(signed_in)
        .merge(anonymous)
        .route("/assets/{name}", get(assets::asset))
        .fallback(no_page)
        .method_not_allowed_fallback(no_page)
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(BODY_BYTES))
        .layer(from_fn_with_state(Arc::clone(&app), guard::guard))
        .with_state(app)
}

async fn no_page(responder: Responder) -> Response {
    responder.failure(&Failure::not_found("There is no such page."), Some("/"))
}
