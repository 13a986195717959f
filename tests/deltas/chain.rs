//! A small chain with every kind of key and value, and deterministic rows.

use std::fs;
use std::path::Path;

use dotfill::db::Datum;
use dotfill::delta::{
    ChainHeader, ChainReader, ChainWriter, DeltaError, DirectorySink, EncodedBlock, ImpliedKeys,
    Item, KeyDigest, KeyShape, MemorySink, Rows, Scope, Shape, Sink, encode_block, set_value,
};
use dotfill::migration::MigrationId;

/// The key column `name`.
pub fn key(name: &str, type_name: &str) -> KeyShape {
    let (name, type_name) = (name.to_owned(), type_name.to_owned());
    KeyShape { name, type_name, collation: "BINARY".to_owned() }
}

/// A table that is filled in its column `owner`.
pub fn shape(table: &str, key: Vec<KeyShape>) -> Shape {
    let (table, column) = (table.to_owned(), "owner".to_owned());
    Shape { table, column, type_name: "TEXT".to_owned(), strict: false, sets: false, key }
}

/// The header of a chain of three changes.
pub fn header() -> ChainHeader {
    ChainHeader {
        migration: MigrationId::new("machines-owner").unwrap(),
        migration_digest: [7; 32],
        migration_text: "id = \"machines-owner\"\n".to_owned(),
        tool_version: "0.1.0".to_owned(),
        sqlite_version: "3.54.1".to_owned(),
        scope: Scope::All,
        shapes: vec![
            shape("machines", vec![key("id", "INTEGER")]),
            shape("events", vec![key("id", "TEXT")]),
            shape("parts", vec![key("a", "ANY"), key("b", "BLOB")]),
        ],
    }
}

/// Small numbers that look random: `SplitMix64`.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A ULID of this time, in milliseconds.
pub fn ulid(ms: u64, noise: &mut Noise) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let random = u128::from(noise.next()) << 64 | u128::from(noise.next());
    let id = u128::from(ms) << 80 | random & ((1 << 80) - 1);
    (0..26).rev().map(|i| DIGITS[(id >> (i * 5) & 31) as usize] as char).collect()
}

/// Rows of `machines`: rising integers and values such as `u12345678-42`.
pub fn machines(from: i64, rows: i64) -> Rows {
    let mut noise = Noise(from.cast_unsigned());
    let mut batch = Rows::new(1);
    for id in from..from + rows {
        let value = format!("u{}-{}", noise.next() % (1 << 32), noise.next() % 100);
        batch.push([Datum::Integer(id).as_ref()], Datum::Text(value.into()).as_ref());
    }
    batch
}

/// Rows of `events`: ULIDs, with a NULL here and there.
pub fn events(from: u64, rows: u64) -> Rows {
    let mut noise = Noise(from);
    let mut batch = Rows::new(1);
    for i in from..from + rows {
        let id = Datum::Text(ulid(1_760_000_000_000 + i * 37, &mut noise).into());
        let value = match i % 5 {
            0 => Datum::Null,
            _ => Datum::Text(format!("o-app{}", noise.next() % 3).into()),
        };
        batch.push([id.as_ref()], value.as_ref());
    }
    batch
}

/// Rows of `parts`: every storage class, in keys and in values.
pub fn parts() -> Rows {
    let datums = [
        Datum::Null,
        Datum::Integer(i64::MIN),
        Datum::Integer(i64::MAX),
        Datum::Real(-0.0),
        Datum::Real(f64::INFINITY),
        Datum::Text(Vec::new()),
        Datum::Text(b"\xff not utf-8".to_vec()),
        Datum::Blob(Vec::new()),
        Datum::Blob((0..=255).collect()),
    ];
    let mut batch = Rows::new(2);
    for (i, a) in datums.iter().enumerate() {
        let b = &datums[(i * 5 + 3) % datums.len()];
        batch.push([a.as_ref(), b.as_ref()], datums[(i + 4) % datums.len()].as_ref());
    }
    batch
}

