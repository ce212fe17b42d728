//! Compares this machine's clock with the ledger's. The ledger's time decides nothing: it only
//! distinguishes a wrong clock from a wrong key.

use keyroll_core::statement::LedgerKey;
use keyroll_core::{Code, Millis, limits};

use crate::ClientError;

/// The error when the clocks differ by more than a command's time may.
pub(crate) fn apart(ledger: Millis, here: Millis) -> Option<ClientError> {
    (ledger.0.abs_diff(here.0) > limits::FRESH_MS).then(|| wrong_clock(ledger, here))
}

fn wrong_clock(ledger: Millis, here: Millis) -> ClientError {
    let side = if here < ledger { "behind" } else { "ahead of" };
    let message = format!(
        "this machine's clock is {} {side} the ledger's: correct one of them and try again",
        in_words(ledger.0.abs_diff(here.0))
    );
    ClientError::failed(Code::Stale, message)
}

fn in_words(millis: u64) -> String {
    match millis / 1_000 {
        seconds @ ..=119 => format!("{seconds} s"),
        seconds @ ..=7_199 => format!("{} min", seconds / 60),
        seconds @ ..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Whether the ledger's online key is in force.
///
/// # Errors
/// [`Code::Stale`] when it is in force by the ledger's clock only, else [`Code::WrongLedger`].
pub(crate) fn check_in_force(
    key: &LedgerKey,
    ledger: Millis,
    here: Millis,
) -> Result<(), ClientError> {
    let span = key.not_before..=key.not_after;
    if span.contains(&here) {
        return Ok(());
    }
    if span.contains(&ledger) {
        return Err(wrong_clock(ledger, here));
    }
    let message = if here < key.not_before {
        "the ledger's online key is not in force yet: check the clocks"
    } else {
        "the ledger's online key has expired"
    };
    Err(ClientError::failed(Code::WrongLedger, message))
}

#[cfg(test)]
mod tests {
    use keyroll_core::{Identity, LedgerId};

    use super::*;

    const HOUR: u64 = 3_600_000;

    fn key() -> LedgerKey {
        LedgerKey {
            v: 1,
            key: Identity([1; 32]),
            ledger: LedgerId([2; 32]),
            serial: 1,
            not_before: Millis(100 * HOUR),
            not_after: Millis(200 * HOUR),
        }
    }

    fn judged(ledger: u64, here: u64) -> (Option<Code>, String) {
        match check_in_force(&key(), Millis(ledger), Millis(here)) {
            Ok(()) => (None, String::new()),
            Err(error) => (Some(error.code()), error.to_string()),
        }
    }

    #[test]
    fn a_wrong_clock_is_told_from_a_key_that_is_not_in_force() {
        assert_eq!(judged(150 * HOUR, 150 * HOUR).0, None);
        let (code, words) = judged(100 * HOUR + 1_000, 99 * HOUR);
        assert_eq!(code, Some(Code::Stale));
        assert!(words.contains("60 min behind"), "{words}");
        let (code, words) = judged(100 * HOUR + 1_000, 100 * HOUR - 30_000);
        assert_eq!(
            code,
            Some(Code::Stale),
            "a new ledger, a clock a little slow"
        );
        assert!(words.contains("31 s behind"), "{words}");
        let (code, words) = judged(150 * HOUR, 300 * HOUR);
        assert_eq!(code, Some(Code::Stale));
        assert!(words.contains("6 days ahead of"), "{words}");
        let (code, words) = judged(201 * HOUR, 201 * HOUR);
        assert_eq!(code, Some(Code::WrongLedger));
        assert!(words.contains("expired"), "{words}");
        let (code, words) = judged(99 * HOUR, 99 * HOUR);
        assert_eq!(code, Some(Code::WrongLedger));
        assert!(words.contains("not in force yet"), "{words}");
    }

    #[test]
    fn clocks_may_differ_by_as_much_as_commands_may() {
        assert_eq!(apart(Millis(100_000), Millis(40_000)), None);
        let behind = apart(Millis(100_000), Millis(39_000)).expect("told");
        assert!(behind.to_string().contains("61 s behind"), "{behind}");
    }
}
