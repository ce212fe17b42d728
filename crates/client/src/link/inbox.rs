//! Where a connection hears the answers to all its requests.
//!
//! nats-server bounds the subscriptions of a client, and refuses one more without saying which request it was for.
//! So a connection has one, which it makes before anything else can take its place.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_nats::{Message, SubscribeError};
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::sync::lock;

/// The requests that wait for answers, by the last token of the reply subject.
type Waiting = Arc<Mutex<HashMap<String, mpsc::UnboundedSender<Message>>>>;

/// The one subscription for answers.
pub(super) struct Inbox {
    /// The subject before the last token, with its dot.
    prefix: String,
    next: AtomicU64,
    waiting: Waiting,
    /// The task holds a part of the connection, which would otherwise never end.
    task: AbortHandle,
}

impl Inbox {
    pub(super) async fn open(nats: &async_nats::Client) -> Result<Self, SubscribeError> {
        let prefix = format!("{}.", nats.new_inbox());
        let mut heard = nats.subscribe(format!("{prefix}*")).await?;
        let waiting = Waiting::default();
        let (before, waiters) = (prefix.clone(), Arc::clone(&waiting));
        let task = tokio::spawn(async move {
            while let Some(message) = heard.next().await {
                let token = message.subject.strip_prefix(&*before);
                if let Some(answers) = token.and_then(|token| lock(&waiters).get(token).cloned()) {
                    // The caller may have stopped waiting.
                    let _ = answers.send(message);
                }
            }
            // The connection is closed: no answer comes.
            lock(&waiters).clear();
        });
        Ok(Self {
            prefix,
            next: AtomicU64::new(0),
            waiting,
            task: task.abort_handle(),
        })
    }

    /// The answers to one request.
    pub(super) fn answers(&self) -> Answers {
        let token = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let (answers, heard) = mpsc::unbounded_channel();
        lock(&self.waiting).insert(token.clone(), answers);
        Answers {
            subject: format!("{}{token}", self.prefix),
            token,
            heard,
            waiting: Arc::clone(&self.waiting),
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answers to one request, until it is dropped.
pub(crate) struct Answers {
    subject: String,
    token: String,
    heard: mpsc::UnboundedReceiver<Message>,
    waiting: Waiting,
}

impl Answers {
    /// Where they are sent to.
    pub(crate) fn subject(&self) -> String {
        self.subject.clone()
    }

    /// The next one; `None` when the connection is closed.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        self.heard.recv().await
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        lock(&self.waiting).remove(&self.token);
    }
}