/// Values for rows of `machines` whose keys are implied.
pub fn implied(from: i64, rows: i64) -> Rows {
    let mut digest = KeyDigest::new();
    (from..from + rows).for_each(|id| digest.push([Datum::Integer(id).as_ref()]));
    let (first, last) = (vec![Datum::Integer(from)], vec![Datum::Integer(from + rows - 1)]);
    let mut batch =
        Rows::implied(ImpliedKeys { first, last, digest: digest.finish(), absent: Vec::new() });
    for i in (0_u32..).zip(0..rows).map(|(i, _)| f64::from(i)) {
        batch.push([], Datum::Real(i / 4.0).as_ref());
    }
    batch
}

/// Values for some rows of `machines` whose keys are implied: every third row and a run have none.
pub fn implied_some(from: i64, rows: u32) -> Rows {
    let absent = |i: u32| i.is_multiple_of(3) || (10..16).contains(&i);
    let mut digest = KeyDigest::new();
    (0..rows).for_each(|i| digest.push([Datum::Integer(from + i64::from(i)).as_ref()]));
    let (first, last) = (from, from + i64::from(rows) - 1);
    let mut runs: Vec<std::ops::Range<u32>> = Vec::new();
    for i in (0..rows).filter(|i| absent(*i)) {
        match runs.last_mut() {
            Some(run) if run.end == i => run.end += 1,
            _ => runs.push(i..i + 1),
        }
    }
    let mut batch = Rows::implied(ImpliedKeys {
        first: vec![Datum::Integer(first)],
        last: vec![Datum::Integer(last)],
        digest: digest.finish(),
        absent: runs,
    });
    for i in (0..rows).filter(|i| !absent(*i)) {
        batch.push([], Datum::Text(format!("o{i}").into()).as_ref());
    }
    batch
}

/// The batches of the small chain: change, rows, checkpoint; one segment each.
pub fn batches() -> Vec<(usize, Rows, &'static str)> {
    vec![
        (0, machines(1, 40), "a"),
        (0, machines(41, 40), "b"),
        (1, events(0, 30), ""),
        (2, parts(), "d"),
        (0, implied(81, 20), "e"),
        (0, implied_some(101, 31), "f"),
    ]
}

/// The batches of the chain of a run beside which others wrote: change, rows, checkpoint.
pub fn batches_again() -> Vec<(usize, Rows, &'static str)> {
    let mut changed = Rows::new(1);
    for (id, value) in [(7, Datum::Null), (41, Datum::Text("changed".into()))] {
        changed.push([Datum::Integer(id).as_ref()], value.as_ref());
    }
    vec![
        (0, machines(1, 60), "fill:0:013c00000000000000"),
        (1, events(0, 20), "fill:12:011400000000000000"),
        (0, changed, "again:2"),
        (1, events(0, 20), "again:fill:13:011400000000000000"),
    ]
}

/// The same as its files.
pub fn files_again() -> Vec<(String, Vec<u8>)> {
    let sink = MemorySink::default();
    let mut writer = ChainWriter::create(Box::new(sink.clone()), &header()).unwrap();
    for (change, rows, checkpoint) in batches_again() {
        writer.push(change, &[block(change, &rows)], checkpoint).unwrap();
    }
    writer.finish(&[("rows_pending", "0".to_owned())]).unwrap();
    sink.files().into_iter().map(|(name, bytes)| (name.to_string(), bytes)).collect()
}

/// The header of a chain of sets, of two tables.
pub fn header_of_sets() -> ChainHeader {
    let sets = |table: &str, type_name: &str, key| {
        let (table, column) = (table.to_owned(), "tags".to_owned());
        Shape { table, column, type_name: type_name.to_owned(), strict: false, sets: true, key }
    };
    let mut owner = shape("machines", vec![key("id", "INTEGER")]);
    owner.strict = true;
    let mut strict = sets("parts", "rows", vec![key("a", "ANY"), key("b", "BLOB")]);
    strict.strict = true;
    let shapes = vec![sets("projects", "json", vec![key("id", "TEXT")]), owner, strict];
    ChainHeader { shapes, ..header() }
}

