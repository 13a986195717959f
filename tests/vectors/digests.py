"""Writes digests.json: digest trees, computed without dotfill. See README.md."""

import json
import struct
import sys

import blake3


def field(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def count(n):
    return struct.pack("<Q", n)


def value(x):
    if x is None:
        return b"\x00"
    if isinstance(x, int):
        return b"\x01" + struct.pack("<q", x)
    if isinstance(x, float):
        return b"\x02" + struct.pack("<d", x)
    if isinstance(x, dict):
        return b"\x04" + count(len(x["blob"]) // 2) + bytes.fromhex(x["blob"])
    return b"\x03" + field(x)


def values(xs):
    return b"".join(map(value, xs))


def derived(context, material):
    return blake3.blake3(material, derive_key_context=context).digest()


def keyed(key, message):
    return blake3.blake3(message, key=key).digest()


def number(digest):
    return int.from_bytes(digest[:16], "little")


def root(rows, total):
    return blake3.blake3(count(rows) + total.to_bytes(16, "little")).hexdigest()


def shape(v):
    out = field(v["table"]) + field(v["column"]) + field(v["type"]) + count(len(v["key"]))
    for name, affinity, collation in v["key"]:
        out += field(name) + field(affinity) + field(collation)
    out += count(len(v["sources"]))
    out += b"".join(field(name) for name in sorted(v["sources"], key=str.encode))
    return derived("dotfill 2026-11 table shape v1", out)[:8].hex()


def digest(v):
    names = field(v["table"]) + field(v["column"])
    kv = derived("dotfill 2026-11 row digest v1", names)
    ks = derived("dotfill 2026-11 row sources v1", names)
    kl = derived("dotfill 2026-11 row leaf v1", names)
    order = sorted(range(len(v["sources"])), key=lambda i: v["sources"][i].encode())
    leaves, all_s, all_v = {}, 0, 0
    for row in v["rows"]:
        key = values(row["key"])
        sources = values(row["sources"][i] for i in order)
        claim = b"\x01" + value(row["cell"]) if row["claimed"] else b"\x00"
        row_v = number(keyed(kv, key + value(row["cell"])))
        row_s = number(keyed(ks, key + sources + claim))
        # 256 leaves: the top 8 bits.
        leaf = keyed(kl, key)[0]
        n, s, w = leaves.get(leaf, (0, 0, 0))
        leaves[leaf] = (n + 1, (s + row_s) % 2**64, (w + row_v) % 2**64)
        all_s, all_v = (all_s + row_s) % 2**128, (all_v + row_v) % 2**128
    return {
        "shape": shape(v),
        "leaves": {str(i): "%x.%016x.%016x" % leaves[i] for i in sorted(leaves)},
        "digest": root(len(v["rows"]), all_v),
        "sources_digest": root(len(v["rows"]), all_s),
    }


def row(key, sources, cell, claimed=False):
    return {"key": key, "sources": sources, "cell": cell, "claimed": claimed}


def blob(data):
    return {"blob": data.hex()}


INTEGER = ["id", "INT", "BINARY"]

VECTORS = [
    {
        "name": "integer keys",
        "schema": "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)",
        "table": "t",
        "column": "label",
        "type": "TEXT",
        "value": "'l-' || a",
        "key": [INTEGER],
        "sources": ["a"],
        "rows": [row([i], [f"a{i}"], f"l-a{i}") for i in range(-20, 20)],
    },
    {
        "name": "users' cells are claimed",
        "schema": "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)",
        "table": "t",
        "column": "label",
        "type": "TEXT",
        "value": "'l-' || a",
        "key": [INTEGER],
        "sources": ["a"],
        "rows": [
            row([1], ["x"], "mine", True),
            row([2], ["x"], "l-x"),
            row([3], [None], None),
            row([4], [None], "from nothing", True),
        ],
    },
    {
        "name": "text keys by rowid, sources in the order of their names",
        "schema": 'CREATE TABLE "gr\u00f6\u00dfe" (b INT, "Z" REAL, id TEXT PRIMARY KEY, a ANY)',
        "table": "gr\u00f6\u00dfe",
        "column": "\u540d",
        "type": "TEXT",
        "value": "b || '/' || a || '/' || \"Z\"",
        "key": [["id", "TEXT", "BINARY"]],
        "sources": ["b", "Z", "a"],
        "rows": [
            row(["k1"], [1, 0.5, "t"], "1/t/0.5"),
            row(["\U0001f4a1"], [-1, 2.0, 7], "-1/7/2.0"),
            row([None], [1, None, 1], None),
            row([None], [1, 1.0, blob(b"x")], "1/x/1.0"),
        ],
    },
    {
        "name": "composite keys without rowid, and no source",
        "schema": "CREATE TABLE t (b BLOB, a REAL, c TEXT COLLATE NOCASE, "
        "PRIMARY KEY (a DESC, b, c)) WITHOUT ROWID",
        "table": "t",
        "column": "n",
        "type": "INTEGER",
        "value": "7",
        "key": [["a", "REAL", "BINARY"], ["b", "", "BINARY"], ["c", "TEXT", "NOCASE"]],
        "sources": [],
        "rows": [
            row([1.0, blob(b""), "A"], [], 7),
            row([1.0, blob(b"\x00\xff"), "a"], [], 7),
            row([-2.5, blob(b""), ""], [], 7),
        ],
    },
]


def main():
    vectors = ",\n".join(json.dumps({**v, "expected": digest(v)}) for v in VECTORS)
    sys.stdout.write(f"[\n{vectors}\n]\n")


main()
