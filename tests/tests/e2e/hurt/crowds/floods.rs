//! Requests that come faster, or are larger, than they can be answered.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::time::Instant;

use keyroll_client::Client;
use keyroll_client::{new_command_id, new_secret_id};
use keyroll_core::command::{NewSecret, SecretImport};
use keyroll_core::crypto::{Direction, Key, SealContext, seal_value};
use keyroll_core::{Action, Code, Digest, Version, cose};
use keyroll_tests::harness::raw;
use keyroll_tests::harness::wait::until;
use keyroll_tests::hurt::scale;
use keyroll_wire::reply::{ReplyBody, SealedValue};
use keyroll_wire::{Reply, subjects};

use super::{CONNECTIONS, Scales, answered, demo, fill, ledger, page};

/// The requests at work, those being refused, and the rest of the process. A flood that waits in
/// memory takes more where the scheduler favours readers.
const FLOODED_MIB: u64 = 256;
/// 0.8 MB each: beyond 64 MB waiting for one connection, nats-server closes it.
const IMPORTS: usize = 60;

/// Requests as fast as nats-server takes them, faster than they can be refused. Not all are
/// answered, but none stays in memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_does_not_stay_in_memory() {
    let (cluster, service, _clients) = ledger().await;
    let scales = Scales::under(&service);
    let begun = Instant::now();
    let (floods, each) = (4, scale(5_000, 20_000, 20_000));
    let started = (0..floods).map(|number| {
        let (mut connection, user) = cluster.plain_connection();
        std::thread::spawn(move || {
            let mut answers = connection.try_clone().expect("a handle");
            let heard = std::thread::spawn(move || {
                let (mut heard, mut buffer) = (0_u64, vec![0; 1 << 16]);
                while let Ok(length @ 1..) = answers.read(&mut buffer) {
                    heard += length as u64;
                }
                heard
            });
            let inbox = format!("_INBOX_client.{user}.flood{number}");
            let subscribe = format!("SUB {inbox}.* 1\r\n");
            connection.write_all(subscribe.as_bytes()).expect("said");
            let request = raw::request(&vec![7; 60_000]);
            let head = format!(
                "PUB keyroll.v1.demo.command {inbox}.1 {}\r\n",
                request.len()
            );
            let message = [head.as_bytes(), &request, b"\r\n"].concat();
            // In the end nats-server may close such a fast connection.
            let sent = (0..each).take_while(|_| connection.write_all(&message).is_ok());
            let sent = sent.count();
            let _ = connection.shutdown(std::net::Shutdown::Write);
            (sent, heard.join().expect("a reader"))
        })
    });
    let floods: Vec<_> = started.collect();
    let (mut sent, mut heard) = (0, 0);
    for flood in floods {
        let (one, answers) = flood.join().expect("a flood");
        (sent, heard) = (sent + one, heard + answers);
    }
    let took = begun.elapsed();
    until("the service to be at ease", || {
        let reveal = cluster.keyroll(["secret", "reveal", "A"]).run();
        reveal.is_code(0).then_some(())
    });
    let most = scales.read();
    assert!(most < FLOODED_MIB, "{most} MiB in memory");
    assert!(heard > 0, "nobody was told anything");
    eprintln!("{sent} requests of 60 kB in {took:?}: {most} MiB at most");
}

/// An import of 0.8 MB, signed, and its values.
fn import(client: &Client, number: usize) -> (Vec<u8>, Vec<SealedValue>) {
    let (session, command) = (
        client.session(&demo()).expect("a session"),
        new_command_id(),
    );
    let ledger = client.ledger();
    let secrets = (0..13_u32).map(|item| {
        let (id, key) = (new_secret_id().expect("an id"), Key::new([7; 32]));
        let context = SealContext {
            ledger: &ledger,
            workspace: &demo(),
            secret: id,
            version: Version::FIRST,
        };
        let sealed = seal_value(&vec![9; 60_000], &key, [1; 24], &context).expect("sealed");
        let way = Direction::ToLedger;
        let key = session.keys.seal(way, &command, item, &key, [2; 24]);
        let new = NewSecret {
            id,
            name: format!("L{number}x{item}").parse().expect("a name"),
            size: u32::try_from(sealed.len()).expect("a size"),
            hosts: Vec::new(),
            digest: Digest::of(&sealed),
            restricted: false,
            description: "large".parse().expect("a text"),
            rotate_every: None,
        };
        let (key, sealed) = (key.into(), sealed.into());
        (new, SealedValue { key, sealed })
    });
    let (secrets, values) = secrets.unzip();
    let action = Action::SecretImport(SecretImport {
        secrets,
        session: session.reference,
    });
    (client.sign_command(&demo(), command, action), values)
}

/// Large answers and large requests at once, of callers who read: memory stays bounded.
#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_are_bounded_together() {
    let (cluster, service, clients) = ledger().await;
    fill(&clients).await;
    let imports = IMPORTS;
    // Sealed before the test begins: it keeps the processors busy, and connections would not be
    // read meanwhile.
    let sealed: Vec<_> = (0..imports)
        .map(|number| import(&clients[number % CONNECTIONS], number))
        .collect();
    let scales = Scales::under(&service);
    let pages = scale(200, 400, 400);
    let mut tasks = Vec::new();
    for number in 0..pages {
        let client = clients[number % CONNECTIONS].clone();
        let query = page(&client, &cluster);
        tasks.push(tokio::spawn(async move {
            let reply = answered(&client, subjects::query(&demo()), query).await;
            match cose::open::<Reply>(&reply.payload)
                .expect("a signed reply")
                .payload
                .body
            {
                ReplyBody::Answer(_) => "page",
                ReplyBody::Error(rejection) => {
                    assert!(
                        matches!(rejection.code, Code::Busy | Code::Stale),
                        "{rejection}"
                    );
                    "busy"
                }
            }
        }));
    }
    for (number, (command, values)) in sealed.into_iter().enumerate() {
        let client = clients[number % CONNECTIONS].clone();
        tasks.push(tokio::spawn(async move {
            match client.submit(&demo(), command, values).await {
                Ok(_) => "import",
                // On a slow disk, only after the client's timeout.
                Err(error) => {
                    let fine = matches!(
                        error.code(),
                        Code::Busy | Code::AuditUnknown | Code::AuditUnavailable
                    );
                    assert!(fine, "{}: {error}", error.code());
                    "busy"
                }
            }
        }));
    }
    let mut told = BTreeMap::<&str, usize>::new();
    for task in tasks {
        *told
            .entry(task.await.expect("a caller met what it must not"))
            .or_default() += 1;
    }
    let most = scales.read();
    until("the service to be at ease", || {
        cluster
            .keyroll(["secret", "reveal", "A"])
            .run()
            .is_code(0)
            .then_some(())
    });
    eprintln!(
        "{pages} pages and {imports} imports of 0.8 MB at once: {told:?}, {most} MiB at most"
    );
}
