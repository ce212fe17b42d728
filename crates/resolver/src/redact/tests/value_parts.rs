//! Which parts of a value are masked.

use super::*;

#[test]
fn lines_of_a_long_value_are_masked_one_by_one() {
    let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\nend\n";
    let redactor = redactor(key.as_bytes());
    for line in ["MIIEvQIBADANBgkq", "hkiG9w0BAQEFAASC"] {
        assert_masked(&redactor, line);
    }
    assert_masked(&redactor, key.trim());
    assert_masked(&redactor, key);
    for other in ["the end", "-----BEGIN KEY-----"] {
        assert_eq!(redactor.redact(other.as_bytes()), other.as_bytes());
    }
}

#[test]
fn short_values_are_reported_and_not_masked() {
    let redactor = Redactor::new(&[("PIN", b"1234567"), ("KEY", b"12345678")]);
    assert_eq!(redactor.unmasked(), ["PIN"]);
    assert_eq!(
        redactor.redact(b"1234567 12345678"),
        b"1234567 [REDACTED:KEY]"
    );
}
