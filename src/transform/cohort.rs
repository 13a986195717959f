//! Which objects are ahead when an epoch opens for a share of them: a function of the key alone, so
//! that every replica chooses the same ones, and a larger share holds every smaller one.
//!
//! # Definitions
//! `K = BLAKE3.derive_key("dotfill 2026-11 cohort v1", field(migration id))`; `bucket =
//! u64 LE(BLAKE3.keyed_hash(K, value(key_i)..)[0..8]) mod 100`; `field` and `value` are those of
//! [`super::dot`]. An object is ahead where its bucket is below the share in percent.

use rusqlite::types::ValueRef;

use crate::db::encode;

/// How many buckets there are: a share is given in percent.
pub const BUCKETS: u8 = 100;

/// The bucket of the object with this key, below [`BUCKETS`].
#[must_use]
pub fn bucket(migration: &str, key: &[ValueRef<'_>]) -> u8 {
    let mut hasher = blake3::Hasher::new_derive_key("dotfill 2026-11 cohort v1");
    hasher.update(&(migration.len() as u64).to_le_bytes());
    hasher.update(migration.as_bytes());
    let mut input = Vec::with_capacity(64);
    for value in key {
        encode(*value, &mut input);
    }
    let hash = blake3::keyed_hash(hasher.finalize().as_bytes(), &input);
    let mut word = [0; 8];
    word.copy_from_slice(&hash.as_bytes()[..8]);
    // The remainder is below 100.
    (u64::from_le_bytes(word) % u64::from(BUCKETS)).to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_spread_over_the_buckets_by_migration_and_key() {
        let mut counts = [0_u32; BUCKETS as usize];
        for i in 0..100_000 {
            counts[usize::from(bucket("m", &[ValueRef::Integer(i)]))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        let same = (0..1000)
            .filter(|i| {
                let key = [ValueRef::Integer(*i)];
                bucket("m", &key) == bucket("n", &key)
            })
            .count();
        assert!(same < 50, "{same} of 1000 objects have the same bucket in another migration");
    }
}
