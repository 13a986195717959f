"""Writes cohorts.json: buckets of objects and fresh dots, without dotfill. See README.md."""

import json
import struct
import sys

import blake3

COHORT = "dotfill 2026-11 cohort v1"
DOT = "dotfill 2026-11 migration dot v1"


def field(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def value(tagged):
    if tagged == "null":
        return b"\x00"
    ((kind, text),) = tagged.items()
    if kind == "integer":
        return b"\x01" + struct.pack("<q", int(text))
    if kind == "real":
        return b"\x02" + struct.pack("<Q", int(text, 16))
    data = bytes.fromhex(text)
    return {"text": b"\x03", "blob": b"\x04"}[kind] + struct.pack("<Q", len(data)) + data


def bucket(migration, key):
    derived = blake3.blake3(field(migration), derive_key_context=COHORT).digest()
    hashed = blake3.blake3(b"".join(map(value, key)), key=derived).digest()
    return struct.unpack("<Q", hashed[:8])[0] % 100


def fresh(place, key, element, cause):
    derived = blake3.blake3(b"".join(map(field, place)), derive_key_context=DOT).digest()
    fact = struct.pack("<I", len(key)) + b"".join(map(value, key)) + value(element) + value(cause)
    return blake3.blake3(fact, key=derived).digest()[:16].hex()


def integer(n):
    return {"integer": str(n)}


def real(x):
    return {"real": struct.pack(">d", x).hex()}


def text(s):
    return {"text": (s if isinstance(s, bytes) else s.encode()).hex()}


def blob(b):
    return {"blob": b.hex()}


KEYS = [
    ("integer", [integer(1)]),
    ("integer zero", [integer(0)]),
    ("integer negative", [integer(-1)]),
    ("integer smallest", [integer(-(2**63))]),
    ("real", [real(1.5)]),
    ("real whole number is no integer", [real(1.0)]),
    ("text", [text("P7")]),
    ("text that looks like a number", [text("1")]),
    ("text empty", [text("")]),
    ("text unicode", [text("gr\u00f6\u00dfe")]),
    ("text that is no utf-8", [text(b"\xff\x80a")]),
    ("text ulid", [text("01J9ZQ4V7F3N5X8K2M6P0R1S7T")]),
    ("blob", [blob(bytes(range(16)))]),
    ("two columns", [integer(1), text("a")]),
    ("two columns swapped", [text("a"), integer(1)]),
    ("a null", ["null"]),
]
MIGRATIONS = ["tags-v2", "tags-or-set"]

PLACE = ("tags-v2", "projects", "tags")
SITE = "8f2c6d0a1b3e4f5061728394a5b6c7d8"
CAUSES = [
    ("an operation", "c7-42"),
    ("another operation", "c7-43"),
    ("an operation with an empty name", ""),
    ("a write in quarantine", f"quarantine {SITE} " + "ab" * 32),
    ("a write in quarantine of a plain database", "quarantine  " + "ab" * 32),
]
FACTS = [
    ([text("P7")], text("urgent")),
    ([integer(7)], integer(1)),
    ([integer(1), text("a")], real(2.5)),
]


def main():
    buckets = [
        {"name": name, "migration": migration, "key": key, "bucket": bucket(migration, key)}
        for migration in MIGRATIONS
        for name, key in KEYS
    ]
    dots = [
        {
            "name": name,
            "migration": PLACE[0],
            "table": PLACE[1],
            "column": PLACE[2],
            "key": key,
            "element": element,
            "cause": cause,
            "dot": fresh(PLACE, key, element, text(cause)),
        }
        for name, cause in CAUSES
        for key, element in FACTS
    ]
    parts = [
        '"' + name + '": [\n' + ",\n".join(map(json.dumps, vectors)) + "\n]"
        for name, vectors in (("buckets", buckets), ("fresh_dots", dots))
    ]
    sys.stdout.write("{\n" + ",\n".join(parts) + "\n}\n")


main()
