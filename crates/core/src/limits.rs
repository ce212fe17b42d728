//! Every bound of the wire forms in one place, with its reason.

/// Largest signed command the ledger reads: an import of full size still leaves room for the
/// values beside it in one 900 KiB request.
pub const COMMAND_BYTES: usize = 480 * 1024;
/// Largest request body: JetStream and the clients' account take 1 MiB messages, the rest is for
/// subject, headers and envelope.
pub const REQUEST_BYTES: usize = 900 * 1024;
/// Largest entry. With the 512 KiB of a commit this leaves room for the commit's own fields.
pub const ENTRY_BYTES: usize = 500 * 1024;
/// Largest commit, well under the stream's 1 MiB message limit.
pub const COMMIT_BYTES: usize = 512 * 1024;
/// Most entries in one commit: bounds the time one commit takes to apply.
pub const COMMIT_ENTRIES: usize = 1_000;
/// Deepest nesting of accepted CBOR. Our own forms need eight levels.
pub const CBOR_DEPTH: usize = 16;
/// Elements of one CBOR array or map.
pub const CBOR_ITEMS: u64 = 10_000;

/// Smallest and largest value, in bytes.
pub const VALUE_BYTES: std::ops::RangeInclusive<usize> = 1..=65_535;
/// Longest secret name.
pub const NAME_BYTES: usize = 128;
/// Longest workspace name (a NATS token and a DNS label).
pub const WORKSPACE_BYTES: usize = 63;
/// Longest free text kept in the log: description, reason.
pub const TEXT_BYTES: usize = 1_024;
/// Longest member display name, and workflow, block and run labels.
pub const LABEL_BYTES: usize = 128;
/// Hosts a secret can be bound to.
pub const HOSTS: usize = 16;
/// Longest host pattern: a DNS name of 253 bytes with scheme and port.
pub const HOST_BYTES: usize = 270;
/// Globs of one member.
pub const GLOBS: usize = 64;
/// Secrets in one reveal: their sealed values must fit one reply.
pub const REVEAL_SECRETS: usize = 256;
/// Sealed bytes in one reveal's reply.
pub const REVEAL_BYTES: u64 = 900 * 1024;
/// Largest reply to a reveal: JetStream's and the clients' accounts take 1 MiB and 64 KiB.
pub const REPLY_BYTES: u64 = 1_088 * 1024;
/// Bytes of a released value in a reply besides itself, its name and its hosts: its keys and
/// digests, in the entry and beside it.
pub const RELEASED_OVERHEAD: u64 = 512;
/// Bytes of a reply besides entry and values: two proofs and a checkpoint.
pub const REPLY_OVERHEAD: u64 = 16 * 1024;
/// Revoked delegations of one identity: they are kept for good.
pub const REVOCATIONS: usize = 256;
/// Used delegations of one identity that are remembered: as many as can be revoked. Beyond that the
/// one that ends first is forgotten.
pub const SEEN_DELEGATIONS: usize = 256;
/// Members of one workspace.
pub const MEMBERS: usize = 10_000;
/// Secrets of one workspace, deleted and destroyed ones included.
pub const SECRETS: usize = 1_000_000;
/// Versions or objects that one command destroys, erases, loses or sweeps: its array has no more
/// items, and the entry stays far below its limit.
pub const ENDED_AT_ONCE: usize = 1_000;
/// Age at which a stored value that no version refers to is an orphan, in milliseconds: far more
/// than [`FRESH_MS`], so that no command that is still accepted can refer to it.
pub const ORPHAN_MS: u64 = 5 * 60 * 1_000;
/// Age up to which a command that is sent again may use the value that it stored earlier: it is
/// appended within [`FRESH_MS`] before or after its own time, so before the value could be an
/// orphan.
pub const STORED_AGAIN_MS: u64 = 2 * 60 * 1_000;
/// Saved workflows of one workspace.
pub const WORKFLOWS: usize = 1_000;
/// Blocks of one workflow.
pub const WORKFLOW_BLOCKS: usize = 256;
/// References to secrets in one workflow, over all its blocks.
pub const WORKFLOW_SECRETS: usize = 1_000;
/// Secrets created by one import command.
pub const IMPORT_SECRETS: usize = 1_000;

/// How far a command's own time may be from the ledger's, in milliseconds.
pub const FRESH_MS: u64 = 60_000;
/// Refusals of one member that become entries of their own, per minute.
pub const DENIALS_PER_MINUTE: u32 = 10;
/// Longest life of a delegated key, in milliseconds.
pub const DELEGATION_MS: u64 = 12 * 60 * 60 * 1_000;
/// Longest life of a sign-in, in milliseconds: a working day, with its evening.
pub const SIGN_IN_MS: u64 = 12 * 60 * 60 * 1_000;
/// Open sign-ins of one member: a person has no more machines and browsers. Beyond that the oldest
/// is closed.
pub const OPEN_SIGN_INS: usize = 16;
/// Entries of one member that open or close sign-ins, per minute: people do not sign in more often.
pub const SIGN_INS_PER_MINUTE: u32 = 60;
/// Sign-in keys of one member that are remembered until their sign-ins end, so that none is opened
/// twice: all that a person can use in half a day.
pub const REMEMBERED_SIGN_INS: usize = 256;
/// How long an invitation can be accepted, and then how long an owner can confirm the acceptance, in
/// milliseconds: a week has a working day for everybody.
pub const INVITATION_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// How long an invitation is remembered after that, in milliseconds, so that it can be renewed: people
/// come late.
pub const LAPSED_INVITATION_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Invitations of one workspace that are remembered: more than a team invites in a month.
pub const INVITATIONS: usize = 1_000;
/// Life of one sealing key, in milliseconds.
pub const SEALING_PERIOD_MS: u64 = 24 * 60 * 60 * 1_000;
/// A clock that steps back by less than this counts as the last entry's time.
pub const HOLD_MS: u64 = 10_000;
