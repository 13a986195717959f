//! The rows of the demo: about 115 bytes each, the same on every machine.

/// Hexadecimal digits of a note.
const NOTE_CHARS: usize = 94;
const REGIONS: [&str; 6] = ["eu-west", "eu-fra", "us-east", "us-ord", "ap-nrt", "sa-gru"];

/// One row of `machines`, but for its id.
pub(super) struct Row {
    pub app: String,
    pub region: &'static str,
    pub note: String,
}

/// A pseudo-random sequence (splitmix64).
pub(super) struct Rows(u64);

impl Rows {
    pub(super) fn new() -> Self {
        Self(2026)
    }

    /// The next row.
    pub(super) fn next(&mut self) -> Row {
        let app = format!("app-{:05}", self.bits() % 20_000);
        let region = REGIONS[usize::try_from(self.bits() % 6).unwrap_or(0)];
        let mut note = String::with_capacity(NOTE_CHARS + 16);
        while note.len() < NOTE_CHARS {
            hex(self.bits(), &mut note);
        }
        note.truncate(NOTE_CHARS);
        Row { app, region, note }
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn hex(bits: u64, out: &mut String) {
    let digits = bits.to_le_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    out.extend(digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)));
}
