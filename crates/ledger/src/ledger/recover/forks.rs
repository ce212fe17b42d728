//! Where two sources went different ways, the longer chain counts.

use std::collections::BTreeMap;
use std::path::Path;

use futures::StreamExt as _;
use keyroll_core::{Code, Index, Rejection, WorkspaceName};

use super::chains::{Chains, Offer, read};
use super::sources;
use crate::log::Log;
use crate::projection::View;

impl Chains {
    /// Takes what a file holds: what extends a chain, or the whole of a longer one.
    pub(super) fn take_file(&mut self, file: &Path, view: &View) -> Result<(), Rejection> {
        let ledger = self.ledger();
        // Where each workspace first goes another way.
        let mut forks: BTreeMap<WorkspaceName, Index> = BTreeMap::new();
        sources::read(file, &ledger, &mut |workspace, bytes| {
            match self.take(workspace, bytes.clone())? {
                Offer::Before(first, _) if !forks.contains_key(workspace) => {
                    if !self.has(workspace, first, &bytes, view)? {
                        forks.insert(workspace.clone(), first);
                    }
                }
                Offer::Before(..) | Offer::Extends | Offer::Odd(_) => {}
            }
            Ok(())
        })?;
        if forks.is_empty() {
            return Ok(());
        }
        let mut alone = self.alone();
        let taken = sources::read(file, &ledger, &mut |workspace, bytes| {
            if forks.contains_key(workspace) {
                alone.take(workspace, bytes)?;
            }
            Ok(())
        });
        taken.map_err(|rejection| match rejection.code {
            Code::TooLarge => {
                let message = format!(
                    "{} holds another history, too large to be looked at beside the read model: \
                     stop the service, put that file in place of ledger.redb, start it, and \
                     recover then",
                    file.display()
                );
                Rejection::new(Code::TooLarge, message)
            }
            _ => rejection,
        })?;
        let longer = self.take_longer(alone);
        let name = file.file_name().unwrap_or_default().display();
        for (workspace, first) in forks {
            let which = if longer.contains(&workspace) {
                "it is the longer one, and is taken"
            } else {
                "it is not longer, and is left"
            };
            self.say_beside(format!(
                "recover/{name}, {workspace}: another history from entry {first} on; {which}"
            ));
        }
        Ok(())
    }

    /// Where the log went another way than the chains, its own counts if it is longer.
    pub(super) async fn take_longer_log(&mut self, log: &dyn Log) -> Result<(), Rejection> {
        let mut alone = self.alone();
        let mut messages = read(log).await?;
        while let Some((_, message)) = messages.next().await {
            let Some(message) = message? else { continue };
            if let Some(workspace) = &message.workspace
                && self.is_forked(workspace)
            {
                alone.take(workspace, message.bytes.clone())?;
            }
        }
        self.take_longer(alone);
        Ok(())
    }

    /// Takes the place of each chain that is shorter. Which those were.
    fn take_longer(&mut self, alone: Self) -> Vec<WorkspaceName> {
        let mut longer = Vec::new();
        for (workspace, other) in alone.into_chains() {
            if self.chain(&workspace).give_way_to(other) {
                longer.push(workspace);
            }
        }
        longer
    }
}
