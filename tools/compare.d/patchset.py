"""SQLite's session extension, for tools/compare: makes a patchset of an UPDATE, or applies one.

    patchset.py make DB VALUE PATCHSET     updates all rows of a copy, which it removes
    patchset.py apply PATCHSET DB          prints the seconds that applying took
"""

import os
import shutil
import sys
import time

import apsw


def make(db, value, patchset):
    copy = patchset + ".db"
    shutil.copyfile(db, copy)
    connection = apsw.Connection(copy)
    connection.execute("ALTER TABLE machines ADD COLUMN owner TEXT")
    session = apsw.Session(connection, "main")
    session.attach("machines")
    connection.execute(f"UPDATE machines SET owner = {value}")
    with open(patchset, "wb") as file:
        file.write(session.patchset())
    session.close()
    connection.close()
    for ending in ("", "-wal", "-shm"):
        if os.path.exists(copy + ending):
            os.remove(copy + ending)


def apply(patchset, db):
    with open(patchset, "rb") as file:
        changes = file.read()
    connection = apsw.Connection(db)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("ALTER TABLE machines ADD COLUMN owner TEXT")
    began = time.perf_counter()
    apsw.Changeset.apply(changes, connection)
    print(time.perf_counter() - began)
    connection.close()


{"make": make, "apply": apply}[sys.argv[1]](*sys.argv[2:])
