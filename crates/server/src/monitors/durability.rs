//! Whether the nats-servers write to disk before they acknowledge. All of keyroll's promises depend on
//! it, so it is checked before the service starts and whenever a server may have changed.

use async_nats::ServerInfo;
use futures::future::join_all;
use keyroll_core::{Code, Rejection};

use super::Replicas;
use crate::nats::{CheckError, MonitoredServer, verify_sync_always};

/// Checks that the nats-servers sync always.
pub(crate) struct Durability {
    /// Monitoring addresses of every nats-server.
    monitoring: Vec<String>,
    /// Whether the operator waived verification.
    waived: bool,
    /// The id of our server's process, if it was found to sync always.
    verified: Option<String>,
}

/// The result of checking every server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct DurabilityReport {
    /// Why a server does not sync always.
    unsynced: Option<String>,
    /// Why a server could not be checked.
    unreachable: Option<String>,
    /// Servers that hold the streams, and whose monitoring addresses were not given.
    unlisted: Option<String>,
    /// Whether the server that we are connected to syncs always.
    ours: bool,
    /// Whether more than half of the servers do. Every acknowledged entry is on one of these.
    most: bool,
}

impl DurabilityReport {
    /// Whether every server is known to sync always.
    ///
    /// # Errors
    /// The reason why not.
    pub(crate) fn all(&self) -> Result<(), &str> {
        let why = self.unsynced.as_deref().or(self.unlisted.as_deref());
        why.or(self.unreachable.as_deref()).map_or(Ok(()), Err)
    }

    /// Whether a service may start. After the loss of one server of a cluster, services must still be
    /// able to restart: most servers are enough, with the one that we are connected to.
    ///
    /// # Errors
    /// The reason why not.
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

    /// Whether the operator waived verification.
    pub(crate) const fn is_waived(&self) -> bool {
        self.waived
    }

    /// Whether our server is still the process that was found to sync always.
    pub(crate) fn knows(&self, connected: &ServerInfo) -> bool {
        self.waived || self.verified.as_ref() == Some(&connected.server_id)
    }

    /// Checks every server; `replicas` are those that hold the streams.
    pub(crate) async fn check(
        &mut self,
        connected: &ServerInfo,
        replicas: &Replicas,
    ) -> DurabilityReport {
        let checks = self.monitoring.iter().map(|url| verify_sync_always(url));
        let report = judge(&join_all(checks).await, &connected.server_name, replicas);
        if report.ours {
            self.verified = Some(connected.server_id.clone());
        }
        report
    }

    /// Why commands must be refused after a check, if they must. Other servers of a cluster may be
    /// offline: entries acknowledged without them are on the disks of the rest.
    pub(crate) fn refusal(
        &self,
        report: &DurabilityReport,
        connected: &ServerInfo,
    ) -> Option<Rejection> {
        let doubt = report
            .unreachable
            .as_ref()
            .filter(|_| !self.knows(connected));
        let why = report.unsynced.as_ref().or(doubt)?;
        let message = format!(
            "{why}: commands are refused until every entry is on disk before it is acknowledged"
        );
        (!self.waived).then(|| Rejection::new(Code::AuditUnavailable, message))
    }
}

fn judge(
    checks: &[Result<MonitoredServer, CheckError>],
    connected: &str,
    replicas: &Replicas,
) -> DurabilityReport {
    let mut report = DurabilityReport {
        most: checks.iter().filter(|one| one.is_ok()).count() > checks.len() / 2,
        ..DurabilityReport::default()
    };
    for one in checks {
        match one {
            Ok(server) => report.ours |= server.server_name == connected,
            Err(error) if error.is_reported() => report.unsynced = Some(error.to_string()),
            Err(error) => report.unreachable = Some(error.to_string()),
        }
    }
    let is_checked = |name: &str| {
        let mut servers = checks.iter().flatten();
        servers.any(|server| server.server_name == name)
    };
    let unlisted: Vec<&str> = replicas.keys().map(String::as_str).collect();
    let unlisted: Vec<&str> = unlisted
        .into_iter()
        .filter(|name| !is_checked(name))
        .collect();
    // A server that did not answer, or does not sync, may be any of them.
    if unlisted.len() > checks.iter().filter(|one| one.is_err()).count() {
        let names = unlisted.join(", ");
        report.unlisted = Some(format!(
            "the monitoring addresses of these nats-servers, which hold the streams, were not given: {names}"
        ));
    }
    if checks.is_empty() {
        report.unreachable = Some("no monitoring address was given".to_owned());
    } else if !report.ours && report.all().is_ok() {
        report.unreachable = Some(format!(
            "no monitoring address belongs to {connected}, the nats-server that this service is connected to"
        ));
    }
    report
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

    /// The report on servers that sync always, that do not (`!`), and that are offline (`?`).
    fn judged(pages: &[&str]) -> DurabilityReport {
        let check = |page: &&str| match page.strip_prefix('!') {
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
        let pages: Vec<_> = pages.iter().map(check).collect();
        judge(&pages, "a", &replicas.collect())
    }

    #[test]
    fn every_server_with_streams_must_be_listed() {
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
            // A fourth server without streams replaces none of them.
            (vec![page("a"), page("b"), page("d")], false),
            (vec![page("a"), page("b")], false),
            (vec![page("a")], false),
        ] {
            let report = judge(&pages, "a", &replicas);
            assert_eq!(report.enough().is_ok(), enough, "{pages:?}");
            assert_eq!(report.unlisted.is_none(), enough, "{pages:?}");
        }
    }

    /// A service whose server, process `p`, was found to sync always, or not.
    fn service(verified: bool) -> Durability {
        Durability {
            verified: verified.then(|| "p".to_owned()),
            ..Durability::new(Vec::new(), false)
        }
    }

    #[test]
    fn a_start_needs_most_servers_and_ours_among_them() {
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
    fn all_servers_sync_only_if_every_one_was_checked() {
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
    fn offline_servers_do_not_stop_commands_while_ours_is_known() {
        let (known, anew) = (server("a", "p"), server("a", "q"));
        let report = judged(&["?", "?"]);
        assert_eq!(service(true).refusal(&report, &known), None);
        assert!(service(true).refusal(&report, &anew).is_some());
        assert!(service(false).refusal(&report, &known).is_some());
    }

    #[test]
    fn a_waived_check_refuses_nothing() {
        let waived = Durability::new(Vec::new(), true);
        assert_eq!(waived.refusal(&judged(&["!a"]), &server("a", "p")), None);
        assert!(waived.knows(&server("a", "q")));
    }
}
