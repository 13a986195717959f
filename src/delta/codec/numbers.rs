//! A run of whole numbers, of a length that the reader knows: integers themselves, lengths of
//! texts, parts of identifiers, indexes of a dictionary.
//!
//! # Definitions
//! `numbers(v)`, for `n` values of 64 bits: one byte, the layout, then one stream:
//!
//! | layout | the stream |
//! |---|---|
//! | 0 packed | `pack(v)` |
//! | 1 packed differences | `zigzag(v[0])` as varint, then `pack(d)` |
//! | 2 differences | `zigzag(v[0])`, then `zigzag` of each of `d`, as varints |
//! | 3 plain | `zigzag(m)` as varint, one byte `w`, 0 to 8, then `v[i] - m` in `w` bytes LE each |
//!
//! `d[i] = v[i + 1] - v[i]`; all sums and differences are modulo 2^64. `pack(x)` is a sequence of
//! groups of 128 values, the last one shorter: `zigzag(b - b')` as varint, where `b` is the
//! smallest value of the group as signed numbers and `b'` that of the group before (0 at first);
//! one byte `w` from 0 to 64; then the `x[i] - b` in `w` bits each, least significant bit first,
//! and zero bits up to a whole byte. No values have no stream, only the layout 0.
//!
//! A writer may choose any layout for any values; ours tries them on the first 2048.

use super::stream;
use crate::delta::cursor::{Cursor, put_varint, unzigzag, zigzag};
use crate::delta::error::{Bad, DeltaError};

const GROUP: usize = 128;

/// Values on which the layouts are tried.
const SAMPLE: usize = 2048;

const PACKED: u8 = 0;
const PACKED_DIFFERENCES: u8 = 1;
const DIFFERENCES: u8 = 2;
const PLAIN: u8 = 3;

/// Appends `numbers(values)`.
pub(super) fn put(values: &[i64], out: &mut Vec<u8>) -> Result<(), DeltaError> {
    if values.is_empty() {
        out.push(PACKED);
        return Ok(());
    }
    let layout = choose(&values[..values.len().min(SAMPLE)])?;
    put_as(layout, values, out)
}

fn choose(sample: &[i64]) -> Result<u8, DeltaError> {
    let mut best = (usize::MAX, PACKED);
    let mut out = Vec::new();
    for layout in [PACKED, PACKED_DIFFERENCES, DIFFERENCES, PLAIN] {
        out.clear();
        put_as(layout, sample, &mut out)?;
        best = best.min((out.len(), layout));
    }
    Ok(best.1)
}

fn put_as(layout: u8, values: &[i64], out: &mut Vec<u8>) -> Result<(), DeltaError> {
    let mut raw = Vec::with_capacity(values.len() * 2);
    match layout {
        PACKED => pack(values.iter().copied(), &mut raw),
        PACKED_DIFFERENCES => {
            put_varint(zigzag(values[0]), &mut raw);
            pack(differences(values), &mut raw);
        }
        DIFFERENCES => {
            put_varint(zigzag(values[0]), &mut raw);
            differences(values).for_each(|d| put_varint(zigzag(d), &mut raw));
        }
        _ => put_plain(values, &mut raw),
    }
    out.push(layout);
    stream::put(&raw, out)
}

fn differences(values: &[i64]) -> impl Iterator<Item = i64> {
    values.array_windows().map(|[a, b]| b.wrapping_sub(*a))
}

fn put_plain(values: &[i64], raw: &mut Vec<u8>) {
    let (least, most) = bounds(values);
    let bytes = width(least, most).div_ceil(8) as usize;
    put_varint(zigzag(least), raw);
    raw.push(bytes.to_le_bytes()[0]);
    for value in values {
        raw.extend_from_slice(&value.wrapping_sub(least).to_le_bytes()[..bytes]);
    }
}

/// The smallest and the largest value; 0 of none.
fn bounds(values: &[i64]) -> (i64, i64) {
    let first = values.first().copied().unwrap_or(0);
    values.iter().fold((first, first), |(least, most), v| (least.min(*v), most.max(*v)))
}

/// Bits that hold `most - least`.
fn width(least: i64, most: i64) -> u32 {
    64 - most.wrapping_sub(least).leading_zeros()
}

fn pack(values: impl Iterator<Item = i64>, raw: &mut Vec<u8>) {
    let mut values = values.fuse();
    let mut group = Vec::with_capacity(GROUP);
    let mut base = 0_i64;
    loop {
        group.clear();
        group.extend(values.by_ref().take(GROUP));
        if group.is_empty() {
            return;
        }
        let (least, most) = bounds(&group);
        put_varint(zigzag(least.wrapping_sub(base)), raw);
        base = least;
        let width = width(least, most);
        raw.push(width.to_le_bytes()[0]);
        pack_bits(&group, base, width, raw);
    }
}

fn pack_bits(group: &[i64], base: i64, width: u32, raw: &mut Vec<u8>) {
    let mut bits = 0_u128;
    let mut held = 0;
    for value in group {
        bits |= u128::from(value.wrapping_sub(base).cast_unsigned()) << held;
        held += width;
        while held >= 32 {
            raw.extend_from_slice(&bits.to_le_bytes()[..4]);
            bits >>= 32;
            held -= 32;
        }
    }
    raw.extend_from_slice(&bits.to_le_bytes()[..held.div_ceil(8) as usize]);
}

