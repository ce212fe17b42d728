//! Whether the nats-servers write to disk before they acknowledge. Everything that keyroll promises
//! rests on it, so it is looked at before the service starts and whenever a server may be another.

use async_nats::ServerInfo;
use futures::future::join_all;
use keyroll_core::{Code, Rejection};

use crate::nats::{CheckError, MonitoredServer, verify_sync_always};
use crate::stream_probes::Replicas;

/// Where to look, and how strict to be.
pub(crate) struct Durability {
    /// Monitoring addresses of every nats-server.
    monitoring: Vec<String>,
    /// Somebody said that it need not be verified.
    waived: bool,
    /// The process of the server that serves us, when it was last seen to sync always.
    verified: Option<String>,
}

/// What a look at every server came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Look {
    /// A server that does not sync always, in words.
    unsynced: Option<String>,
    /// Something that could not be looked at, in words.
    unseen: Option<String>,
    /// A server that keeps entries and that nobody said where to look at, in words.
    unlisted: Option<String>,
    /// Whether the server that serves us was among those that do.
    ours: bool,
    /// Whether more than half of them do: no entry counts without one of these.
    most: bool,
}

impl Look {
    /// Why not every server is known to sync always.
    ///
    /// # Errors
    /// That, in words.
    pub(crate) fn all(&self) -> Result<(), &str> {
        let why = self.unsynced.as_deref().or(self.unlisted.as_deref());
        why.or(self.unseen.as_deref()).map_or(Ok(()), Err)
    }

    /// Why a service may not start, if it may not. A cluster that has lost a server must not lose
    /// its services too when they are started again: most are enough, with the one that serves us.
    ///
    /// # Errors
    /// That, in words.
    pub(crate) fn enough(&self) -> Result<(), &str> {
        if self.unsynced.is_none() && self.unlisted.is_none() && self.ours && self.most {
            return Ok(());
        }
        self.all()
    }
}

impl Durability {
    pub(crate) const fn new(monitoring: Vec<String>, waived: bool) -> Self {
        Self {
            monitoring,
            waived,
            verified: None,
        }
    }

    /// Whether nobody wants it verified.
    pub(crate) const fn is_waived(&self) -> bool {
        self.waived
    }

    /// Whether the server before us is the process that was last seen to sync always.
    pub(crate) fn knows(&self, connected: &ServerInfo) -> bool {
        self.waived || self.verified.as_ref() == Some(&connected.server_id)
    }

    /// Looks at every server; `replicas` are those that keep the streams.
    pub(crate) async fn look(&mut self, connected: &ServerInfo, replicas: &Replicas) -> Look {
        let looks = self.monitoring.iter().map(|url| verify_sync_always(url));
        let look = judge(&join_all(looks).await, &connected.server_name, replicas);
        if look.ours {
            self.verified = Some(connected.server_id.clone());
        }
        look
    }

    /// Why no command may be taken after a look, if none may. Other servers of a cluster may be
    /// away: what is acknowledged without them is on the disks of the rest.
    pub(crate) fn refusal(&self, look: &Look, connected: &ServerInfo) -> Option<Rejection> {
        let doubt = look.unseen.as_ref().filter(|_| !self.knows(connected));
        let why = look.unsynced.as_ref().or(doubt)?;
        let words =
            format!("{why}: no command is taken until every entry is on disk before it counts");
        (!self.waived).then(|| Rejection::new(Code::AuditUnavailable, words))
    }
}

