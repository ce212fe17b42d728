//! Invitations: accepting one, and the line that holds all that somebody needs for it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use keyroll_core::command::{COMMAND_V, Command, MemberAccept};
use keyroll_core::event::MemberAccepted;
use keyroll_core::invitation::{AcceptanceProof, AcceptanceStatement, InvitationCode, binding};
use keyroll_core::sign_in::Principal;
use keyroll_core::{Action, Code, Event, LedgerId, Millis, Rejection, WorkspaceName, cose};
use keyroll_nats::Addresses;
use keyroll_wire::query::{InvitationList, PAGE_ROWS, Question};
use keyroll_wire::reply::{Answer, InvitationRow};
use keyroll_wire::time::now;
use zeroize::Zeroizing;

use crate::command::Executed;
use crate::query::unexpected;
use crate::{Client, ClientError, public};

/// The result of an acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// The signer is a member.
    Joined,
    /// An owner has to confirm it, until then.
    Waits(Millis),
}

impl Client {
    /// Accepts an invitation for the signer, whose own key proves that it wants to join.
    ///
    /// # Errors
    /// As [`Client::execute`]: [`Code::Denied`] when the code is of no use, and [`Code::Conflict`]
    /// when the signer has accepted it before, or is a member.
    pub async fn accept(
        &self,
        workspace: &WorkspaceName,
        code: &InvitationCode,
    ) -> Result<(Executed, Accepted), ClientError> {
        let ledger = self.ledger();
        let code = code.key(&ledger, workspace);
        let command = Command {
            v: COMMAND_V,
            at: now(),
            id: crate::new_command_id(),
            action: acceptance((&ledger, workspace), &code, self.signer().key()),
            ledger,
            workspace: workspace.clone(),
            member: None,
            approval: None,
            delegation: None,
        };
        let bytes = cose::sign(&command, &code);
        let executed = self.submit(workspace, bytes, Vec::new()).await?;
        let accepted = executed.entry.events.iter().find_map(|event| {
            if let Event::MemberAccepted(accepted) = event {
                Some(*accepted)
            } else {
                None
            }
        });
        let outcome = match accepted {
            Some(MemberAccepted { until: None, .. }) => Accepted::Joined,
            Some(MemberAccepted {
                until: Some(until), ..
            }) => Accepted::Waits(until),
            None => return Err(unexpected()),
        };
        Ok((executed, outcome))
    }

    /// All invitations of a workspace that nobody has joined by, by name.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn invitations(
        &self,
        workspace: &WorkspaceName,
    ) -> Result<Vec<InvitationRow>, ClientError> {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let ask = Question::InvitationList(InvitationList {
                after,
                limit: PAGE_ROWS,
            });
            let answered = self.query(Some(workspace), ask).await?;
            let Answer::InvitationList(page) = answered.answer else {
                return Err(unexpected());
            };
            rows.extend(page.rows);
            // A `next` that does not advance would loop for ever.
            if page.next.is_none() || page.next <= after {
                rows.sort_by(|one, two| one.name.as_str().cmp(two.name.as_str()));
                return Ok(rows);
            }
            after = page.next;
        }
    }
}

fn acceptance(
    (ledger, workspace): (&LedgerId, &WorkspaceName),
    code: &SigningKey,
    own: &SigningKey,
) -> Action {
    let principal = Principal::Key(public(own));
    let binding = binding(ledger, workspace, &public(code), &principal);
    let statement = AcceptanceStatement { v: 1, binding };
    Action::MemberAccept(MemberAccept {
        proof: AcceptanceProof::Key(cose::sign(&statement, own).into()),
        principal,
    })
}

/// Longest link: a CA certificate of 4 KiB, and many servers.
const LINK_BYTES: usize = 8 * 1024;
const SCHEME: &str = "keyroll://";

/// The line that an invitation is sent as:
/// `keyroll://HOST:PORT,…/LEDGER/WORKSPACE[?tls | ?ca=CERTIFICATE]#CODE`. It holds all that the new
/// member needs, and each link has one spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationLink {
    /// `HOST:PORT` of each nats-server.
    pub servers: Vec<String>,
    /// How connections are encrypted.
    pub tls: LinkTls,
    /// The only ledger that may answer.
    pub ledger: LedgerId,
    /// The workspace to join.
    pub workspace: WorkspaceName,
    /// The secret.
    pub code: InvitationCode,
}

/// How connections to the servers of a link are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkTls {
    /// Not at all.
    Off,
    /// By certificates that the machine trusts.
    System,
    /// By certificates under this one, in DER.
    Ca(Vec<u8>),
}

impl InvitationLink {
    /// The servers as the client takes them.
    pub fn nats_url(&self) -> String {
        let scheme = match self.tls {
            LinkTls::Off => "nats",
            LinkTls::System | LinkTls::Ca(_) => "tls",
        };
        format!("{scheme}://{}", self.servers.join(","))
    }

