//! Bytes that are not a request, or not the one that was signed.

use futures::StreamExt as _;
use keyroll_core::{Code, cose};
use keyroll_tests::harness::Dev;
use keyroll_tests::harness::raw::{self, done, refusal, refused_as};

use super::{COMMAND, QUERY, ask, deletion, query};

/// Bytes that are not a form, or not its only valid encoding.
fn malformed(good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut flipped = good.to_vec();
    flipped[0] ^= 0x20;
    let deep = |open: u8, depth: usize| [vec![open; depth], vec![0x00]].concat();
    let deep_map: Vec<u8> = [0xa1, 0x61, b'a']
        .repeat(200_000)
        .into_iter()
        .chain([0])
        .collect();
    vec![
        ("nothing", vec![]),
        ("text", b"delete everything".to_vec()),
        ("zeros", vec![0; 1_000]),
        ("break", vec![0xff]),
        ("cut", good[..good.len() - 1].to_vec()),
        ("more", [good, &[0]].concat()),
        ("another first byte", flipped),
        ("deep arrays", deep(0x81, 500_000)),
        ("deep tags", deep(0xc1, 500_000)),
        ("deep maps", deep_map),
        ("deep, open", deep(0x9f, 500_000)),
        ("a tag in front", [&[0xd8, 0x2a], good].concat()),
        (
            "an array of 2^64",
            vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        (
            "bytes of 2^63",
            vec![0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        ("a float", vec![0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]),
        ("null", vec![0xf6]),
        ("an empty map", vec![0xa0]),
        ("text that is not UTF-8", vec![0xa1, 0x62, 0xff, 0xfe, 0x00]),
    ]
}

/// The same request in other encodings of CBOR: none is accepted.
fn not_canonical(dev: &Dev, command: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| ciborium::Value::Text(text.to_owned());
    let encode = |pairs: Vec<(ciborium::Value, ciborium::Value)>| {
        let mut bytes = Vec::new();
        ciborium::into_writer(&ciborium::Value::Map(pairs), &mut bytes).expect("encoded");
        bytes
    };
    let field = |name: &str, value: ciborium::Value| (text(name), value);
    let signed = || field("command", ciborium::Value::Bytes(command.to_vec()));
    let seen = || field("seen", 0.into());
    let values = || field("values", ciborium::Value::Array(vec![]));
    let good = encode(vec![seen(), values(), signed()]);
    assert_eq!(
        good,
        raw::request(command),
        "the canonical form of {}",
        dev.ledger()
    );
    let long_zero = {
        let at = good
            .windows(5)
            .position(|part| part == b"\x64seen")
            .expect("seen")
            + 5;
        [&good[..at], &[0x18, 0x00], &good[at + 1..]].concat()
    };
    let open_map = [&[0xbf], &good[1..], &[0xff]].concat();
    vec![
        (
            "fields in another order",
            encode(vec![signed(), seen(), values()]),
        ),
        (
            "a field twice",
            encode(vec![seen(), seen(), values(), signed()]),
        ),
        (
            "a field too many",
            encode(vec![
                seen(),
                values(),
                signed(),
                field("comment", text("hello")),
            ]),
        ),
        ("a field missing", encode(vec![seen(), values()])),
        ("a default left out", encode(vec![signed()])),
        ("a number too long", long_zero),
        ("an open map", open_map),
        (
            "text for bytes",
            encode(vec![seen(), values(), field("command", text("x"))]),
        ),
        (
            "a negative size",
            encode(vec![field("seen", (-1).into()), values(), signed()]),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bytes_are_refused_and_the_service_goes_on() {
    let dev = Dev::start();
    dev.create("A", "value");
    let before = dev.audit();
    let nats = dev.nats().await;
    let ledger = raw::online_key(&dev, &nats).await;
    let command = cose::sign(&dev.command(deletion(&dev, "A")), &dev.owner());
    let good = raw::request(&command);
    for (what, bytes) in malformed(&good)
        .into_iter()
        .chain(not_canonical(&dev, &command))
    {
        // A refusal of an unreadable request is bound to the request's bytes.
        let rejection = refused_as(
            &ask(&nats, COMMAND, &bytes).await,
            ledger,
            &bytes,
            Code::Malformed,
        );
        assert!(
            rejection.message.len() < 500 && !rejection.message.is_empty(),
            "{what}: {rejection}"
        );
    }
    for (_, bytes) in malformed(&command) {
        let carried = raw::request(&bytes);
        let rejection = refusal(&ask(&nats, COMMAND, &carried).await, ledger, &bytes);
        assert!(
            matches!(rejection.code, Code::Malformed | Code::TooLarge),
            "{rejection}"
        );
    }
    let asked = cose::sign(&query(&dev), &dev.owner());
    for (_, bytes) in malformed(&asked) {
        let rejection = refusal(&ask(&nats, QUERY, &bytes).await, ledger, &bytes);
        assert!(
            matches!(rejection.code, Code::Malformed | Code::TooLarge),
            "{rejection}"
        );
    }
    // One form is not accepted as another.
    let bytes = raw::request(&asked);
    refused_as(
        &ask(&nats, COMMAND, &bytes).await,
        ledger,
        &asked,
        Code::Malformed,
    );
    refused_as(
        &ask(&nats, QUERY, &command).await,
        ledger,
        &command,
        Code::Malformed,
    );
    assert_eq!(dev.audit(), before);
    // Nothing was wrong with the request itself.
    done(&ask(&nats, COMMAND, &good).await);
    dev.verifies();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flipped_bit_of_a_signed_command_is_refused() {
    let dev = Dev::start();
    dev.create("A", "value");
    let before = dev.audit();
    let nats = dev.nats().await;
    let ledger = raw::online_key(&dev, &nats).await;
    let command = cose::sign(&dev.command(deletion(&dev, "A")), &dev.owner());
    let asked = |at: usize| {
        let mut flipped = command.clone();
        flipped[at] ^= 1 << (at % 8);
        let nats = &nats;
        async move { (nats.request(COMMAND, raw::request(&flipped)).await, flipped) }
    };
    let replies: Vec<_> = futures::stream::iter((0..command.len()).map(asked))
        .buffered(64)
        .collect()
        .await;
    for (reply, flipped) in replies {
        let rejection = refusal(&reply, ledger, &flipped);
        let expected = [
            Code::Malformed,
            Code::BadSignature,
            Code::InvalidName,
            Code::WrongWorkspace,
            Code::UpgradeNeeded,
        ];
        assert!(expected.contains(&rejection.code), "{rejection}");
    }
    assert_eq!(dev.audit(), before);
    done(&ask(&nats, COMMAND, &raw::request(&command)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_requests_are_refused() {
    let dev = Dev::start();
    let nats = dev.nats().await;
    let ledger = raw::online_key(&dev, &nats).await;
    let limit = keyroll_core::limits::REQUEST_BYTES;
    for size in [limit + 1, 1024 * 1024] {
        let bytes = vec![0x5a; size];
        refused_as(
            &ask(&nats, COMMAND, &bytes).await,
            ledger,
            &bytes,
            Code::TooLarge,
        );
        refused_as(
            &ask(&nats, QUERY, &bytes).await,
            ledger,
            &bytes,
            Code::TooLarge,
        );
    }
    let long = vec![0xd2; keyroll_core::limits::COMMAND_BYTES + 1];
    refused_as(
        &ask(&nats, COMMAND, &raw::request(&long)).await,
        ledger,
        &long,
        Code::TooLarge,
    );
    dev.create("A", "value");
}
