"""Writes keys.json: sums of keys as `dotfill digest --keys` prints them. See README.md."""

import json
import struct
import sys

import blake3

KEY = blake3.blake3(b"", derive_key_context="dotfill 2026-11 key ranges v1").digest()


def encode(value):
    if value is None:
        return b"\x00"
    if isinstance(value, int):
        return b"\x01" + struct.pack("<q", value)
    if isinstance(value, float):
        return b"\x02" + struct.pack("<d", value)
    if isinstance(value, str):
        return b"\x03" + struct.pack("<Q", len(value.encode())) + value.encode()
    blob = bytes.fromhex(value["blob"])
    return b"\x04" + struct.pack("<Q", len(blob)) + blob


def total(keys):
    hashes = [blake3.blake3(b"".join(map(encode, key)), key=KEY).digest()[:8] for key in keys]
    return f"{sum(int.from_bytes(h, 'little') for h in hashes) % 2**64:016x}"


CASES = [
    ("integer", "id INTEGER PRIMARY KEY", '"id" INT', [[i * i * i - 99] for i in range(200)]),
    ("text", "id TEXT PRIMARY KEY", '"id" TEXT', [[f"k{i}"] for i in range(200)]),
    (
        "nocase",
        "id TEXT COLLATE NOCASE PRIMARY KEY",
        '"id" TEXT COLLATE NOCASE',
        [[("k%d" if i % 2 else "K%d") % i] for i in range(200)],
    ),
    ("blob", "id BLOB PRIMARY KEY", '"id"', [[{"blob": f"{i * 7919:08x}"}] for i in range(200)]),
    ("real", "id REAL PRIMARY KEY", '"id" REAL', [[i / 8 + 0.0625] for i in range(200)]),
    (
        "composite",
        "\"A\" INT NOT NULL, b TEXT NOT NULL, PRIMARY KEY (\"A\" DESC, b)",
        '"a" INT DESC, "b" TEXT',
        [[i % 7, f"x{i}"] for i in range(200)],
    ),
]


def main():
    cases = []
    for name, columns, shape, keys in CASES:
        tail = " WITHOUT ROWID" if "DESC" in columns else ""
        schema = f"CREATE TABLE t ({columns}){tail}"
        case = {"name": name, "schema": schema, "key": shape, "keys": keys, "sum": total(keys)}
        cases.append(json.dumps(case))
    sys.stdout.write("[\n" + ",\n".join(cases) + "\n]\n")


main()
