//! A value that is damaged or missing counts as lost while it is, and no longer: nothing remembers
//! it.

use bytes::Bytes;
use keyroll_core::Code;
use keyroll_store::objects::MemoryObjects;

use crate::support::{World, code, owner};

/// Damages to one stored object, one after the other.
fn hurts(whole: &Bytes) -> Vec<Option<Vec<u8>>> {
    let flipped = |at: usize| {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 0x10;
        bytes
    };
    vec![
        None,
        Some(Vec::new()),
        Some(b"something else".to_vec()),
        Some(whole[..whole.len() - 1].to_vec()),
        Some(flipped(0)),
        Some(flipped(whole.len() / 2)),
        Some(flipped(whole.len() - 1)),
    ]
}

async fn is_lost_until_it_is_mended(which: fn(&World) -> &MemoryObjects, subject: &str) {
    let mut world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let stored = || {
        let all = which(&world).all();
        all.into_iter().find(|(at, _)| at.starts_with(subject))
    };
    let (subject, whole) = stored().expect("stored");
    for hurt in hurts(&whole) {
        // A service that has not used it yet.
        world = world.again(|_| {}).await;
        let objects = which(&world).clone();
        match &hurt {
            None => assert!(objects.lose(&subject)),
            Some(bytes) => objects.overwrite(&subject, bytes.clone()),
        }
        for _ in 0..2 {
            let revealed = world.reveal(&owner(), "Key").await;
            assert_eq!(code(revealed), Some(Code::ValueLost), "{hurt:?}");
        }
        objects.overwrite(&subject, whole.clone());
        let revealed = world.reveal(&owner(), "Key").await;
        assert_eq!(revealed.expect("mended"), b"v", "{hurt:?}");
    }
}

#[tokio::test]
async fn a_value_is_lost_until_the_vault_is_right_again() {
    is_lost_until_it_is_mended(|world| &world.vault, "keyroll.vault.demo.").await;
}

#[tokio::test]
async fn a_value_is_lost_until_its_wrapping_key_is_right_again() {
    is_lost_until_it_is_mended(|world| &world.keys, "keyroll.keys.demo.").await;
}

/// The key under which values travel is no value: it is not lost, but unusable.
#[tokio::test]
async fn sessions_begin_again_once_the_sealing_key_is_right_again() {
    let mut world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let all = world.keys.all().into_iter();
    let mut sealing = all.filter(|(at, _)| at.starts_with("keyroll.keys._sealing."));
    let (subject, whole) = sealing.next().expect("stored");
    for hurt in hurts(&whole).into_iter().flatten() {
        world = world.again(|_| {}).await;
        world.keys.overwrite(&subject, hurt);
        let info = world.ledger.info().await;
        assert!(info.refusal.is_some(), "no key is handed out");
        world.keys.overwrite(&subject, whole.clone());
        let revealed = world.reveal(&owner(), "Key").await;
        assert_eq!(revealed.expect("mended"), b"v");
    }
}