fn judge(
    looks: &[Result<MonitoredServer, CheckError>],
    connected: &str,
    replicas: &Replicas,
) -> Look {
    let mut look = Look {
        most: looks.iter().filter(|one| one.is_ok()).count() > looks.len() / 2,
        ..Look::default()
    };
    for one in looks {
        match one {
            Ok(server) => look.ours |= server.server_name == connected,
            Err(error) if error.is_of_the_server() => look.unsynced = Some(error.to_string()),
            Err(error) => look.unseen = Some(error.to_string()),
        }
    }
    let is_seen = |name: &str| {
        let mut seen = looks.iter().flatten();
        seen.any(|server| server.server_name == name)
    };
    let unseen: Vec<&str> = replicas.keys().map(String::as_str).collect();
    let unseen: Vec<&str> = unseen.into_iter().filter(|name| !is_seen(name)).collect();
    // One that is away, or does not sync, may be any of them.
    if unseen.len() > looks.iter().filter(|one| one.is_err()).count() {
        let names = unseen.join(", ");
        look.unlisted = Some(format!(
            "of nats-servers that keep the streams the monitoring address was not given: {names}"
        ));
    }
    if looks.is_empty() {
        look.unseen = Some("no monitoring address was given".to_owned());
    } else if !look.ours && look.all().is_ok() {
        look.unseen = Some(format!(
            "none of the monitoring addresses is that of {connected}, which serves us"
        ));
    }
    look
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, process: &str) -> ServerInfo {
        ServerInfo {
            server_name: name.to_owned(),
            server_id: process.to_owned(),
            ..ServerInfo::default()
        }
    }

    /// What the pages of servers say: which sync always, which do not (`!`), and which are away (`?`).
    fn judged(pages: &[&str]) -> Look {
        let look = |page: &&str| match page.strip_prefix('!') {
            _ if *page == "?" => Err(CheckError::Unreachable {
                url: "http://127.0.0.1:1".to_owned(),
                reason: "refused".to_owned(),
            }),
            Some(name) => Err(CheckError::NotSynced {
                server: name.to_owned(),
            }),
            None => Ok(MonitoredServer {
                server_name: (*page).to_owned(),
                version: "2.15.1".to_owned(),
            }),
        };
        let replicas = ["a", "b"].map(|name| (name.to_owned(), true));
        let replicas = Replicas::from(replicas).into_iter().take(pages.len());
        let pages: Vec<_> = pages.iter().map(look).collect();
        judge(&pages, "a", &replicas.collect())
    }

    #[test]
    fn who_keeps_the_streams_must_be_listed() {
        let page = |name: &str| {
            Ok(MonitoredServer {
                server_name: name.to_owned(),
                version: "2.15.1".to_owned(),
            })
        };
        let away = || {
            Err(CheckError::Unreachable {
                url: "http://127.0.0.1:1".to_owned(),
                reason: "refused".to_owned(),
            })
        };
        let replicas = Replicas::from(["a", "b", "c"].map(|name| (name.to_owned(), true)));
        for (pages, enough) in [
            (vec![page("a"), page("b"), page("c")], true),
            (vec![page("a"), page("b"), away()], true),
            // A fourth one that keeps nothing takes no one's place.
            (vec![page("a"), page("b"), page("d")], false),
            (vec![page("a"), page("b")], false),
            (vec![page("a")], false),
        ] {
            let look = judge(&pages, "a", &replicas);
            assert_eq!(look.enough().is_ok(), enough, "{pages:?}");
            assert_eq!(look.unlisted.is_none(), enough, "{pages:?}");
        }
    }

    /// A service whose server, process `p`, was seen to sync always, or not.
    fn service(verified: bool) -> Durability {
        Durability {
            verified: verified.then(|| "p".to_owned()),
            ..Durability::new(Vec::new(), false)
        }
    }

    #[test]
    fn before_a_start_most_servers_must_be_seen_and_ours_among_them() {
        for pages in [&["a"][..], &["a", "b"], &["a", "b", "?"]] {
            assert_eq!(judged(pages).enough(), Ok(()), "{pages:?}");
        }
        for pages in [
            &[][..],
            &["?"],
            &["b"],
            &["b", "c", "?"],
            &["a", "?"],
            &["a", "?", "?"],
            &["!a"],
            &["a", "!b"],
            &["a", "b", "!c"],
        ] {
            assert!(judged(pages).enough().is_err(), "{pages:?}");
        }
    }

    #[test]
    fn only_when_every_server_was_seen_all_are_known_to_sync() {
        assert_eq!(judged(&["a", "b", "c"]).all(), Ok(()));
        assert!(judged(&["a", "b", "?"]).all().is_err());
    }

    #[test]
    fn a_server_that_does_not_sync_stops_commands_whichever_it_is() {
        for pages in [["!a", "?"], ["a", "!b"]] {
            let refusal = service(true).refusal(&judged(&pages), &server("a", "p"));
            assert_eq!(refusal.map(|r| r.code), Some(Code::AuditUnavailable));
        }
    }

    #[test]
    fn servers_that_are_away_stop_nothing_while_ours_is_known() {
        let (known, anew) = (server("a", "p"), server("a", "q"));
        let look = judged(&["?", "?"]);
        assert_eq!(service(true).refusal(&look, &known), None);
        assert!(service(true).refusal(&look, &anew).is_some());
        assert!(service(false).refusal(&look, &known).is_some());
    }

    #[test]
    fn who_waives_it_is_stopped_by_nothing() {
        let waived = Durability::new(Vec::new(), true);
        assert_eq!(waived.refusal(&judged(&["!a"]), &server("a", "p")), None);
        assert!(waived.knows(&server("a", "q")));
    }
}
