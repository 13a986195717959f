//! The part about deltas: what a row weighs, how fast they are made and applied beside what else
//! does so, and what it takes to make two replicas equal again.

use serde_json::{Value, json};

use crate::delta_bytes::{Carrier, Size, sizes};
use crate::delta_data::Keys;
use crate::delta_races::{Race, races};
use crate::delta_repair::{DIFFERING, Repair, repair};
use crate::failed::{Failed, Outcome};
use crate::load::Moment;
use crate::options::Options;
use crate::table::Table;
use crate::targets::{Target, target};

const KIB: f64 = 1024.0;

/// Everything that was measured of deltas.
#[derive(Debug)]
pub struct Deltas {
    sizes: Vec<Size>,
    races: Vec<Race>,
    /// Of a replica that is open, and of one that is closed.
    repairs: [(&'static str, Outcome<Repair>); 2],
    /// The share of the machine that others kept busy meanwhile.
    pub others: f64,
}

/// Measures it.
pub fn deltas(options: &Options) -> Outcome<Deltas> {
    let began = Moment::now()?;
    let sizes = sizes(options);
    let races = races(options);
    eprintln!("{DIFFERING} differing rows");
    let repairs = [("open", repair(options, false)), ("closed", repair(options, true))];
    Ok(Deltas { sizes, races, repairs, others: began.others_since()? })
}

impl Deltas {
    fn size(&self, carrier: Carrier, keys: Keys) -> Option<&Outcome<f64>> {
        let size = self.sizes.iter().find(|size| size.carrier == carrier && size.keys == keys);
        size.map(|size| &size.bytes_per_row)
    }

    /// Bytes per row, for people.
    pub fn size_table(&self) -> Table {
        let mut table = Table::new(&["bytes per row", "integer keys", "ULID keys"]);
        for carrier in Carrier::ALL {
            let mut line = vec![carrier.name().to_owned()];
            for keys in Keys::ALL {
                match self.size(carrier, keys) {
                    Some(Ok(bytes)) => line.push(format!("{bytes:.2}")),
                    Some(Err(Failed(why))) => {
                        line.push(format!("failed: {why}"));
                        break;
                    }
                    None => line.push("-".into()),
                }
            }
            table.push(line);
        }
        table
    }

    /// The races, for people.
    pub fn race_table(&self) -> Table {
        let mut table = Table::new(&["first, second", "rounds", "first s", "second s", "speed"]);
        for race in &self.races {
            let name = race.name.clone();
            match (&race.rounds, race.seconds(), race.ratio()) {
                (Ok(rounds), Some((mine, theirs)), Some(ratio)) => table.push(vec![
                    name,
                    rounds.len().to_string(),
                    format!("{mine:.3}"),
                    format!("{theirs:.3}"),
                    format!("{ratio:.2}x"),
                ]),
                (Err(Failed(why)), ..) => table.push(vec![name, format!("failed: {why}")]),
                _ => table.push(vec![name, "no rounds".into()]),
            }
        }
        table
    }

    /// What has to be reached.
    pub fn targets(&self) -> Vec<Target> {
        let mut targets = vec![
            self.size_target(Carrier::Shipped, Keys::Integer, 5.5),
            self.size_target(Carrier::Shipped, Keys::Ulid, 17.0),
            self.size_target(Carrier::Implied, Keys::Ulid, 5.5),
        ];
        targets.extend(self.races.iter().map(race_target));
        targets.extend(self.repairs.iter().map(|(phase, moved)| repair_target(phase, moved)));
        targets
    }

    fn size_target(&self, carrier: Carrier, keys: Keys, most: f64) -> Target {
        let text = format!("{}, {} keys: <= {most} bytes a row", carrier.name(), keys.name());
        match self.size(carrier, keys) {
            Some(Ok(bytes)) => target(text, format!("{bytes:.2}"), *bytes <= most),
            Some(Err(Failed(why))) => target(text, format!("failed: {why}"), false),
            None => target(text, "not weighed", false),
        }
    }

    /// Whether anyone said it was done and left wrong data.
    pub fn anyone_wrong(&self) -> bool {
        let wrong = |Failed(why): &Failed| why.starts_with("WRONG DATA");
        self.races.iter().any(|race| race.rounds.as_ref().is_err_and(wrong))
    }

    /// For programs.
    pub fn record(&self) -> Value {
        let sizes = self.sizes.iter().map(|size| {
            json!({
                "id": size.carrier.id(),
                "keys": size.keys.name(),
                "bytes_per_row": size.bytes_per_row.as_ref().ok(),
                "trouble": trouble(&size.bytes_per_row),
            })
        });
        let races = self.races.iter().map(|race| {
            json!({
                "id": race.id,
                "name": race.name,
                "seconds": race.rounds.as_ref().ok(),
                "ratio": race.ratio(),
                "trouble": trouble(&race.rounds),
            })
        });
        let repairs = self.repairs.iter().map(|(phase, moved)| {
            json!({
                "phase": phase,
                "bytes": moved.as_ref().ok().map(Repair::bytes),
                "trouble": trouble(moved),
            })
        });
        json!({
            "sizes": sizes.collect::<Vec<_>>(),
            "races": races.collect::<Vec<_>>(),
            "repairs": repairs.collect::<Vec<_>>(),
            "others": self.others,
        })
    }
}

fn trouble<T>(outcome: &Outcome<T>) -> Option<&str> {
    outcome.as_ref().err().map(|Failed(why)| why.as_str())
}

fn race_target(race: &Race) -> Target {
    let text = format!("{}: >= {}x", race.name, race.least);
    match (&race.rounds, race.ratio()) {
        (Err(Failed(why)), _) => target(text, format!("failed: {why}"), false),
        (Ok(_), Some(ratio)) => target(text, format!("{ratio:.2}x"), ratio >= race.least),
        (Ok(_), None) => target(text, "no rounds", false),
    }
}

fn repair_target(phase: &str, moved: &Outcome<Repair>) -> Target {
    let text = format!("{DIFFERING} differing rows, replica {phase}: < 64 KiB move");
    match moved {
        Err(Failed(why)) => target(text, format!("failed: {why}"), false),
        Ok(moved) => {
            let [digest, list, chain] =
                [moved.digest, moved.list, moved.chain].map(|bytes| bytes as f64 / KIB);
            let measured = format!(
                "{:.1} KiB (digest {digest:.1}, list {list:.1}, chain {chain:.1}), then equal",
                moved.bytes() as f64 / KIB
            );
            target(text, measured, moved.bytes() < 64 << 10)
        }
    }
}