/// Reads `numbers` of `n` values.
pub(super) fn get(cursor: &mut Cursor<'_>, n: usize) -> Result<Vec<i64>, Bad> {
    let start = cursor.clone();
    let layout = cursor.u8()?;
    if n == 0 {
        return if layout == PACKED {
            Ok(Vec::new())
        } else {
            Err(start.bad("no numbers, but a layout"))
        };
    }
    // No layout takes more than ten bytes a number, and eleven for a group.
    let stream = stream::get(cursor, n * 10 + n.div_ceil(GROUP) * 11 + 11)?;
    let mut raw = stream.cursor();
    let mut values = Vec::with_capacity(n);
    match layout {
        PACKED => unpack(&mut raw, n, &mut values)?,
        PACKED_DIFFERENCES => {
            values.push(unzigzag(raw.varint()?));
            unpack(&mut raw, n - 1, &mut values)?;
            sum_up(&mut values);
        }
        DIFFERENCES => {
            for _ in 0..n {
                values.push(unzigzag(raw.varint()?));
            }
            sum_up(&mut values);
        }
        PLAIN => get_plain(&mut raw, n, &mut values)?,
        code => return Err(start.unknown(format!("the layout {code} of numbers"))),
    }
    raw.end()?;
    Ok(values)
}

fn sum_up(values: &mut [i64]) {
    let mut sum = 0_i64;
    for value in values {
        sum = sum.wrapping_add(*value);
        *value = sum;
    }
}

fn get_plain(raw: &mut Cursor<'_>, n: usize, values: &mut Vec<i64>) -> Result<(), Bad> {
    let least = unzigzag(raw.varint()?);
    let width = usize::from(raw.u8()?);
    if width > 8 {
        return Err(raw.bad("a number has more than 8 bytes"));
    }
    let bytes = raw.take(n * width)?;
    if width == 0 {
        values.resize(n, least);
        return Ok(());
    }
    values.extend(bytes.chunks_exact(width).map(|chunk| {
        let mut word = [0; 8];
        word[..width].copy_from_slice(chunk);
        least.wrapping_add(i64::from_le_bytes(word))
    }));
    Ok(())
}

fn unpack(raw: &mut Cursor<'_>, n: usize, values: &mut Vec<i64>) -> Result<(), Bad> {
    let mut base = 0_i64;
    let mut left = n;
    while left > 0 {
        let group = left.min(GROUP);
        base = base.wrapping_add(unzigzag(raw.varint()?));
        let width = u32::from(raw.u8()?);
        if width > 64 {
            return Err(raw.bad("a number has more than 64 bits"));
        }
        let bytes = raw.take((group * width as usize).div_ceil(8))?;
        unpack_bits(bytes, group, base, width, values);
        left -= group;
    }
    Ok(())
}

fn unpack_bits(bytes: &[u8], group: usize, base: i64, width: u32, values: &mut Vec<i64>) {
    let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
    let mut bytes = bytes.iter();
    let mut bits = 0_u128;
    let mut held = 0;
    for _ in 0..group {
        while held < width {
            // There are enough bytes for all bits of the group.
            bits |= u128::from(bytes.next().copied().unwrap_or(0)) << held;
            held += 8;
        }
        let value = low(bits) & mask;
        bits >>= width;
        held -= width;
        values.push(base.wrapping_add(value.cast_signed()));
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn low(bits: u128) -> u64 {
    bits as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(values: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        put(values, &mut out).expect("memory");
        out
    }

    proptest! {
        #[test]
        fn every_layout_is_read_back(
            values in proptest::collection::vec(any::<i64>(), 1..400),
            shift in 0_u32..64,
        ) {
            let values: Vec<i64> = values.iter().map(|v| v >> shift).collect();
            for layout in [PACKED, PACKED_DIFFERENCES, DIFFERENCES, PLAIN] {
                let mut out = Vec::new();
                put_as(layout, &values, &mut out).expect("memory");
                let mut cursor = Cursor::new(&out, 0);
                prop_assert_eq!(&get(&mut cursor, values.len()).expect("numbers"), &values);
                prop_assert!(cursor.end().is_ok());
            }
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>(), n in 0_usize..1000) {
            let _ = get(&mut Cursor::new(&bytes, 0), n);
        }
    }

    #[test]
    fn numbers_that_rise_evenly_take_next_to_nothing() {
        let values: Vec<i64> = (0..100_000).map(|i| i64::MAX - 7 * i).collect();
        assert!(encoded(&values).len() < 100, "{}", encoded(&values).len());
    }

    #[test]
    fn a_gap_does_not_widen_the_others() {
        let values: Vec<i64> =
            (0..100_000).map(|i| if i < 50_000 { i } else { i + (1 << 40) }).collect();
        assert!(encoded(&values).len() < 150, "{}", encoded(&values).len());
    }

    #[test]
    fn numbers_that_come_again_are_found() {
        let values: Vec<i64> =
            (0..50_000_i64).map(|i| (i * i % 10).wrapping_mul(0x1234_5678_9abc_def1)).collect();
        assert!(encoded(&values).len() < 5_000, "{}", encoded(&values).len());
    }
}