/// Objects with sets of texts, some of them empty.
pub fn projects(from: u64, rows: u64) -> Rows {
    let mut noise = Noise(from);
    let words = ["urgent", "vip", "late", "blue", "draft", "", "u\u{e9}"];
    let mut batch = Rows::new(1);
    for i in from..from + rows {
        let id = Datum::Text(format!("p{i:04}").into());
        let chosen = words.iter().filter(|_| noise.next().is_multiple_of(3));
        let mut tags: Vec<Datum> = chosen.map(|word| Datum::Text((*word).into())).collect();
        if i.is_multiple_of(4) {
            tags.push(Datum::Text(format!("own-{}", noise.next() % 1000).into()));
        }
        batch.push([id.as_ref()], Datum::Blob(set_value(tags)).as_ref());
    }
    batch
}

/// Objects with sets of every class, and one that is large.
pub fn odd_sets() -> Rows {
    let text = |text: &str| Datum::Text(text.into());
    let sets = [
        vec![],
        vec![Datum::Integer(i64::MIN), Datum::Integer(1), Datum::Real(1.0), Datum::Real(-0.0)],
        vec![text(""), text("a"), Datum::Real(f64::INFINITY), Datum::Blob(vec![0])],
        (0..300).map(Datum::Integer).chain((0..300).map(|i| text(&format!("t{i}")))).collect(),
    ];
    let mut batch = Rows::new(2);
    for (i, set) in sets.into_iter().enumerate() {
        let key = [Datum::Integer(i64::try_from(i).unwrap()), Datum::Blob(vec![0; i])];
        batch.push(key.iter().map(Datum::as_ref), Datum::Blob(set_value(set)).as_ref());
    }
    batch
}

/// The batches of the chain of sets: change, rows, checkpoint.
pub fn batches_of_sets() -> Vec<(usize, Rows, &'static str)> {
    vec![
        (0, projects(0, 60), "fill:0:03050000000000000070303035390000"),
        (2, odd_sets(), "keys:01"),
        (1, machines(1, 10), "keys:02"),
        (0, projects(20, 3), "again:2"),
    ]
}

/// The same as its files.
pub fn files_of_sets() -> Vec<(String, Vec<u8>)> {
    let (sink, header) = (MemorySink::default(), header_of_sets());
    let mut writer = ChainWriter::create(Box::new(sink.clone()), &header).unwrap();
    for (change, rows, checkpoint) in batches_of_sets() {
        let block = encode_block(&header.shapes[change], &rows).unwrap();
        writer.push(change, &[block], checkpoint).unwrap();
    }
    writer.finish(&[("rows_pending", "0".to_owned())]).unwrap();
    sink.files().into_iter().map(|(name, bytes)| (name.to_string(), bytes)).collect()
}

/// A block of one change of [`header`].
pub fn block(change: usize, rows: &Rows) -> EncodedBlock {
    encode_block(&header().shapes[change], rows).unwrap()
}

/// Writes the small chain.
pub fn write(sink: Box<dyn Sink>, header: &ChainHeader) {
    let mut writer = ChainWriter::create(sink, header).unwrap();
    for (change, rows, checkpoint) in batches() {
        writer.push(change, &[block(change, &rows)], checkpoint).unwrap();
    }
    writer.finish(&[("digest.0", "cafe".to_owned())]).unwrap();
}

/// Writes the small chain into a folder.
pub fn write_folder(dir: &Path) {
    write(Box::new(DirectorySink::create(dir).unwrap()), &header());
}

/// The small chain as its files.
pub fn files() -> Vec<(String, Vec<u8>)> {
    let sink = MemorySink::default();
    write(Box::new(sink.clone()), &header());
    sink.files().into_iter().map(|(name, bytes)| (name.to_string(), bytes)).collect()
}

/// Puts files into a folder.
pub fn put(dir: &Path, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

/// All rows of a chain in order, with the index of their change; it must be whole.
pub fn read(mut reader: ChainReader) -> Result<Vec<(usize, Rows)>, DeltaError> {
    let header = reader.header().clone();
    let mut all = Vec::new();
    while let Some(item) = reader.next_item()? {
        if let Item::Segment(segment) = item {
            for i in 0..segment.blocks() {
                all.push((segment.change(), segment.decode(i, &header)?));
            }
        }
    }
    reader.finish().map(|_| all)
}

/// The rows of [`batches`], as [`read`] returns them.
pub fn expected() -> Vec<(usize, Rows)> {
    batches().into_iter().map(|(change, rows, _)| (change, rows)).collect()
}
