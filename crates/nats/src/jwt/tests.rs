use super::*;

fn claims() -> (KeyPair, KeyPair, String) {
    let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
    let tags = vec!["ws:demo".to_owned()];
    let granted = User::scoped(&account.public_key(), tags);
    let about = (&*user.public_key(), "alice");
    let jwt = sign(&account, about, (7, Some(9)), granted).expect("signed");
    (account, user, jwt)
}

#[test]
fn what_was_signed_is_read() {
    let (account, user, jwt) = claims();
    let read: Claims<User> = open(&jwt).expect("opened");
    assert_eq!(read.iss, account.public_key());
    assert_eq!(read.sub, user.public_key());
    assert_eq!((read.iat, read.exp), (7, Some(9)));
    assert_eq!(read.nats.tags, ["ws:demo"]);
    assert_eq!(read.nats.publish, None);
    assert!(!read.jti.is_empty());
}

#[test]
fn the_same_claims_give_the_same_jwt() {
    let account = KeyPair::new_account();
    let made = || sign(&account, ("U", "x"), (1, None), User::unrestricted());
    assert_eq!(made(), made());
}

#[test]
fn no_changed_byte_is_accepted() {
    let (_, _, jwt) = claims();
    for at in 0..jwt.len() {
        let mut bytes = jwt.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).expect("ASCII");
        assert!(open::<User>(&changed).is_err(), "byte {at}");
    }
}

#[test]
fn another_kind_is_refused_by_name() {
    let (_, _, jwt) = claims();
    let refused = open::<Account>(&jwt).expect_err("a user");
    let (wanted, found) = ("account", "user".to_owned());
    assert_eq!(refused, JwtError::Kind { wanted, found });
    let user = KeyPair::new_user();
    let signed = sign(&user, ("A", "x"), (1, None), User::unrestricted());
    assert!(matches!(signed, Err(JwtError::Key(_))), "{signed:?}");
}

#[test]
fn errors_about_seeds_do_not_repeat_them() {
    let seed = KeyPair::new_user().seed().expect("a seed");
    let wrong = key_of_seed(&seed, &KeyPairType::Account).expect_err("a user's");
    assert!(!wrong.to_string().contains(&seed));
    let cut = key_of_seed(&seed[1..], &KeyPairType::User).expect_err("cut");
    assert!(!cut.to_string().contains(&seed[1..]));
}
