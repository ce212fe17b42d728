//! keyroll's requirements on a nats-server: accounts, permissions, streams, and checks of all these.

pub mod checks;
pub mod config;
pub mod credential;
mod ledger_stream;
pub mod operator;
pub mod permissions;
mod stream_error;
pub mod stream_probe;
mod stream_setup;
mod streams;

pub use async_nats::Client as NatsClient;
pub use checks::{CheckError, MonitoredServer, check_version, verify_sync_always};
pub(crate) use checks::{StoreUsage, is_local, store_usage};
pub use config::{Cluster, ConfigError, Endpoint, ServerConfig, TlsFiles};
pub use credential::Credential;
pub use ledger_stream::{LOG_MESSAGE_MAX, LedgerStream};
pub use operator::{AccountName, OperatorKeys, OperatorKeysError, Trust, TrustedAccount, Users};
pub use stream_error::StreamError;
pub use stream_probe::{StreamProbe, probe_streams};
pub use stream_setup::{create_missing, create_stream, create_streams, may_recreate, recreate_log};
pub use streams::{StreamState, check_streams};
