//! The way to the ledger: a NATS connection that is replaced before its credentials end.
//!
//! A client without a NATS user of its own connects as a guest, gets credentials from the ledger, and
//! connects with those. Before they end, and whenever a workspace is missing in them, it gets new ones and
//! opens a *second* connection. Requests under way keep the old one until they have their answers.

mod access;
mod guest;
mod inbox;
mod live;
mod moment;
mod refusal;
mod renewal;
mod store;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use keyroll_core::{Code, LedgerId, WorkspaceName};
use keyroll_nats::nkeys::KeyPair;
use keyroll_nats::{Addresses, Creds, connection_key};
use keyroll_wire::query::CREDENTIAL_WORKSPACES;
use keyroll_wire::reply::{IssuedCredential, ServiceInfo};
use keyroll_wire::subjects;

use crate::ClientError;
use crate::client::{CALL_TIMEOUT, LedgerKeys};
use crate::signer::Signer;
use crate::sync::lock;

pub(crate) use access::{Access, Newest, Timed};
pub(crate) use live::{Live, RequestFailed};

use guest::{Guest, Way};
use moment::Moment;
use store::CredentialStore;

/// The connections of one client, one after the other.
pub(crate) struct Link {
    addresses: Addresses,
    access: Access,
    /// The signer of requests for credentials.
    signer: Signer,
    home: Option<PathBuf>,
    /// Set once the ledger has shown its keys.
    keys: OnceLock<LedgerKeys>,
    current: Mutex<Option<Arc<Live>>>,
    /// The newest credentials, which every connection uses when it has to connect again.
    newest: Newest,
    /// The workspaces that the next credentials are for, the one used last at the end.
    wanted: Mutex<VecDeque<WorkspaceName>>,
    /// One caller at a time connects.
    turn: tokio::sync::Mutex<()>,
    guest: tokio::sync::Mutex<Option<Guest>>,
}

impl Link {
    pub(crate) fn new(
        addresses: Addresses,
        creds: Option<PathBuf>,
        signer: Signer,
        home: Option<PathBuf>,
    ) -> Arc<Self> {
        let access = match creds {
            Some(file) => Access::File(file),
            None if addresses.user().is_some() => Access::Url,
            None => Access::Issued,
        };
        Arc::new(Self {
            addresses,
            access,
            signer,
            home,
            keys: OnceLock::new(),
            current: Mutex::new(None),
            newest: Newest::default(),
            wanted: Mutex::new(VecDeque::new()),
            turn: tokio::sync::Mutex::new(()),
            guest: tokio::sync::Mutex::new(None),
        })
    }

    /// The ledger's keys: over credentials that are still in force, else as a guest. `pinned` is the only
    /// ledger whose stored credentials may be used.
    pub(crate) async fn meet(
        self: &Arc<Self>,
        pinned: Option<&LedgerId>,
    ) -> Result<ServiceInfo, ClientError> {
        let _turn = self.turn.lock().await;
        match &self.access {
            Access::Url => {
                self.open_plain().await?;
            }
            Access::File(file) => self.open_with(access::read(file)?).await?,
            Access::Issued => {
                let stored = pinned.and_then(|ledger| self.store(ledger)?.load());
                // A stored JWT may be refused although it looks valid: by other clocks it has ended.
                let usable = stored.filter(|creds| !creds.is_expired());
                if let Some(creds) = usable
                    && self.open_with(Timed::stored(creds)).await.is_ok()
                {
                    *lock(&self.wanted) = self.reached();
                } else {
                    let guest = Guest::connect(&self.addresses).await?;
                    let info = guest.info(None).await;
                    self.keep_a_while(guest).await;
                    return info;
                }
            }
        }
        self.info().await
    }

    /// From now on the ledger's answers are believed under these keys.
    pub(crate) fn trust(&self, keys: LedgerKeys) {
        let _ = self.keys.set(keys);
    }

    /// The ledger's keys, over the present connection.
    pub(crate) async fn info(&self) -> Result<ServiceInfo, ClientError> {
        let Some(live) = self.current() else {
            let guest = Box::pin(Guest::connect(&self.addresses)).await?;
            return guest.info(self.keys.get()).await;
        };
        guest::plain_info(&live).await
    }

