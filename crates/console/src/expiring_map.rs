//! A bounded map whose entries expire.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyroll_core::Millis;

/// Entries in one map. One console serves fewer people than this.
const MAX_ENTRIES: usize = 1_000;
/// Entries of one person, so that nobody pushes out those of others by asking for more.
const MAX_PER_PERSON: usize = 16;

/// Entries of a map, each with its expiry.
type Entries<K, V> = HashMap<K, (Millis, V)>;

/// A bounded map whose entries expire.
pub(crate) struct ExpiringMap<K, V>(Mutex<Entries<K, V>>);

impl<K, V> Default for ExpiringMap<K, V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Eq + Hash + Clone, V> ExpiringMap<K, V> {
    fn lock(&self) -> MutexGuard<'_, Entries<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Inserts an entry. `same_person` selects the entries that share the bound for one person. At
    /// either bound, the entry among them that expires first is removed.
    pub(crate) fn insert(
        &self,
        key: K,
        until: Millis,
        value: V,
        now: Millis,
        same_person: impl Fn(&V) -> bool,
    ) -> Vec<V> {
        insert(&mut self.lock(), key, (until, value), now, same_person)
    }

    /// Removes and returns the entries that have expired, and those that are over for other reasons.
    pub(crate) fn take_over(&self, now: Millis, over: impl Fn(&V) -> bool) -> Vec<V> {
        let mut entries = self.lock();
        let taken = entries.extract_if(|_, (until, value)| *until <= now || over(value));
        taken.map(|(_, (_, value))| value).collect()
    }

    /// Inserts an entry unless its key is present. Returns whether it was inserted.
    pub(crate) fn insert_new(&self, key: K, until: Millis, value: V, now: Millis) -> bool {
        let mut entries = self.lock();
        let is_new = entries.get(&key).is_none_or(|(until, _)| *until <= now);
        if is_new {
            drop(insert(&mut entries, key, (until, value), now, |_| false));
        }
        is_new
    }

    /// Whether a key is present.
    pub(crate) fn contains(&self, key: &K, now: Millis) -> bool {
        let entries = self.lock();
        entries.get(key).is_some_and(|(until, _)| now < *until)
    }

    /// Removes and returns an entry.
    pub(crate) fn remove(&self, key: &K, now: Millis) -> Option<V> {
        let mut entries = self.lock();
        entries.get(key).filter(|(until, _)| now < *until)?;
        entries.remove(key).map(|(_, value)| value)
    }
}

impl<K: Eq + Hash + Clone, V: Clone> ExpiringMap<K, V> {
    /// The value of a key.
    pub(crate) fn get(&self, key: &K, now: Millis) -> Option<V> {
        let entries = self.lock();
        let (until, value) = entries.get(key)?;
        (now < *until).then(|| value.clone())
    }
}

/// See [`ExpiringMap::insert`].
fn insert<K: Eq + Hash + Clone, V>(
    entries: &mut Entries<K, V>,
    key: K,
    value: (Millis, V),
    now: Millis,
    same_person: impl Fn(&V) -> bool,
) -> Vec<V> {
    let over = entries.extract_if(|_, (until, _)| *until <= now);
    let mut removed: Vec<V> = over.map(|(_, (_, value))| value).collect();
    let is_own = |(_, (_, value)): &(&K, &(Millis, V))| same_person(value);
    let own = entries.iter().filter(is_own).count();
    if own >= MAX_PER_PERSON || entries.len() >= MAX_ENTRIES {
        let first = entries
            .iter()
            .filter(|entry| own < MAX_PER_PERSON || is_own(entry))
            .min_by_key(|(_, (until, _))| *until);
        if let Some(first) = first.map(|(key, _)| key.clone()) {
            removed.extend(entries.remove(&first).map(|(_, value)| value));
        }
    }
    removed.extend(entries.insert(key, value).map(|(_, value)| value));
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_expires_and_is_removed_once() {
        let map = ExpiringMap::<u8, &str>::default();
        map.insert(1, Millis(60), "a", Millis(0), |_| false);
        assert_eq!(map.get(&1, Millis(59)), Some("a"));
        assert_eq!(map.remove(&1, Millis(59)), Some("a"));
        assert_eq!(map.remove(&1, Millis(59)), None);
        map.insert(2, Millis(60), "b", Millis(0), |_| false);
        assert_eq!(map.get(&2, Millis(60)), None);
        map.insert(3, Millis(60), "c", Millis(0), |_| false);
        assert_eq!(map.remove(&3, Millis(60)), None);
    }

    #[test]
    fn whatever_leaves_the_map_is_handed_back() {
        let map = ExpiringMap::<usize, usize>::default();
        for key in 0..MAX_PER_PERSON {
            let until = Millis(60 + key as u64);
            assert!(map.insert(key, until, key, Millis(0), |_| true).is_empty());
        }
        let key = MAX_PER_PERSON;
        assert_eq!(map.insert(key, Millis(90), key, Millis(0), |_| true), [0]);
        // An expired entry is nobody's, and still handed back.
        assert_eq!(
            (map.get(&1, Millis(61)), map.remove(&1, Millis(61))),
            (None, None)
        );
        assert_eq!(map.take_over(Millis(61), |value| *value == key).len(), 2);
        assert!(map.get(&2, Millis(61)).is_some());
    }

    #[test]
    fn a_map_holds_no_more_than_its_bound() {
        let map = ExpiringMap::<usize, ()>::default();
        for key in 0..MAX_ENTRIES + 5 {
            map.insert(key, Millis(1_000 + key as u64), (), Millis(0), |()| false);
        }
        assert_eq!(map.lock().len(), MAX_ENTRIES);
        assert!(map.get(&4, Millis(0)).is_none() && map.get(&5, Millis(0)).is_some());
    }

    #[test]
    fn one_person_pushes_out_only_their_own_entries() {
        let map = ExpiringMap::<usize, &str>::default();
        map.insert(0, Millis(1), "other", Millis(0), |value| *value == "other");
        for key in 1..=3 * MAX_PER_PERSON {
            let until = Millis(1_000 + key as u64);
            map.insert(key, until, "flood", Millis(0), |value| *value == "flood");
        }
        assert_eq!(map.lock().len(), MAX_PER_PERSON + 1);
        assert_eq!(map.get(&0, Millis(0)), Some("other"));
        assert_eq!(map.get(&(2 * MAX_PER_PERSON), Millis(0)), None);
        assert_eq!(map.get(&(2 * MAX_PER_PERSON + 1), Millis(0)), Some("flood"));
    }
}
