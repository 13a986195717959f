-- The tables in which a Corrosion agent keeps what it has received and not yet applied, what it
-- still needs, its members and the schema that it looks after: their shape as of the crate
-- klukai-types 0.4.0 (src/agent.rs, `init_migration`).
CREATE TABLE __corro_state (key TEXT NOT NULL PRIMARY KEY, value);
CREATE TABLE __corro_seq_bookkeeping (
  site_id BLOB NOT NULL, db_version INTEGER NOT NULL, start_seq INTEGER NOT NULL,
  end_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, ts TEXT NOT NULL,
  PRIMARY KEY (site_id, db_version, start_seq)) WITHOUT ROWID;
CREATE TABLE __corro_buffered_changes (
  "table" TEXT NOT NULL, pk BLOB NOT NULL, cid TEXT NOT NULL, val ANY,
  col_version INTEGER NOT NULL, db_version INTEGER NOT NULL, site_id BLOB NOT NULL,
  seq INTEGER NOT NULL, cl INTEGER NOT NULL, ts TEXT NOT NULL,
  PRIMARY KEY (site_id, db_version, seq)) WITHOUT ROWID;
CREATE TABLE __corro_members (
  actor_id BLOB PRIMARY KEY NOT NULL, address TEXT NOT NULL, foca_state JSON, rtt_min INTEGER,
  updated_at DATETIME NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE __corro_schema (
  tbl_name TEXT NOT NULL, type TEXT NOT NULL, name TEXT NOT NULL, sql TEXT NOT NULL,
  source TEXT NOT NULL, PRIMARY KEY (tbl_name, type, name)) WITHOUT ROWID;
CREATE TABLE __corro_bookkeeping_gaps (
  actor_id BLOB NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
  PRIMARY KEY (actor_id, start)) WITHOUT ROWID;
INSERT INTO __corro_state VALUES ('schema_version', 2);