    /// A connection that reaches a workspace, or the ledger as a whole.
    ///
    /// # Errors
    /// The ledger's refusal to issue credentials; [`Code::Unreachable`].
    pub(crate) async fn live(
        self: &Arc<Self>,
        need: Option<&WorkspaceName>,
    ) -> Result<Arc<Live>, ClientError> {
        if let Some(live) = self.usable(need) {
            return Ok(live);
        }
        // Rare, and large: it connects twice.
        let replaced = tokio::time::timeout(CALL_TIMEOUT, Box::pin(self.replace_in_turn(need)));
        replaced.await.unwrap_or_else(|_| {
            let words = "no NATS credentials came in time: nats-server or the ledger is overloaded";
            Err(ClientError::failed(Code::Unreachable, words))
        })?;
        self.usable(need).ok_or_else(|| {
            let words =
                "the new NATS credentials have ended already: check the clocks of both machines";
            ClientError::failed(Code::Stale, words)
        })
    }

    /// Whether the present connection reaches a workspace, without new credentials.
    pub(crate) fn is_open_for(&self, workspace: Option<&WorkspaceName>) -> bool {
        self.usable(workspace).is_some()
    }

    /// Sends a query that guests may ask, and returns the signed reply.
    pub(crate) async fn ask_sealed(&self, query: Vec<u8>) -> Result<Vec<u8>, ClientError> {
        self.send_sealed(subjects::CREDENTIAL, query).await
    }

    /// Sends a request that guests may send, and returns the reply that came sealed.
    pub(crate) async fn send_sealed(
        &self,
        subject: &str,
        request: Vec<u8>,
    ) -> Result<Vec<u8>, ClientError> {
        let keys = self.keys.get();
        if let Some(live) = self.usable(None) {
            return guest::sealed(Way::Member(&live), subject, request, keys).await;
        }
        let guest = Box::pin(Guest::connect(&self.addresses)).await?;
        guest.send(subject, request, keys).await
    }

    /// The present connection, whatever it reaches.
    pub(crate) fn current(&self) -> Option<Arc<Live>> {
        lock(&self.current).clone()
    }

    fn usable(&self, need: Option<&WorkspaceName>) -> Option<Arc<Live>> {
        let live = self.current()?;
        (live.reaches(need) && !live.is_over()).then_some(live)
    }

    /// As [`Link::replace`], unless another caller has just done so.
    async fn replace_in_turn(
        self: &Arc<Self>,
        need: Option<&WorkspaceName>,
    ) -> Result<(), ClientError> {
        let _turn = self.turn.lock().await;
        match self.usable(need) {
            Some(_) => Ok(()),
            None => self.replace(need).await,
        }
    }

    /// Gets new credentials, connects with them, and swaps that connection in. Needs the turn.
    async fn replace(self: &Arc<Self>, need: Option<&WorkspaceName>) -> Result<(), ClientError> {
        let timed = match &self.access {
            // A user with a password has no end and no list of workspaces.
            Access::Url => return self.open_plain().await,
            Access::File(file) => access::read(file)?,
            Access::Issued => match self.unspent(need) {
                Some(timed) => timed,
                None => self.issued(need).await?,
            },
        };
        self.open_with(timed).await
    }

    /// Credentials that are good for another connection, in place of one that hears no answers.
    fn unspent(&self, need: Option<&WorkspaceName>) -> Option<Timed> {
        self.current().filter(|live| live.is_spent())?;
        let newest = lock(&self.newest).clone()?.present()?;
        let reaches = need.is_none_or(|need| newest.workspaces().contains(need));
        reaches.then_some(newest)
    }

    async fn open_plain(&self) -> Result<(), ClientError> {
        let live = Live::open(&self.addresses, None, &self.newest).await?;
        self.swap(live);
        Ok(())
    }

    async fn open_with(self: &Arc<Self>, timed: Timed) -> Result<(), ClientError> {
        let before = lock(&self.newest).replace(timed.clone());
        match Live::open(&self.addresses, Some(&timed), &self.newest).await {
            Ok(live) => {
                let renew = live.renew_at();
                self.swap(live);
                self.spawn_renewal(renew);
                Ok(())
            }
            Err(error) => {
                *lock(&self.newest) = before;
                Err(error)
            }
        }
    }

    /// The old connection ends with the last request on it.
    fn swap(&self, live: Live) {
        *lock(&self.current) = Some(Arc::new(live));
    }

    fn spawn_renewal(self: &Arc<Self>, at: Option<Moment>) {
        if let Some(at) = at {
            tokio::spawn(renewal::run(Arc::downgrade(self), at));
        }
    }

    fn newest_jwt(&self) -> Option<String> {
        let newest = lock(&self.newest);
        newest.as_ref().map(|timed| timed.creds.jwt().to_owned())
    }

    /// The workspaces that the present credentials reach.
    fn reached(&self) -> VecDeque<WorkspaceName> {
        let newest = lock(&self.newest);
        newest.iter().flat_map(Timed::workspaces).collect()
    }

