#!/usr/bin/env python3
"""Verify a Greffier log without Greffier: Python's standard library and `openssl` only. Read it, then trust it.

    verify_log.py log LOG_DIR KEYS [--journal journal.db | --export events.jsonl] [--kept OLD.note ...]
    verify_log.py proof PROOF.json KEYS

KEYS is a file with one verifier key a line, as the log's operator gave it to you (`greffier audit public-key`).
Formats: RFC 9162 (tree, proofs), c2sp.org/tlog-tiles, c2sp.org/tlog-checkpoint, c2sp.org/signed-note (ECDSA, type 2).
Exit status 0: everything fits. 1: something does not; each line says what and where.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator

FAULTS: list[str] = []
STEP_MS = 60_000


def fault(message: str) -> None:
    FAULTS.append(message)
    print("FAULT", message)


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def push(stack: list[tuple[int, bytes]], node: bytes, height: int = 0) -> None:
    """Add a subtree to the perfect subtrees a tree is made of."""
    while stack and stack[-1][0] == height:
        node, height = node_hash(stack.pop()[1], node), height + 1
    stack.append((height, node))


def whole(row: list[bytes]) -> bytes:
    """Root of a full tile."""
    stack: list[tuple[int, bytes]] = []
    for node in row:
        push(stack, node)
    return root(stack)


def root(stack: list[tuple[int, bytes]]) -> bytes:
    result = stack[-1][1] if stack else hashlib.sha256().digest()
    for _, node in reversed(stack[:-1]):
        result = node_hash(node, result)
    return result


def open_note(name: str, note: str, keys: dict[tuple[str, bytes], bytes]) -> tuple[str, int, bytes, int] | None:
    """Origin, size, root and time of a checkpoint that a known key signed."""
    text, _, block = note.rpartition("\n\n")
    text += "\n"
    good = False
    for line in block.strip("\n").split("\n"):
        dash, signer, encoded = (line.split(" ") + ["", "", ""])[:3]
        raw = base64.b64decode(encoded)
        key = keys.get((signer, raw[:4]))
        if dash == "\N{EM DASH}" and key:
            if not openssl_verifies(key, text.encode(), raw[4:]):
                fault(f"{name}: the signature of {signer} does not verify")
                return None
            good = True
    if not good:
        fault(f"{name}: no known key signed it")
        return None
    origin, size, root_hash, *more = text.split("\n")
    time = [int(line.split(" ")[1]) for line in more if line.startswith("greffier-time-ms ")]
    return origin, int(size), base64.b64decode(root_hash), time[0]


def openssl_verifies(key_der: bytes, text: bytes, signature: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        key, sig = pathlib.Path(folder, "key.pem"), pathlib.Path(folder, "sig")
        pem = base64.encodebytes(key_der).decode()
        key.write_text(f"-----BEGIN PUBLIC KEY-----\n{pem}-----END PUBLIC KEY-----\n")
        sig.write_bytes(signature)
        command = ["openssl", "dgst", "-sha256", "-verify", str(key), "-signature", str(sig)]
        return subprocess.run(command, input=text, capture_output=True, check=False).returncode == 0


def load_keys(path: str) -> dict[tuple[str, bytes], bytes]:
    keys = {}
    for line in pathlib.Path(path).read_text().split():
        name, _, encoded = line.split("+", 2)
        der = base64.b64decode(encoded)[1:]
        keys[name, hashlib.sha256(der).digest()[:4]] = der
    return keys


def tile(log: pathlib.Path, level: int | str, index: int, width: int) -> bytes:
    name = f"{index % 1000:03d}"
    while index := index // 1000:
        name = f"x{index % 1000:03d}/{name}"
    for path in (log / f"tile/{level}/{name}.p/{width}", log / f"tile/{level}/{name}"):
        if path.is_file():
            return path.read_bytes()
    fault(f"tile/{level}/{name} is missing")
    return b""


def hashes_of(log: pathlib.Path, level: int, index: int, width: int) -> list[bytes]:
    data = tile(log, level, index, width)
    if len(data) < width * 32 or len(data) % 32:
        fault(f"tile {level}/{index} has {len(data)} bytes instead of {width * 32}")
    return [data[at : at + 32] for at in range(0, width * 32, 32)]


def entries_of(log: pathlib.Path, index: int, width: int) -> list[bytes]:
    data, entries = tile(log, "entries", index, width), []
    while data:
        end = 2 + int.from_bytes(data[:2], "big")
        entries.append(data[2:end] if end <= len(data) else b"")
        data = data[end:]
    return (entries + [b""] * width)[:width]


def rows_of(options: argparse.Namespace) -> Iterator[tuple[int, bytes]]:
    """(seq, bytes) of each event in the journal, or in an export of it."""
    if options.journal:
        database = sqlite3.connect(pathlib.Path(options.journal).resolve().as_uri() + "?mode=ro", uri=True)
        yield from database.execute("SELECT seq, CAST(data AS BLOB) FROM event ORDER BY seq")
    elif options.export:
        with open(options.export, encoding="utf-8") as lines:
            for record in map(json.loads, lines):
                text = json.dumps(record["event"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
                yield record["seq"], text.encode()


def lift(log: pathlib.Path, above: dict[int, list[bytes]], level: int, seq: int, node: bytes) -> None:
    """Add the root of a full tile to the row above it; compare a row with its tile when it is full."""
    row = above.setdefault(level, [])
    row.append(node)
    if len(row) == 256:
        compare(log, level, (seq >> 8 * (level + 1)) - 1, row)
        above[level] = []
        lift(log, above, level + 1, seq, whole(row))


def compare(log: pathlib.Path, level: int, index: int, row: list[bytes]) -> None:
    if row and hashes_of(log, level, index, len(row)) != row:
        fault(f"tile {level}/{index} does not hold the roots of the tiles below it")


def load_heads(options: argparse.Namespace, log: pathlib.Path) -> list[tuple[str, tuple[str, int, bytes, int]]]:
    """All checkpoints, those kept elsewhere first, the newest last; none when one of them is not in order."""
    keys = load_keys(options.keys)
    own = [*sorted(log.glob("checkpoints/*.note")), log / "checkpoint"]
    heads = []
    for path in [*map(pathlib.Path, options.kept), *own]:
        head = open_note(path.name, path.read_text(errors="replace"), keys) if path.is_file() else None
        if head is None:
            fault(f"{path.name} is missing or invalid")
            return []
        heads.append((path.name, head))
    last = heads[-1][1]
    for (_, before), (name, after) in zip(heads[len(options.kept) :], heads[len(options.kept) + 1 :]):
        if after[3] < before[3] or after[1] < before[1]:
            fault(f"{name} is older than the checkpoint before it: the clock or the log went back")
    for name, head in heads:
        if head[0] != last[0] or head[1] > last[1] or head[3] > last[3]:
            fault(f"{name} is of another log, or signs more or later than the newest checkpoint")
    return heads


def verify_log(options: argparse.Namespace) -> None:
    log = pathlib.Path(options.log)
    heads = load_heads(options, log)
    if not heads:
        return
    origin, size, signed, time = heads[-1][1]
    rows = rows_of(options)
    row, stack, above, latest = next(rows, None), [], {}, 0
    for seq in range(size + 1):  # `stack` holds the tree of the first `seq` events
        for name, head in heads:
            if head[1] == seq and root(stack) != head[2]:
                fault(f"the first {seq} events do not have the root that {name} signs")
        if seq == size:
            break
        if seq % 256 == 0:
            width = min(256, size - seq)
            leaves, entries = hashes_of(log, 0, seq // 256, width), entries_of(log, seq // 256, width)
        leaf, entry = leaves[seq % 256], entries[seq % 256]
        if leaf_hash(entry) != leaf:
            fault(f"event {seq + 1} in its entry bundle is not the one that was sealed")
        if row is None or row[0] != seq + 1:
            if options.journal:  # an export may be a part
                fault(f"event {seq + 1} was sealed but is missing from the journal")
        else:
            if leaf_hash(row[1]) != leaf:
                fault(f"event {seq + 1} in the journal is not the one that was sealed")
            row = next(rows, None)
        push(stack, leaf)
        latest = check_clock(seq + 1, entry, latest)
        if seq % 256 == 255:
            lift(log, above, 1, seq + 1, whole(leaves))
    for level, nodes in above.items():
        compare(log, level, size >> 8 * (level + 1), nodes)
    unsealed = 0
    while row:
        unsealed += 1
        if row[0] != size + unsealed and options.journal:
            return fault(f"event {size + unsealed} is missing from the journal")
        latest = check_clock(row[0], row[1], latest)
        row = next(rows, None)
    print(f"log {origin} size {size} root {base64.b64encode(signed).decode()} time {time} unsealed {unsealed}")


def check_clock(seq: int, entry: bytes, latest: int) -> int:
    """Warn, without failing, when an event is dated long before one that precedes it."""
    try:
        ts = int(json.loads(entry)["ts"])
    except (ValueError, KeyError, TypeError):
        return latest
    if ts < latest - STEP_MS:
        print(
            f"WARNING event {seq} is dated {(latest - ts) // 1000} s before one that precedes it: the clock went back"
        )
        return ts
    return max(ts, latest)


def verify_proof(options: argparse.Namespace) -> None:
    """RFC 9162 section 2.1.3.2."""
    proof = json.loads(pathlib.Path(options.proof).read_text())
    head = open_note("checkpoint", proof["checkpoint"], load_keys(options.keys))
    if head is None:
        return
    at, last, node = proof["seq"] - 1, head[1] - 1, leaf_hash(proof["event"].encode())
    if not 0 <= at <= last:
        return fault(f"the checkpoint does not cover event {proof['seq']}")
    for sibling in map(base64.b64decode, proof["path"]):
        if last == 0:
            return fault("the proof is too long")
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    if last or node != head[2]:
        return fault("the proof does not lead from the event to the signed root")
    print(f"event {proof['seq']} is in log {head[0]} of size {head[1]}, signed at {head[3]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    log = commands.add_parser("log")
    log.add_argument("log")
    log.add_argument("keys")
    log.add_argument("--journal")
    log.add_argument("--export")
    log.add_argument("--kept", nargs="*", default=[])
    log.set_defaults(run=verify_log)
    proof = commands.add_parser("proof")
    proof.add_argument("proof")
    proof.add_argument("keys")
    proof.set_defaults(run=verify_proof)
    options = parser.parse_args()
    options.run(options)
    print("FAILED" if FAULTS else "OK")
    return 1 if FAULTS else 0


if __name__ == "__main__":
    sys.exit(main())
