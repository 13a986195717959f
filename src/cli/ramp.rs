//! `--nodes-percent`: which replicas a ramp has reached. A replica's place is a hash of what names
//! it, so that every host can tell by itself, and one that is in stays in as the ramp grows.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::Failure;
use crate::db::{self, Access, Doing, environment};
use crate::lease::this_host;

/// Why the replica is outside a ramp of `percent`; `None` where it is inside.
///
/// # Errors
/// When the database cannot be read.
pub fn outside(percent: Option<f64>, path: &Path) -> Result<Option<String>, Failure> {
    let Some(percent) = percent else {
        return Ok(None);
    };
    let conn = db::open(path, Access::Read)?;
    let place = place(&name(&conn, path)?);
    if place < percent {
        return Ok(None);
    }
    Ok(Some(format!(
        "this replica comes at {place:.2} % of the ramp, and --nodes-percent is {percent}"
    )))
}

/// What names a replica: its site id, or host and path where it has none.
fn name(conn: &Connection, path: &Path) -> Result<Vec<u8>, Failure> {
    if environment(conn)?.crsqlite_version.is_some() {
        let site: Option<Vec<u8>> = conn
            .query_row("SELECT site_id FROM crsql_site_id WHERE ordinal = 0", [], |row| row.get(0))
            .optional()
            .doing("read the site id")?;
        if let Some(site) = site {
            return Ok(site);
        }
    }
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    Ok(format!("{}:{}", this_host(), path.display()).into_bytes())
}

/// From 0, included, to 100, excluded, in steps of a hundredth.
fn place(name: &[u8]) -> f64 {
    let hash = blake3::hash(name);
    let mut head = [0; 4];
    head.copy_from_slice(&hash.as_bytes()[..4]);
    f64::from(u32::from_le_bytes(head) % 10_000) / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_stable_and_spread() {
        assert_eq!(format!("{:.2}", place(b"replica")), "15.69");
        let early = (0..1000_u32).filter(|n| place(&n.to_le_bytes()) < 30.0).count();
        assert!((250..350).contains(&early), "{early}");
    }
}
