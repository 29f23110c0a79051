//! The order in which Java's `HashMap<Long, …>` walks its keys, and so the order of lines in
//! configuration texts.

use alloc::vec::Vec;

/// Slots of a map that was filled one by one, at three quarters full at most.
const SLOTS_MIN: usize = 16;

/// Brings keys into the order of a map of them. Keys of one slot, which Java keeps in the order of
/// their insertion, stand in ascending order.
pub(super) fn hash_map_order(keys: impl IntoIterator<Item = i64>) -> Vec<i64> {
    let mut keys: Vec<i64> = keys.into_iter().collect();
    let mut slots = SLOTS_MIN;
    while keys.len() > slots / 4 * 3 {
        slots *= 2;
    }
    keys.sort_unstable_by_key(|&key| (spread(key) & (slots - 1), key));
    keys
}

/// `HashMap.hash` of a `Long`.
#[expect(clippy::cast_possible_truncation, reason = "folding is truncating")]
#[expect(clippy::cast_sign_loss, reason = "a hash is a bit pattern")]
fn spread(key: i64) -> usize {
    let key = key as u64;
    let hash = (key ^ (key >> 32)) as u32;
    (hash ^ (hash >> 16)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// Expected orders were printed by a `HashMap<Long, Long>` of OpenJDK 17.
    #[test]
    fn keys_stand_where_java_puts_them() {
        assert_eq!(hash_map_order([3, 1, 2]), [1, 2, 3]);
        let two_digits = [11, 12, 21, 22, 31, 32];
        assert_eq!(hash_map_order(two_digits), [32, 21, 22, 11, 12, 31]);
        let odd = [-7, 5, 1 << 33, 70_000, i64::MIN];
        assert_eq!(hash_map_order(odd), [i64::MIN, 70_000, 1 << 33, 5, -7]);
        assert_eq!(
            hash_map_order((1..=13).map(|n| n * 17)),
            [34, 68, 102, 136, 170, 204, 17, 51, 85, 119, 153, 187, 221]
        );
    }

    #[test]
    fn keys_of_one_slot_ascend() {
        assert_eq!(hash_map_order([33, 17, 1, 2]), vec![1, 17, 33, 2]);
    }
}
