"""Writes deltas.json: a delta chain made without dotfill, and the rows in it. See README.md."""

import json
import struct
import sys

import blake3
import zstandard

DIGEST = b"\x07" * 32
ID = "machines-owner"
NULL = "null"


def b3(data):
    return blake3.blake3(data).digest()


def counted(data):
    data = data if isinstance(data, bytes) else data.encode()
    return struct.pack("<I", len(data)) + data


def varint(n):
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def signed(n):
    n &= 2**64 - 1
    return n - 2**64 if n >= 2**63 else n


def zigzag(n):
    return (n << 1 ^ n >> 63) & (2**64 - 1)


def stored(data):
    return b"\x00" + varint(len(data)) + data


def squeezed(data):
    frame = zstandard.ZstdCompressor(level=19, write_content_size=True).compress(data)
    return b"\x01" + varint(len(data)) + varint(len(frame)) + frame


def pack(values):
    out, before = b"", 0
    for start in range(0, len(values), 128):
        group = values[start : start + 128]
        base = min(group)
        width = (max(group) - base).bit_length()
        bits = sum(v - base << i * width for i, v in enumerate(group))
        out += varint(zigzag(signed(base - before))) + bytes([width])
        out += bits.to_bytes((len(group) * width + 7) // 8, "little")
        before = base
    return out


def numbers(values, layout=0, stream=stored):
    values = [signed(v) for v in values]
    if not values:
        return b"\x00"
    steps = [signed(b - a) for a, b in zip(values, values[1:])]
    if layout == 0:
        raw = pack(values)
    elif layout == 1:
        raw = varint(zigzag(values[0])) + pack(steps)
    elif layout == 2:
        raw = b"".join(varint(zigzag(v)) for v in [values[0], *steps])
    else:
        least = min(values)
        width = ((max(values) - least).bit_length() + 7) // 8
        raw = varint(zigzag(least)) + bytes([width])
        raw += b"".join((v - least).to_bytes(width, "little") for v in values)
    return bytes([layout]) + stream(raw)


def plain(values, layout=0, stream=stored):
    return numbers([len(v) for v in values], layout) + stream(b"".join(values))


def prefixes(values):
    shares, rests, before = [], [], b""
    for v in values:
        pairs = enumerate(zip(before, v))
        share = next((i for i, (a, b) in pairs if a != b), min(len(before), len(v)))
        shares.append(share)
        rests.append(v[share:])
        before = v
    return b"\x01" + numbers(shares, 2) + plain(rests)


def dictionary(values):
    entries = list(dict.fromkeys(values))
    indexes = numbers([entries.index(v) for v in values])
    return b"\x02" + varint(len(entries)) + plain(entries, 3) + indexes


def template(literals, widths, fields):
    out = b"\x03" + varint(len(widths))
    for literal, width in zip(literals, widths):
        out += varint(len(literal)) + literal + bytes([width])
    out += varint(len(literals[-1])) + literals[-1]
    return out + b"".join(numbers(field, i % 4) for i, field in enumerate(fields))


def ids(form, values):
    parts = [(v >> 80, v >> 64 & 0xFFFF, v & 2**64 - 1) for v in values]
    return b"\x04" + bytes([form]) + b"".join(numbers(part) for part in zip(*parts))


def column(code, body):
    return bytes([0, code]) + body


def with_nulls(present, code, body):
    bits = sum(1 << i for i, p in enumerate(present) if p)
    return b"\x01" + stored(bits.to_bytes((len(present) + 7) // 8, "little")) + bytes([code]) + body


def several(codes, bodies):
    return b"\x00\x05" + stored(bytes(codes)) + b"".join(bodies)


def reals(values):
    words = [struct.pack("<d", v) for v in values]
    return stored(bytes(w[i] for i in range(8) for w in words))


def block(rows, columns, implied=None, runs=()):
    kind = 0 if implied is None else 2 if runs else 1
    body = struct.pack("<IBH", rows, kind, len(columns))
    body += implied or b""
    if runs:
        body += varint(len(runs)) + b"".join(varint(n) for run in runs for n in run)
    body += b"".join(counted(c) for c in columns)
    body = struct.pack("<I", len(body) + 36) + body
    return body + b3(body)


class Chain:
    def __init__(self):
        self.files, self.previous = [], bytes(32)

    def add(self, kind, body):
        def start(length):
            magic = b"\x89DFD\r\n\x1a\n" + struct.pack("<HBBI", 1, kind, 0, length)
            return magic + struct.pack("<I", len(self.files)) + self.previous + DIGEST

        data = start(len(start(0)) + len(body) + 32) + body
        self.previous = b3(data)
        self.files.append(data + self.previous)

    def header(self, shapes, column="owner", type_name="TEXT", flags=0):
        body = counted(ID) + counted("") + counted("none") + counted("none") + b"\x00"
        body += struct.pack("<H", len(shapes))
        for table, key in shapes:
            body += counted(table) + counted(column) + counted(type_name) + bytes([flags])
            body += struct.pack("<H", len(key))
            body += b"".join(counted(k) + counted("ANY") + counted("BINARY") for k in key)
        self.add(1, body)

    def segment(self, change, rows, blocks):
        body = counted(ID) + struct.pack("<HQ", change, rows) + counted("at " + str(change))
        body += b"\x00" + struct.pack("<I", len(blocks))
        ordinal = struct.pack("<I", len(self.files))
        body += b3(ordinal + self.previous + DIGEST + body)
        self.add(2, body + b"".join(blocks))

    def manifest(self, segments, rows):
        size = sum(map(len, self.files))
        body = counted(ID) + struct.pack("<IQH", segments, size, len(rows))
        body += b"".join(struct.pack("<Q", n) for n in rows)
        self.add(3, body + struct.pack("<H", 1) + counted("by") + counted("deltas.py"))


def integer(n):
    return {"integer": str(n)}


def text(t):
    return {"text": t.hex()}


def ulid(n):
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    return "".join(digits[n >> 5 * i & 31] for i in range(25, -1, -1)).encode()


def uuid(n):
    h = f"{n:032x}"
    return "-".join([h[:8], h[8:12], h[12:16], h[16:20], h[20:]]).encode()


def value(datum):
    """A value as keys are hashed and bounds are written."""
    tag, content = datum
    if tag == 1:
        return b"\x01" + struct.pack("<q", content)
    if tag == 2:
        return b"\x02" + struct.pack("<d", content)
    return bytes([tag]) + struct.pack("<Q", len(content)) + content


def implied(keys):
    """What stands for the keys of a range, and what a reader must find."""
    encoded = [b"".join(map(value, key)) for key in keys]
    hasher = blake3.blake3(derive_key_context="dotfill 2026-11 implied keys v1")
    hasher.update(b"".join(encoded))
    digest = hasher.digest()
    told = {"first": encoded[0].hex(), "last": encoded[-1].hex(), "digest": digest.hex()}
    return counted(encoded[0]) + counted(encoded[-1]) + digest, told


def implied_blocks():
    """Keys that are not shipped, of every kind: all rows have a value, or some have none."""
    kinds = [
        (0, [[(1, i * 3 - 7)] for i in range(20)]),
        (1, [[(3, ulid(0x0190 << 112 | i * 3**50))] for i in range(20)]),
        (2, [[(2, i / 4), (4, bytes([i]) * i)] for i in range(20)]),
    ]
    made, told = [[], [], []], []
    for change, keys in kinds:
        for runs in [(), ((0, 1),), ((3, 2), (1, 4), (9, 1)), ((20, 300),)]:
            places, at = [], 0
            for gap, length in runs:
                places.append([at + gap, at + gap + length])
                at += gap + length
            absent = sum(end - start for start, end in places)
            more = keys
            if absent > 100:
                # The digest is opaque to a reader: it need not be of as many keys.
                more = keys[:1] + keys[-1:]
            bounds, block_told = implied(more)
            count = 20 - absent if absent < 20 else 20
            values = [b"v%d" % i for i in range(count)]
            column_of_values = column(3, dictionary(values))
            made[change].append(block(count, [column_of_values], bounds, runs))
            block_told["values"] = [text(v) for v in values]
            told.append({"change": change, **block_told, "absent": places})
    return made, told


def integer_keys():
    """Every layout of numbers, a template, a dictionary; 300 rows: more than one group."""
    blocks, rows = [], []
    for layout in range(4):
        keys = [signed(i * i * 7919 - 5 + layout * 2**60) for i in range(300)]
        a, b = [i * 37 % 1000 for i in range(300)], [i % 100 for i in range(300)]
        values = [b"u%d-%02d." % pair for pair in zip(a, b)]
        key = column(1, numbers(keys, layout, squeezed if layout == 2 else stored))
        value = column(3, template([b"u", b"-", b"."], [0, 2], [a, b]))
        blocks.append(block(300, [key, value]))
        rows += [([integer(k)], text(v)) for k, v in zip(keys, values)]
    return blocks, rows


def text_keys():
    """Every codec of texts as keys; values with NULLs."""
    identifiers = [0x0190_0000_0000_0000_0000_0000_0000_0000 + i * 3**50 for i in range(9)]
    words = [b"", b"app", b"apple", b"apple pie", b"apricot", b"\xff\x00", b"b", b"b", b"bb"]
    keys = [
        (list(map(ulid, identifiers)), ids(0, identifiers)),
        (list(map(uuid, identifiers)), ids(2, identifiers)),
        (words, prefixes(words)),
        (words, b"\x00" + plain(words, 3, squeezed)),
        (words, dictionary(words)),
    ]
    blocks, rows = [], []
    for names, body in keys:
        present = [i % 3 != 1 for i in range(9)]
        values = [b"v%d" % i for i in range(9)]
        kept = [v for v, p in zip(values, present) if p]
        value = with_nulls(present, 3, dictionary(kept))
        blocks.append(block(9, [column(3, body), value]))
        rows += [([text(k)], text(v) if p else NULL) for k, v, p in zip(names, values, present)]
    return blocks, rows


def mixed_keys():
    """Two key columns, several storage classes in one column."""
    doubles, blobs = [1.5, float("-inf")], [bytes(range(16)), bytes(16)]
    wide = ids(6, [int.from_bytes(b, "big") for b in blobs])
    first = several([2, 1, 4, 2, 4], [numbers([-1]), reals(doubles), wide])
    second = column(1, numbers([1, 2, 3, 4, 5], 1))
    nothing = with_nulls([False] * 5, 0, b"")
    bits = [{"real": struct.pack(">d", d).hex()} for d in doubles]
    a = [bits[0], integer(-1), {"blob": blobs[0].hex()}, bits[1], {"blob": blobs[1].hex()}]
    rows = [([k, integer(i + 1)], NULL) for i, k in enumerate(a)]
    return [block(5, [first, second, nothing])], rows


def main():
    chain, rows, counts = Chain(), [], []
    chain.header([("machines", ["id"]), ("events", ["id"]), ("parts", ["a", "b"])])
    for change, (blocks, made) in enumerate([integer_keys(), text_keys(), mixed_keys()]):
        chain.segment(change, len(made), blocks)
        counts.append(len(made))
        rows += [{"change": change, "key": key, "value": value} for key, value in made]
    chain.manifest(3, counts)
    lines = ",\n".join(json.dumps(row) for row in rows)
    stream = b"".join(chain.files).hex()
    sys.stdout.write(f'{{"stream": "{stream}",\n"rows": [\n{lines}\n],\n')
    sys.stdout.write(f'"implied": {implied_chain()},\n')
    sys.stdout.write(f'"sets": {set_chain()}}}\n')


def rank(element):
    """The order of the elements of a set; Python compares int and float exactly."""
    tag, content = element
    if tag == 1:
        return (0, content, 0, 0)
    if tag == 2:
        return (0, content, 1, struct.pack("<d", content) != struct.pack("<d", -0.0))
    return (tag, content)


def set_column(sets):
    """How many elements each set has, then all of them, class by class."""
    elements = [element for each in sets for element in each]
    codes, bodies = sorted({tag for tag, _ in elements}), []
    for code in codes:
        values = [content for tag, content in elements if tag == code]
        if code == 1:
            bodies.append(numbers(values, 1))
        elif code == 2:
            bodies.append(reals(values))
        else:
            bodies.append(dictionary(values) if code == 3 else b"\x00" + plain(values))
    counts = numbers([len(each) for each in sets], 3)
    if not codes:
        return counts + column(0, b"")
    if len(codes) == 1:
        return counts + column(codes[0], bodies[0])
    return counts + several([tag for tag, _ in elements], bodies)


def sets_of_words():
    words = [b"", b"blue", b"late", b"urgent", b"vip", "u\u00e9".encode(), b"\xff"]
    return [[(3, w) for j, w in enumerate(words) if i * 37 >> j & 1] for i in range(200)]


def sets_of_everything():
    return [
        [(1, 7), (3, b"a"), (4, b""), (4, b"\x00\x01"), (2, 0.5), (2, -0.5), (1, -(2**63))],
        [],
        [(2, 1.0), (1, 1), (2, float("-inf")), (2, float("inf")), (2, -0.0), (2, 0.0), (1, 0)],
        [(1, 2**63 - 1), (2, 2.0**63), (2, -(2.0**63)), (1, -(2**63))],
    ]


def set_chain():
    """A chain of sets, one without any element; each change has one block."""
    kinds = [
        ([[(3, b"p%03d" % i)] for i in range(200)], sets_of_words()),
        ([[(1, i), (4, bytes(i))] for i in range(4)], sets_of_everything()),
        ([[(1, i * i)] for i in range(3)], [[], [], []]),
    ]
    chain, rows = Chain(), []
    shapes = [("projects", ["id"]), ("parts", ["a", "b"]), ("empty", ["id"])]
    chain.header(shapes, "tags", "json", 2)
    for change, (keys, sets) in enumerate(kinds):
        sets = [sorted(each, key=rank) for each in sets]
        columns = []
        for parts in zip(*keys):
            code, values = parts[0][0], [content for _, content in parts]
            body = numbers(values) if code == 1 else b"\x00" + plain(values)
            columns.append(column(code, body))
        block_of_all = block(len(keys), [*columns, set_column(sets)])
        chain.segment(change, len(keys), [block_of_all])
        for key, each in zip(keys, sets):
            made = b"".join(map(value, each)).hex()
            rows.append({"change": change, "key": b"".join(map(value, key)).hex(), "value": made})
    chain.manifest(3, [len(keys) for keys, _ in kinds])
    lines = ",\n".join(json.dumps(row) for row in rows)
    return f'{{"stream": "{b"".join(chain.files).hex()}",\n"rows": [\n{lines}\n]}}'


def implied_chain():
    """A chain of its own, so that the first one stays as it was."""
    chain, counts = Chain(), [0, 0, 0]
    chain.header([("machines", ["id"]), ("events", ["id"]), ("parts", ["a", "b"])])
    made, told = implied_blocks()
    for b in told:
        counts[b["change"]] += len(b["values"])
    for change, blocks in enumerate(made):
        chain.segment(change, counts[change], blocks)
    chain.manifest(3, counts)
    lines = ",\n".join(json.dumps(b) for b in told)
    return f'{{"stream": "{b"".join(chain.files).hex()}",\n"blocks": [\n{lines}\n]}}'


main()
