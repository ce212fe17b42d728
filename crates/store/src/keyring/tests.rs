use super::*;
use crate::objects::MemoryObjects;

const DAY: u64 = limits::SEALING_PERIOD_MS;

fn keyring(objects: &MemoryObjects) -> Keyring {
    Keyring::new(
        Key::new([1; 32]),
        LedgerId([2; 32]),
        Arc::new(objects.clone()),
    )
}

/// Does not compile for a type that has the trait: the path is then ambiguous.
macro_rules! never {
    ($type:ty: $($trait:path),+) => {{ $({
        trait Either<Which> {
            fn known() {}
        }
        impl<T: ?Sized> Either<()> for T {}
        struct Has;
        impl<T: ?Sized + $trait> Either<Has> for T {}
        <$type as Either<_>>::known();
    })+ }};
}

#[test]
fn what_holds_keys_is_neither_shown_nor_written() {
    use crate::vault::{StoredValue, Vault};
    never!(Keyring: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone);
    never!(StoredValue: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone);
    never!(Vault: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone);
}

#[tokio::test]
async fn two_replicas_agree_on_keys() {
    let objects = MemoryObjects::default();
    let (one, two) = (keyring(&objects), keyring(&objects));
    let workspace: WorkspaceName = "demo".parse().expect("name");
    one.make_workspace_key(&workspace, Epoch(1))
        .await
        .expect("made");
    two.make_workspace_key(&workspace, Epoch(1))
        .await
        .expect("found");
    let (a, b) = (
        one.workspace_key(&workspace, Epoch(1)).await,
        two.workspace_key(&workspace, Epoch(1)).await,
    );
    assert!(a.expect("key").bytes() == b.expect("key").bytes());
    assert_eq!(one.sealing_key(7).await, two.sealing_key(7).await);
    assert_eq!(objects.count(), 2);
}

#[tokio::test]
async fn another_root_key_is_told_from_a_damaged_stream() {
    let objects = MemoryObjects::default();
    let named = |name: &str| name.parse::<WorkspaceName>().expect("name");
    let right = keyring(&objects);
    let ledger = LedgerId([2; 32]);
    let wrong = Keyring::new(Key::new([3; 32]), ledger, Arc::new(objects.clone()));
    assert!(wrong.fits_root().await, "nothing is stored yet");
    for workspace in ["demo", "other"] {
        let made = right.make_workspace_key(&named(workspace), Epoch(1)).await;
        made.expect("made");
    }
    right.sealing_key(7).await.expect("made");
    assert!(right.fits_root().await);
    assert!(!wrong.fits_root().await);
    objects.overwrite("keyroll.keys.demo.1", b"damaged".as_slice());
    assert!(right.fits_root().await);
    objects.overwrite("keyroll.keys.other.1", b"damaged".as_slice());
    assert!(right.fits_root().await, "damage is no wrong key");
    objects.fail_after(0);
    assert!(wrong.fits_root().await, "nothing can be read");
}

#[tokio::test]
async fn a_lost_key_is_not_made_anew() {
    let objects = MemoryObjects::default();
    let workspace: WorkspaceName = "demo".parse().expect("name");
    keyring(&objects)
        .make_workspace_key(&workspace, Epoch(1))
        .await
        .expect("made");
    objects.lose_all();
    let lost = keyring(&objects).workspace_key(&workspace, Epoch(1)).await;
    assert_eq!(
        lost.err().map(|rejection| rejection.code),
        Some(Code::ValueLost)
    );
    assert_eq!(objects.count(), 0);
}

#[tokio::test]
async fn sealing_keys_end_with_their_day() {
    let objects = MemoryObjects::default();
    let keyring = keyring(&objects);
    keyring.sealing_key(7).await.expect("made");
    assert_eq!(
        keyring
            .erase_past_sealing_keys(Millis(8 * DAY + GRACE_MS - 1))
            .await,
        Ok(0)
    );
    assert_eq!(
        keyring
            .erase_past_sealing_keys(Millis(8 * DAY + GRACE_MS))
            .await,
        Ok(1)
    );
    let session = SessionRef {
        enc: keyroll_core::ids::Encapsulated([9; 32]),
        period: 7,
    };
    let workspace: WorkspaceName = "demo".parse().expect("name");
    let late = keyring
        .session(
            &workspace,
            MemberId([3; 32]),
            &session,
            Millis(8 * DAY + GRACE_MS),
        )
        .await;
    assert_eq!(
        late.err().map(|rejection| rejection.code),
        Some(Code::SessionExpired)
    );
}
