//! The NATS users of a cluster. Each door is an account of clients: requests through a door reach only the
//! services at that door.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use keyroll_nats::Creds;
use keyroll_nats::creds::seconds;
use keyroll_nats::jwt::{self, Account, Limits, Template, User};
use keyroll_nats::nkeys::KeyPair;
use keyroll_server::nats::permissions::{Permissions, client_of_all, responder};
use keyroll_server::nats::{OperatorKeys, Trust, TrustedAccount, Users};

use crate::harness::Home;

/// The client user; at the second door `tester2`, and so on.
const TESTER: &str = "tester";
/// No test runs for a day.
const DAY: u64 = 24 * 3_600;

/// The users of all doors, and what the servers know of them.
pub(super) struct Doors {
    pub(super) trust: Trust,
    pub(super) users: Users,
    pub(super) operator_keys: OperatorKeys,
    all: Vec<Door>,
    home: PathBuf,
}

struct Door {
    responder: Creds,
    tester: Creds,
}

impl Doors {
    pub(super) fn new(home: &Home, doors: usize) -> Self {
        let operator_keys = OperatorKeys::generate().expect("keys");
        let users = operator_keys.users().expect("users");
        let mut trust = operator_keys.trust().expect("JWTs");
        let owner = (TESTER, &KeyPair::new_user());
        let tester = operator_keys.client_of_all(owner, (seconds(), DAY));
        let first = Door {
            responder: users.responder.clone(),
            tester: tester.expect("a client"),
        };
        let mut all = vec![first];
        for number in 2..=doors {
            let (door, account) = further(&operator_keys, number);
            trust.accounts.push(account);
            all.push(door);
        }
        let made = Self {
            trust,
            users,
            operator_keys,
            all,
            home: home.scratch(),
        };
        made.write();
        made
    }

    fn write(&self) {
        let Users {
            service,
            operator,
            console,
            ..
        } = &self.users;
        for (name, creds) in [
            ("service", service),
            ("operator", operator),
            ("console", console),
        ] {
            self.write_one(name, &creds.render().expect("a text"));
        }
        for (number, door) in self.all.iter().enumerate() {
            let texts =
                [&door.responder, &door.tester].map(|creds| creds.render().expect("a text"));
            self.write_one(&at_door("responder", number), &texts[0]);
            self.write_one(&at_door(TESTER, number), &texts[1]);
        }
        let path = self.seed();
        fs::write(&path, self.operator_keys.clients_seed().expect("a seed")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    }

    fn write_one(&self, name: &str, text: &str) {
        let path = self.file(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    }

    /// The file of a user's credentials.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.home.join(format!("{name}.creds"))
    }

    /// The file of the scoped key.
    pub(super) fn seed(&self) -> PathBuf {
        self.home.join("clients.nk")
    }

    pub(super) fn tester(&self, door: usize) -> PathBuf {
        self.file(&at_door(TESTER, door))
    }

    pub(super) fn responder(&self, door: usize) -> PathBuf {
        self.file(&at_door("responder", door))
    }
}

/// Another account of clients, signed by the same operator.
fn further(operator_keys: &OperatorKeys, number: usize) -> (Door, TrustedAccount) {
    let (name, key) = (format!("CLIENTS{number}"), KeyPair::new_account());
    let account = Account {
        exports: Vec::new(),
        imports: Vec::new(),
        limits: Limits::plain(),
        signing_keys: Vec::new(),
    };
    let public_key = key.public_key();
    let about = (&*public_key, &*name);
    let operator = operator_keys.operator_key();
    let jwt = jwt::sign(operator, about, (seconds(), None), account).expect("signed");
    let user = |name: String, permissions: Permissions| {
        let user = KeyPair::new_user();
        let own = User::own(Template::new(permissions.publish, permissions.subscribe));
        let about = (&*user.public_key(), &*name);
        let jwt = jwt::sign(&key, about, (seconds(), None), own).expect("signed");
        Creds::new(jwt, user).expect("credentials")
    };
    let tester = at_door(TESTER, number - 1);
    let door = Door {
        responder: user(at_door("responder", number - 1), responder()),
        tester: user(tester.clone(), client_of_all(&tester)),
    };
    (
        door,
        TrustedAccount {
            name,
            public_key,
            jwt,
        },
    )
}

/// The name of a user at a door; at the first door it is unchanged.
fn at_door(name: &str, door: usize) -> String {
    match door {
        0 => name.to_owned(),
        _ => format!("{name}{}", door + 1),
    }
}
