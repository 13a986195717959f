"""Writes dots.json: migration dots, derived without dotfill. See README.md."""

import json
import struct
import sys

import blake3

CONTEXT = "dotfill 2026-11 migration dot v1"


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


def dot(migration, table, column, key, element):
    material = field(migration) + field(table) + field(column)
    derived = blake3.blake3(material, derive_key_context=CONTEXT).digest()
    fact = struct.pack("<I", len(key)) + b"".join(map(value, key)) + value(element)
    return blake3.blake3(fact, key=derived).digest()[:16].hex()


def integer(n):
    return {"integer": str(n)}


def real(x):
    return {"real": struct.pack(">d", x).hex()}


def text(s):
    return {"text": (s if isinstance(s, bytes) else s.encode()).hex()}


def blob(b):
    return {"blob": b.hex()}


NULL = "null"
PLACE = ("project-tags", "projects", "tags")
ULID = text("01J9ZQ4V7F3N5X8K2M6P0R1S7T")

VECTORS = [
    ("integer key", PLACE, [integer(1)], text("red")),
    ("integer zero", PLACE, [integer(0)], text("red")),
    ("integer negative", PLACE, [integer(-1)], text("red")),
    ("integer smallest", PLACE, [integer(-(2**63))], text("red")),
    ("integer largest", PLACE, [integer(2**63 - 1)], text("red")),
    ("integer beyond doubles", PLACE, [integer(2**53 + 1)], text("red")),
    ("real key", PLACE, [real(1.5)], text("red")),
    ("real whole number is no integer", PLACE, [real(1.0)], text("red")),
    ("real zero", PLACE, [real(0.0)], text("red")),
    ("real negative zero", PLACE, [real(-0.0)], text("red")),
    ("real smallest", PLACE, [real(5e-324)], text("red")),
    ("real infinity", PLACE, [real(float("inf"))], text("red")),
    ("text key", PLACE, [text("a")], text("red")),
    ("text key that looks like a number", PLACE, [text("1")], text("red")),
    ("text key empty", PLACE, [text("")], text("red")),
    ("text key ulid", PLACE, [ULID], text("red")),
    ("text key unicode", PLACE, [text("gr\u00f6\u00dfe \U0001f4a1")], text("red")),
    ("text key composed", PLACE, [text("\u00e9")], text("red")),
    ("text key decomposed", PLACE, [text("e\u0301")], text("red")),
    ("text key that is no utf-8", PLACE, [text(b"\xff\x80a")], text("red")),
    ("text key with a nul", PLACE, [text("a\0b")], text("red")),
    ("text key trailing space", PLACE, [text("a ")], text("red")),
    ("text key other case", PLACE, [text("A")], text("red")),
    ("blob key", PLACE, [blob(b"a")], text("red")),
    ("blob key empty", PLACE, [blob(b"")], text("red")),
    ("blob key of 16", PLACE, [blob(bytes(range(16)))], text("red")),
    ("null key", PLACE, [NULL], text("red")),
    ("no key columns", PLACE, [], text("red")),
    ("two key columns", PLACE, [integer(1), text("a")], text("red")),
    ("two key columns swapped", PLACE, [text("a"), integer(1)], text("red")),
    ("key column or element", PLACE, [integer(1), text("red")], text("a")),
    ("null in a composite key", PLACE, [integer(1), NULL], text("red")),
    ("null first in a composite key", PLACE, [NULL, integer(1)], text("red")),
    ("five key columns", PLACE, [integer(1), real(2.5), text("c"), blob(b"d"), NULL], text("red")),
    ("element integer", PLACE, [integer(1)], integer(7)),
    ("element real", PLACE, [integer(1)], real(7.0)),
    ("element text seven", PLACE, [integer(1)], text("7")),
    ("element blob", PLACE, [integer(1)], blob(b"7")),
    ("element null", PLACE, [integer(1)], NULL),
    ("element empty text", PLACE, [integer(1)], text("")),
    ("element empty blob", PLACE, [integer(1)], blob(b"")),
    ("element longer than a block", PLACE, [integer(1)], text("x" * 100)),
    ("element longer than a chunk", PLACE, [integer(1)], text("y" * 5000)),
    ("other migration", ("project-tags-2", "projects", "tags"), [integer(1)], text("red")),
    ("other table", ("project-tags", "project", "tags"), [integer(1)], text("red")),
    ("other column", ("project-tags", "projects", "tag"), [integer(1)], text("red")),
    ("fields do not run together", ("project-tags", "project", "stags"), [integer(1)], text("red")),
    ("names in unicode", ("m", "gr\u00f6\u00dfe", "\u540d\u524d"), [integer(1)], text("red")),
    ("names with quotes", ("m", 'a"b', "c'd"), [integer(1)], text("red")),
]


def main():
    vectors = [
        {
            "name": name,
            "migration": place[0],
            "table": place[1],
            "column": place[2],
            "key": key,
            "element": element,
            "dot": dot(*place, key, element),
        }
        for name, place, key, element in VECTORS
    ]
    lines = ",\n".join(json.dumps(vector) for vector in vectors)
    sys.stdout.write(f"[\n{lines}\n]\n")


main()