    /// The link as text. Its reader can accept the invitation.
    pub fn to_text(&self) -> Zeroizing<String> {
        let tls = match &self.tls {
            LinkTls::Off => String::new(),
            LinkTls::System => "?tls".to_owned(),
            LinkTls::Ca(der) => format!("?ca={}", URL_SAFE_NO_PAD.encode(der)),
        };
        Zeroizing::new(format!(
            "{SCHEME}{}/{}/{}{tls}#{}",
            self.servers.join(","),
            URL_SAFE_NO_PAD.encode(self.ledger.0),
            self.workspace,
            self.code.to_text().as_str(),
        ))
    }
}

/// Why a link is refused. The message never repeats the link, which holds the code.
fn wrong(what: &str) -> Rejection {
    let message = format!(
        "this is not an invitation's link: {what}. Copy the whole line, which begins with {SCHEME}"
    );
    Rejection::new(Code::InvalidField, message)
}

impl FromStr for InvitationLink {
    type Err = Rejection;

    fn from_str(text: &str) -> Result<Self, Rejection> {
        if text.len() > LINK_BYTES {
            return Err(wrong("it is too long"));
        }
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| wrong("it begins otherwise"))?;
        let (rest, code) = rest
            .split_once('#')
            .ok_or_else(|| wrong("it has no code"))?;
        let code = code
            .parse()
            .map_err(|_| wrong("its code is cut off or changed"))?;
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let mut parts = rest.split('/');
        let (Some(servers), Some(ledger), Some(workspace), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong("it has no servers, ledger and workspace"));
        };
        let ledger = bytes(ledger).and_then(|bytes| bytes.try_into().ok());
        let link = Self {
            servers: servers.split(',').map(str::to_owned).collect(),
            tls: match query {
                None => LinkTls::Off,
                Some("tls") => LinkTls::System,
                Some(query) => {
                    let der = query.strip_prefix("ca=").and_then(bytes);
                    let der = der.filter(|der| !der.is_empty());
                    LinkTls::Ca(der.ok_or_else(|| wrong("its certificate is damaged"))?)
                }
            },
            ledger: LedgerId(ledger.ok_or_else(|| wrong("it names no ledger"))?),
            workspace: workspace
                .parse()
                .map_err(|_| wrong("it names no workspace"))?,
            code,
        };
        // A name or password would go to all servers, and whoever made the link chose it.
        let plain = |server: &String| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte);
            !server.is_empty() && server.bytes().all(allowed)
        };
        if !link.servers.iter().all(plain) || link.nats_url().parse::<Addresses>().is_err() {
            return Err(wrong("it names no servers"));
        }
        if link.to_text().as_str() != text {
            return Err(wrong("it has another spelling"));
        }
        Ok(link)
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joined => "joined",
            Self::Waits(_) => "waits",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(tls: LinkTls) -> InvitationLink {
        InvitationLink {
            servers: vec!["a.example:4222".to_owned(), "[::1]:4223".to_owned()],
            tls,
            ledger: LedgerId([7; 32]),
            workspace: "demo".parse().expect("a name"),
            code: InvitationCode::new([9; 16]),
        }
    }

    #[test]
    fn a_link_is_one_line_that_reads_back() {
        for tls in [LinkTls::Off, LinkTls::System, LinkTls::Ca(vec![1; 700])] {
            let link = link(tls);
            let text = link.to_text();
            assert!(
                text.bytes().all(|byte| byte.is_ascii_graphic()),
                "{}",
                text.as_str()
            );
            assert_eq!(text.parse::<InvitationLink>(), Ok(link));
        }
        assert_eq!(
            link(LinkTls::System).nats_url(),
            "tls://a.example:4222,[::1]:4223"
        );
    }

    #[test]
    fn other_spellings_are_refused_without_repeating_the_code() {
        let good = link(LinkTls::System).to_text();
        let code = InvitationCode::new([9; 16]).to_text();
        let changed = [
            good.replace("keyroll://", "https://"),
            good.replace("keyroll://", "KEYROLL://"),
            good.replace("a.example", "user:password@a.example"),
            good.replace("a.example:4222", ""),
            good.replace("a.example", "a example"),
            good.replace("/demo", "/Demo"),
            good.replace("/demo", "/demo/more"),
            good.replace("/demo", ""),
            good.replace("?tls", "?tls=1"),
            good.replace("?tls", "?ca="),
            good.replace("?tls", "?ca=%"),
            good.replace("?tls", "?tls&x"),
            good.replace('#', "#x"),
            good.replace('#', ""),
            format!("{} ", good.as_str()),
            format!(" {}", good.as_str()),
            good[..good.len() - 1].to_owned(),
            good.replace('?', &format!("?ca={}&", "A".repeat(LINK_BYTES))),
        ];
        for text in changed {
            let refused = text.parse::<InvitationLink>().expect_err(&text);
            assert_eq!(refused.code, Code::InvalidField, "{text}");
            let message = refused.message;
            assert!(!message.contains(code.as_str()) && !message.contains("password"));
        }
    }
}
