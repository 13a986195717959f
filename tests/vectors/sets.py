"""Writes sets.json: sets read from their old form, with their dots, without dotfill. See README.md."""

import json
import struct
import sys

import blake3

CONTEXT = "dotfill 2026-11 migration dot v1"
PLACE = ("tags-v2", "projects", "tags")
KEY = 7
WHITE = " \t\n\x0c\r"


def field(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def value(element):
    kind, content = element
    if kind == "integer":
        return b"\x01" + struct.pack("<q", content)
    if kind == "real":
        return b"\x02" + struct.pack("<d", content)
    data = content.encode()
    return b"\x03" + struct.pack("<Q", len(data)) + data


def dot(element):
    material = b"".join(map(field, PLACE))
    derived = blake3.blake3(material, derive_key_context=CONTEXT).digest()
    fact = struct.pack("<I", 1) + value(("integer", KEY)) + value(element)
    return blake3.blake3(fact, key=derived).digest()[:16].hex()


def number(x):
    """An integer in the range of i64 is INTEGER, whatever its spelling; any other is REAL."""
    if isinstance(x, int) and -(2**63) <= x < 2**63:
        return ("integer", x)
    x = float(x)
    if x == int(x) and -(2**63) <= int(x) < 2**63:
        return ("integer", int(x))
    return ("real", x)


def text(s, flaws):
    if "\0" in s:
        flaws.append("nul")
        return []
    return [("text", s)]


def refuse(_):
    raise ValueError("no number of JSON")


def no_lone_surrogate(x):
    if isinstance(x, str):
        x.encode()
    elif isinstance(x, list):
        for member in x:
            no_lone_surrogate(member)
    elif isinstance(x, dict):
        for key, member in x.items():
            no_lone_surrogate(key)
            no_lone_surrogate(member)
    elif isinstance(x, float) and x in (float("inf"), float("-inf")):
        raise ValueError("beyond a double")


def members(x, flaws):
    found = []
    for member in x:
        if member is None:
            flaws.append("null")
        elif isinstance(member, bool):
            flaws.append("boolean")
        elif isinstance(member, (int, float)):
            found.append(number(member))
        elif isinstance(member, str):
            found += text(member, flaws)
        else:
            flaws.append("nested")
    return found


def read(form, source):
    """Elements in order, each once, and the flaws of the others."""
    flaws = []
    if source is None or source == b"":
        return [], flaws
    try:
        source = source.decode()
    except UnicodeDecodeError:
        return [], ["not-utf-8"]
    if form == "json":
        try:
            parsed = json.loads(source, parse_constant=refuse)
            no_lone_surrogate(parsed)
        except (ValueError, RecursionError):
            return [], ["not-json"]
        if not isinstance(parsed, list):
            return [], ["not-array"]
        found = members(parsed, flaws)
    else:
        parts = source.split("," if form == "csv" else "\n")
        parts = [part.strip(WHITE) for part in parts]
        found = [element for part in parts if part for element in text(part, flaws)]
    unique = []
    for element in found:
        if element in unique:
            flaws.append("duplicate")
        else:
            unique.append(element)
    numbers = sorted((e for e in unique if e[0] != "text"), key=lambda e: e[1])
    texts = sorted((e for e in unique if e[0] == "text"), key=lambda e: e[1].encode())
    return numbers + texts, flaws


VECTORS = [
    ("two tags", "json", b'["urgent", "vip"]'),
    ("the order of members does not matter", "json", b'["vip","urgent"]'),
    ("NULL", "json", None),
    ("empty text", "json", b""),
    ("empty array", "json", b" [ ] "),
    ("unicode", "json", "[\"gr\u00f6\u00dfe\", \"\U0001f4a1\"]".encode()),
    ("escapes", "json", b'["gr\\u00f6\\u00dfe", "\\ud83d\\udca1", "a\\"b\\\\c\\/d\\n"]'),
    ("composed and decomposed are two", "json", "[\"\u00e9\", \"e\u0301\"]".encode()),
    ("case and space matter", "json", b'["a", "A", " a", "a ", ""]'),
    ("integers", "json", b"[3, -2, 0, 10]"),
    ("one number, spelled thrice", "json", b"[1, 1.0, 1e0]"),
    ("zeros", "json", b"[0, -0, -0.0, 0e5]"),
    ("reals", "json", b"[0.1, -2.5, 1e300, 5e-324]"),
    ("ends of i64", "json", b"[9223372036854775807, -9223372036854775808]"),
    ("beyond i64", "json", b"[9223372036854775808, -9223372036854775809, 18446744073709551616]"),
    ("beyond doubles' integers", "json", b"[9007199254740993, 9007199254740992.0]"),
    ("a large integer as a real", "json", b"[1e18, 1000000000000000000]"),
    ("number and text are two", "json", b'[7, "7"]'),
    ("duplicates", "json", b'["a", "b", "a", "\\u0061", "b"]'),
    ("null, booleans, nested", "json", b'["a", null, true, false, [], ["a"], {"a": 1}]'),
    ("a nul", "json", b'["a\\u0000b", "c"]'),
    ("no array", "json", b'{"a": ["b"]}'),
    ("a bare text", "json", b'"a"'),
    ("JSON's null", "json", b"null"),
    ("no JSON", "json", b"urgent, vip"),
    ("trailing comma", "json", b'["a",]'),
    ("something behind", "json", b'["a"] ["b"]'),
    ("NaN is no JSON", "json", b"[NaN]"),
    ("half a pair", "json", b'["\\ud800"]'),
    ("no utf-8", "json", b'["\xff"]'),
    ("a large array", "json", json.dumps([f"tag {i}" for i in range(100)]).encode()),
    ("csv", "csv", b"urgent, vip"),
    ("csv, empty parts", "csv", b",, urgent ,\t,vip,"),
    ("csv, no quoting", "csv", b'"a,b", 7'),
    ("csv, other white space stays", "csv", "\u00a0a,\x0bb".encode()),
    ("csv, line feeds are white space", "csv", b"a\n,\r\nb"),
    ("csv, duplicates", "csv", b"a, a ,A"),
    ("csv, only white space", "csv", b" \t"),
    ("csv, a nul", "csv", b"a\0b,c"),
    ("csv, no utf-8", "csv", b"a,\x80"),
    ("lines", "lines", b"urgent\nvip\n"),
    ("lines, carriage returns", "lines", b"urgent\r\n\r\n vip \r\n"),
    ("lines, commas stay", "lines", b"a, b\nc"),
    ("lines, unicode", "lines", "\u540d\u524d\n\U0001f4a1".encode()),
    ("lines, NULL", "lines", None),
]


def tagged(element):
    kind, content = element
    if kind == "integer":
        return {"integer": str(content)}
    if kind == "real":
        return {"real": struct.pack(">d", content).hex()}
    return {"text": content.encode().hex()}


def main():
    vectors = []
    for name, form, source in VECTORS:
        elements, flaws = read(form, source)
        vectors.append(
            {
                "name": name,
                "format": form,
                "source": None if source is None else source.hex(),
                "elements": [{"element": tagged(e), "dot": dot(e)} for e in elements],
                "flaws": sorted(flaws),
            }
        )
    lines = ",\n".join(json.dumps(vector) for vector in vectors)
    head = {"migration": PLACE[0], "table": PLACE[1], "column": PLACE[2], "key": KEY}
    sys.stdout.write(f'{{"place": {json.dumps(head)}, "vectors": [\n{lines}\n]}}\n')


main()
