//! What keyroll asks of a nats-server: accounts and permissions, streams, and checks before it starts.

pub mod checks;
pub mod config;
pub mod credential;
pub mod permissions;
pub mod stream_probe;
pub mod streams;

pub use async_nats::Client as NatsClient;
pub use checks::{CheckError, MonitoredServer, check_version, verify_sync_always};
pub(crate) use checks::{Store, is_local, store};
pub use config::{ClientUser, Endpoint, ServerConfig, TlsFiles, Users, Workspaces};
pub use credential::Credential;
pub use stream_probe::{StreamProbe, probe_streams};
pub use streams::{
    LedgerStream, StreamError, check_streams, create_streams, make_missing, may_remake, remake_log,
};
