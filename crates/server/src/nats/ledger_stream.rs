//! The four streams of a ledger: their names, subjects and settings.

use std::fmt;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

/// The largest message of the log, headers included: a commit of at most 512 KiB fits twice.
pub const LOG_MESSAGE_MAX: i32 = 1024 * 1024;
/// Replicas that a stream may have. An even number tolerates no more failures than the odd one below.
pub(super) const REPLICAS: [usize; 3] = [1, 3, 5];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LedgerStream {
    /// Commits, one subject per workspace. Nothing is ever deleted.
    Log,
    /// Sealed values, one subject and message per object.
    Vault,
    /// Wrapped workspace keys and sealing keys, one subject and message per key.
    Keys,
    /// The tokens of sign-ins, one subject and message per token.
    Tokens,
}

impl LedgerStream {
    pub const ALL: [Self; 4] = [Self::Log, Self::Vault, Self::Keys, Self::Tokens];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "KEYROLL_LOG",
            Self::Vault => "KEYROLL_VAULT",
            Self::Keys => "KEYROLL_KEYS",
            Self::Tokens => "KEYROLL_TOKENS",
        }
    }

    pub const fn subjects(self) -> &'static str {
        match self {
            Self::Log => "keyroll.log.*",
            // <workspace>.<object>.<epoch>
            Self::Vault => "keyroll.vault.*.*.*",
            // <workspace>.<epoch>, _sealing.<period>
            Self::Keys => "keyroll.keys.*.*",
            Self::Tokens => "keyroll.tokens.>",
        }
    }

    /// All subjects that a writer may need, the present ones and later ones.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Log => "keyroll.log.>",
            Self::Vault => "keyroll.vault.>",
            Self::Keys => "keyroll.keys.>",
            Self::Tokens => "keyroll.tokens.>",
        }
    }

    /// Whether single messages may be erased.
    pub const fn may_erase(self) -> bool {
        !matches!(self, Self::Log)
    }

    /// The settings that the stream is created with.
    pub fn config(self, replicas: usize) -> Config {
        let common = Config {
            name: self.name().to_owned(),
            subjects: vec![self.subjects().to_owned()],
            storage: StorageType::File,
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::New,
            max_messages: -1,
            max_bytes: -1,
            max_messages_per_subject: -1,
            max_message_size: -1,
            max_consumers: -1,
            num_replicas: replicas,
            allow_rollup: false,
            // docs/adr/0002-no-direct-get.md
            allow_direct: false,
            ..Config::default()
        };
        if self.may_erase() {
            Config {
                // The server refuses a second message on a subject, even if a writer sends one by
                // mistake: a replaced message's bytes would stay on disk.
                max_messages_per_subject: 1,
                discard_new_per_subject: true,
                ..common
            }
        } else {
            Config {
                deny_delete: true,
                deny_purge: true,
                max_message_size: LOG_MESSAGE_MAX,
                ..common
            }
        }
    }
}

impl fmt::Display for LedgerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
