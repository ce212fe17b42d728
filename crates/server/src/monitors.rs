//! Monitors of a running service: clocks, durability, storage and streams. While one of them finds a
//! fault that endangers the log, the service refuses commands.

pub(crate) mod clock;
pub(crate) mod durability;
pub(crate) mod environment;
pub(crate) mod storage;
pub(crate) mod streams;

use std::collections::BTreeMap;

/// The nats-servers that hold the streams, and whether each is online.
pub(crate) type Replicas = BTreeMap<String, bool>;
