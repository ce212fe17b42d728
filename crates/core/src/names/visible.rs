//! Names without invisible characters. So no two names differ only in invisible characters, and no
//! name changes how the text beside it is shown.

mod table;

use super::MemberName;
use crate::rejection::{Code, Rejection};

/// Marks that join two letters of their script and are invisible without them.
const JOINERS: [u32; 15] = [
    0x1039, 0x17d2, 0x1a60, 0x2d7f, 0xaaf6, 0x10a3f, 0x1107f, 0x11133, 0x113d0, 0x1193e, 0x11a47,
    0x11a99, 0x11d45, 0x11d97, 0x11f42,
];

impl MemberName {
    /// Checks that every character is visible, except for single spaces between visible ones.
    ///
    /// # Errors
    /// [`Code::InvalidName`], with the character and its position.
    pub fn check_visible(&self) -> Result<(), Rejection> {
        let text = self.as_str();
        let mut before = None;
        for (at, here) in text.char_indices() {
            let after = text[at + here.len_utf8()..].chars().next();
            if !shows(before, here, after) {
                let number = u32::from(here);
                let message = format!(
                    "a member's name has visible characters and single spaces alone: U+{number:04X} at byte {at} \
                     cannot stand there"
                );
                return Err(Rejection::new(Code::InvalidName, message));
            }
            before = Some(here);
        }
        Ok(())
    }
}

fn shows(before: Option<char>, here: char, after: Option<char>) -> bool {
    if here == ' ' {
        return before != Some(' ');
    }
    let number = u32::from(here);
    if JOINERS.contains(&number) {
        // Blocks of scripts begin at multiples of 128, so such a neighbour is of the same script.
        let beside = |other: Option<char>| other.is_some_and(|c| u32::from(c) >> 7 == number >> 7);
        return beside(before) && beside(after);
    }
    is_visible(number)
}

fn is_visible(number: u32) -> bool {
    let later = table::VISIBLE.partition_point(|(first, _)| *first <= number);
    let range = later.checked_sub(1).and_then(|at| table::VISIBLE.get(at));
    range.is_some_and(|(_, last)| number <= *last)
}

#[cfg(test)]
mod tests {
    use icu_properties::props::{
        BinaryProperty as _, DefaultIgnorableCodePoint, EnumeratedProperty as _, GeneralCategory,
        GeneralCategoryGroup,
    };
    use sha2::{Digest as _, Sha256};

    use super::*;

    /// By present Unicode, no character of the table is blank, a control or format character, or
    /// ignorable.
    #[test]
    fn nothing_in_the_table_is_invisible_by_unicode() {
        let seen = [
            GeneralCategoryGroup::Letter,
            GeneralCategoryGroup::Mark,
            GeneralCategoryGroup::Number,
            GeneralCategoryGroup::Punctuation,
            GeneralCategoryGroup::Symbol,
        ];
        let mut count = 0;
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            if is_visible(u32::from(c)) {
                let category = GeneralCategory::for_char(c);
                let shows = seen.iter().any(|group| group.contains(category));
                assert!(shows, "U+{:04X} is {category:?}", u32::from(c));
                assert!(!DefaultIgnorableCodePoint::for_char(c), "{c:?}");
                count += 1;
            }
        }
        assert!(count > 150_000, "{count}");
    }

    /// Verification decides old commands again by this table.
    #[test]
    fn the_table_is_the_one_that_rules_2_began_with() {
        let ranges = table::VISIBLE.iter();
        let bytes: Vec<u8> = ranges
            .flat_map(|(first, last)| [first.to_be_bytes(), last.to_be_bytes()].concat())
            .collect();
        assert_eq!(
            hex::encode(Sha256::digest(bytes)),
            "50fc6be7563c681c9f3a6b43fbb25725e8aebf1973756156731de8590837ab21"
        );
        assert!(table::VISIBLE.is_sorted_by(|one, next| one.1 < next.0));
        assert!(table::VISIBLE.iter().all(|(first, last)| first <= last));
    }

    #[test]
    fn names_of_people_are_taken_and_what_does_not_show_is_not() {
        for good in [
            "owner",
            "Zo\u{eb} Zo\u{e9}",
            "Zoe\u{308}",
            "\u{5d0}\u{5d1}",
            "\u{674e}\u{5c0f}\u{9f99}",
            "\u{1780}\u{17d2}\u{1781}",
            "deploy bot #2 (eu-west) \u{1f680}",
        ] {
            let name: MemberName = good.parse().expect("a name of old");
            assert_eq!(name.check_visible(), Ok(()), "{good}");
        }
        for bad in [
            "Zo\u{200b}e",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{ad}b",
            "a\u{a0}b",
            "a\u{3000}b",
            "\u{3164}",
            "\u{ffa0}",
            "\u{2800}",
            "a\u{fe0f}",
            "a\u{34f}",
            "a\u{e0041}",
            "a\u{e000}",
            "a\u{180e}",
            "a\u{feff}b",
            "a\u{2028}b",
            "a  b",
            "a\u{17d2}b",
            "a\u{378}",
        ] {
            let name: MemberName = bad.parse().expect("a name of old");
            let refused = name.check_visible().map_err(|rejection| rejection.code);
            assert_eq!(refused, Err(Code::InvalidName), "{}", bad.escape_unicode());
        }
    }
}
