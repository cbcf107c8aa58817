#!/usr/bin/env python3
"""A second implementation of layout V1, from the description in docs/layout-v1.md alone. It wrote the golden files.

    pip install xxhash blake3
    python3 reference.py            # writes small.txt, zoned.txt, large.txt and tied.txt beside itself

It shares no code with the crate: what the crate's golden test proves is that the two agree.
"""

import bisect
import pathlib
import struct

from blake3 import blake3
from xxhash import xxh3_64_intdigest

MASK = 2**64 - 1


def ring(seed, members):
    """Members are (id, weight, zone or None); returns sorted points [(position, id)]."""
    points_seed = xxh3_64_intdigest(b"clusterluck hashring v1 points", seed)
    points = [
        (xxh3_64_intdigest(name + struct.pack("<I", number), points_seed), name)
        for name, weight, _ in members
        for number in range(weight)
    ]
    return sorted(points)


def token(seed, key):
    return xxh3_64_intdigest(key, xxh3_64_intdigest(b"clusterluck hashring v1 keys", seed))


def replicas(points, position, count):
    """Distinct ids clockwise from the first point at or after the position."""
    start = bisect.bisect_left(points, (position, b""))
    found = []
    for step in range(len(points)):
        name = points[(start + step) % len(points)][1]
        if name not in found:
            found.append(name)
        if len(found) == count:
            break
    return found


def spread(points, zones, position, count):
    """Of all replicas first those of a zone that none before has, then the others."""
    first, others, met = [], [], set()
    for name in replicas(points, position, MASK):
        (others if zones[name] in met else first).append(name)
        met.add(zones[name])
    return (first + others)[:count]


def capacity(weights, name, load, permille):
    return -(-load * weights[name] * (1000 + permille) // (1000 * sum(weights.values())))


def bounded(points, weights, positions, permille):
    """The owner of each of these keys, when each that has one adds to its load."""
    loads = dict.fromkeys(weights, 0)
    for load, position in enumerate(positions, 1):
        names = replicas(points, position, MASK)
        owner = next(name for name in names if loads[name] < capacity(weights, name, load, permille))
        loads[owner] += 1
        yield owner


def table(points, weights, bits, permille):
    room = {name: capacity(weights, name, 2**bits, permille) for name in weights}
    owners = [b""] * 2**bits
    for number in range(2**bits):
        partition = int(f"{number:0{bits}b}"[::-1], 2)
        names = replicas(points, partition << 64 - bits, MASK)
        owners[partition] = next(name for name in names if room[name] > 0)
        room[owners[partition]] -= 1
    return owners


def records(members):
    packed = b""
    for name, weight, zone in sorted(members):
        packed += struct.pack("<H", len(name)) + name + struct.pack("<IB", weight, zone is not None)
        if zone is not None:
            packed += struct.pack("<H", len(zone)) + zone
    return packed


def fingerprint(seed, members):
    head = b"clusterluck hashring" + struct.pack("<IQI", 1, seed, len(members))
    return blake3(head + records(members))


def snapshot(seed, members):
    digest = fingerprint(seed, members).digest()
    return b"CLHR" + struct.pack("<I", 1) + digest + struct.pack("<I", len(members)) + records(members)


def digest(names):
    return blake3(b"".join(struct.pack("<H", len(name)) + name for name in names)).hexdigest()


def keys(count):
    """Deterministic bytes: every length from 0 to 260 first, then the lengths that keys usually have."""
    state = 0x9E3779B97F4A7C15
    for number in range(count):
        length = number if number <= 260 else 8 + number % 56
        key = bytearray()
        while len(key) < length:
            state = (state * 6364136223846793005 + 1442695040888963407) & MASK
            key += struct.pack("<I", state >> 32)
        yield bytes(key[:length])


def write(path, seed, members):
    points = ring(seed, members)
    lines = [f"seed {seed}"]
    lines += [f"node {name.hex()} {weight} {zone.decode() if zone else '-'}" for name, weight, zone in members]
    lines.append(f"fingerprint {fingerprint(seed, members).hexdigest()}")
    packed = b"".join(struct.pack("<Q", position) + name for position, name in points)
    lines.append(f"points {len(points)} {blake3(packed).hexdigest()}")
    for key in keys(1000):
        position = token(seed, key)
        names = " ".join(name.hex() for name in replicas(points, position, 3))
        lines.append(f"key {key.hex() or '-'} {position:016x} {names}")
    if len(members) < 100:
        lines += placed(seed, members, points)
    path.write_text("\n".join(lines) + "\n")


def placed(seed, members, points):
    """What lists of all replicas decide: too slow here for many nodes."""
    positions = [token(seed, key) for key in keys(1000)]
    weights, zones = {name: weight for name, weight, _ in members}, {name: zone for name, _, zone in members}
    spreads = [name for position in positions for name in spread(points, zones, position, 5)]
    yield f"spread 5 {digest(spreads)}"
    yield f"bounded 250 {digest(bounded(points, weights, positions, 250))}"
    yield f"table 8 50 {digest(table(points, weights, 8, 50))}"
    yield f"snapshot {snapshot(seed, members).hex()}"


def tied(seed, number):
    """One of many ids whose points all lie at the same positions. With a point's number they are 32 bytes, of which XXH3
    multiplies the second eight by the sum of the first eight and a constant: here zero."""
    points_seed = xxh3_64_intdigest(b"clusterluck hashring v1 points", seed)
    return struct.pack("<Q", 0xBE4BA423396CFEB8 + points_seed & MASK) + struct.pack(">Q", number) + b"same for all"


def main():
    here = pathlib.Path(__file__).parent
    write(here / "small.txt", 0, [(name, 160, None) for name in (b"ash", b"birch", b"cedar", b"douglas", b"elm")])
    zoned = [(f"node-{n:02}.example:{7000 + n}".encode(), 40 * (n % 6), f"zone-{n % 3}".encode()) for n in range(24)]
    zoned += [(b"", 7, None), (b"\x00\xff", 1, None), (b"l" * 300, 64, b"zone-1")]
    write(here / "zoned.txt", 0x0123456789ABCDEF, zoned)
    write(here / "large.txt", MASK, [(struct.pack(">Q", n), 160, None) for n in range(1000)])
    ties = [(tied(7, number), weight, None) for number, weight in ((3, 5), (1, 9), (2, 12), (4, 40))]
    write(here / "tied.txt", 7, [*ties, (b"ash", 10, None), (b"birch", 10, b"north")])


if __name__ == "__main__":
    main()
