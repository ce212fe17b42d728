//! Versions of the rules by which a command becomes events. Every change of what
//! [`crate::decide()`] accepts is a new version, and old versions stay as they are: verification
//! decides every old command again, by the rules that its commit names.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::rejection::{Code, Rejection};

/// Rules that this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Rules {
    /// The first rules.
    #[default]
    V1,
    /// A member's name has only visible characters.
    V2,
    /// `delegation.revoke` may omit the delegating identity.
    V3,
    /// The role `reader`, the purpose `agent`, and runners that run programs. Invitations. Members sign
    /// in, and delegate no more.
    V4,
}

impl Rules {
    /// All rules, oldest first.
    pub const ALL: [Self; 4] = [Self::V1, Self::V2, Self::V3, Self::V4];

    /// The rules for new commands.
    pub const CURRENT: Self = Self::V4;

    /// Their number on the wire.
    pub const fn number(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }

    /// The rules with this number.
    ///
    /// # Errors
    /// [`Code::UpgradeNeeded`] for later rules than this program knows, [`Code::Malformed`] for a
    /// number that no rules have.
    pub fn of(number: u32) -> Result<Self, Rejection> {
        let found = Self::ALL.into_iter().find(|known| known.number() == number);
        found.ok_or_else(|| {
            let current = Self::CURRENT.number();
            if number > current {
                let message = format!(
                    "it was decided by rules {number}, and this program knows rules up to {current}: upgrade keyroll"
                );
                return Rejection::new(Code::UpgradeNeeded, message);
            }
            Rejection::new(Code::Malformed, format!("there are no rules {number}"))
        })
    }

    /// Rows omit the first rules.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands over a reference"
    )]
    pub(crate) fn is_first(&self) -> bool {
        *self == Self::V1
    }
}

impl Serialize for Rules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.number())
    }
}

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(u32::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_each_other_and_the_last_is_in_force() {
        let numbers: Vec<u32> = Rules::ALL.map(Rules::number).to_vec();
        let expected: Vec<u32> = (1..).take(Rules::ALL.len()).collect();
        assert_eq!(numbers, expected);
        assert_eq!(Rules::ALL.last(), Some(&Rules::CURRENT));
        assert_eq!(Rules::ALL.first(), Some(&Rules::default()));
        for rules in Rules::ALL {
            assert_eq!(Rules::of(rules.number()), Ok(rules));
        }
    }

    #[test]
    fn later_rules_want_an_upgrade_and_none_are_malformed() {
        let code = |number| Rules::of(number).map_err(|rejection| rejection.code);
        let next = Rules::CURRENT.number() + 1;
        assert_eq!(code(next), Err(Code::UpgradeNeeded));
        assert_eq!(code(u32::MAX), Err(Code::UpgradeNeeded));
        assert_eq!(code(0), Err(Code::Malformed));
    }
}