    /// Credentials from the ledger: for all workspaces that were in use, and for the one that is needed.
    /// When the ledger refuses these, the membership in another may be over: then only for that one.
    async fn issued(&self, need: Option<&WorkspaceName>) -> Result<Timed, ClientError> {
        let all = {
            let mut wanted = lock(&self.wanted);
            if let Some(need) = need {
                wanted.retain(|name| name != need);
                wanted.push_back(need.clone());
            }
            while wanted.len() > CREDENTIAL_WORKSPACES {
                wanted.pop_front();
            }
            wanted.clone()
        };
        let one: VecDeque<WorkspaceName> = need.cloned().into_iter().collect();
        let key = self.connection_key();
        let issued = match self.ask_credential(&key, &all).await {
            Err(error) if error.code() == Code::Denied && all != one => {
                let issued = self.ask_credential(&key, &one).await;
                if issued.is_ok() {
                    *lock(&self.wanted) = one;
                }
                issued
            }
            other => other,
        };
        self.leave_as_guest().await;
        issued
    }

    /// The ledger admits few guests at once: one that asks nothing more makes room soon.
    async fn keep_a_while(self: &Arc<Self>, guest: Guest) {
        *self.guest.lock().await = Some(guest);
        let link = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(CALL_TIMEOUT).await;
            if let Some(link) = link.upgrade() {
                link.leave_as_guest().await;
            }
        });
    }

    async fn leave_as_guest(&self) {
        *self.guest.lock().await = None;
    }

    async fn ask_credential(
        &self,
        key: &KeyPair,
        workspaces: &VecDeque<WorkspaceName>,
    ) -> Result<Timed, ClientError> {
        let begun = Moment::now();
        let workspaces = workspaces.iter().cloned().collect();
        let creds = self.ask_for(key, workspaces).await?;
        if let Some(keys) = self.keys.get()
            && let Some(store) = self.store(&keys.ledger)
        {
            store.save(&creds);
        }
        Ok(Timed::issued(creds, begun))
    }

    /// Credentials for any connection key.
    pub(crate) async fn credential_for(
        &self,
        key: &KeyPair,
        workspaces: Vec<WorkspaceName>,
    ) -> Result<Creds, ClientError> {
        let issued = self.ask_for(key, workspaces).await;
        self.leave_as_guest().await;
        issued
    }

    async fn ask_for(
        &self,
        key: &KeyPair,
        workspaces: Vec<WorkspaceName>,
    ) -> Result<Creds, ClientError> {
        let connection = connection_key::of(key)
            .map_err(|error| ClientError::failed(Code::Internal, error.to_string()))?;
        let asked = guest::Asked {
            keys: self.keys.get().ok_or_else(guest::no_keys)?,
            signer: &self.signer,
            connection,
            workspaces,
        };
        // A connection that is in force is quicker than a new one, and no flood of guests delays it.
        let over_live = match self.usable(None).filter(|live| live.is_connected()) {
            Some(live) => match live.ask_credential(&asked).await {
                // Its server may have died: a guest tries them all.
                Err(error) if error.code() == Code::Unreachable => None,
                answer => Some(answer?),
            },
            None => None,
        };
        let issued = match over_live {
            Some(issued) => issued,
            None => self.ask_as_guest(&asked).await?,
        };
        Creds::new(issued.jwt, key.clone())
            .map_err(|error| ClientError::failed(Code::Corrupt, error.to_string()))
    }

    async fn ask_as_guest(
        &self,
        asked: &guest::Asked<'_>,
    ) -> Result<IssuedCredential, ClientError> {
        let mut guest = self.guest.lock().await;
        let connected = match guest.take() {
            Some(connected) if connected.is_connected() => connected,
            _ => Guest::connect(&self.addresses).await?,
        };
        let issued = connected.ask_credential(asked).await;
        // It may be asked again, for other workspaces.
        *guest = issued.is_err().then_some(connected);
        issued
    }

    /// The key of this home's connections to the ledger. It is made once.
    fn connection_key(&self) -> KeyPair {
        if let Some(timed) = lock(&self.newest).as_ref() {
            return timed.creds.key().clone();
        }
        let stored = self
            .keys
            .get()
            .and_then(|keys| self.store(&keys.ledger)?.load());
        stored.map_or_else(KeyPair::new_user, |creds| creds.key().clone())
    }

    fn store(&self, ledger: &LedgerId) -> Option<CredentialStore> {
        let home = self.home.as_ref()?;
        Some(CredentialStore::in_home(home, ledger))
    }
}
