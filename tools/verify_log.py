#!/usr/bin/env python3
"""Verify a Greffier log without Greffier: Python's standard library and `openssl` only. Read it, then trust it.

    verify_log.py log LOG_DIR KEYS [--journal journal.db | --export events.jsonl] [--kept OLD.note ...]
    verify_log.py proof PROOF.json KEYS
    verify_log.py witnessed NOTE KEYS --witnesses WITNESS_KEYS [--need 2]

KEYS is a file with one verifier key a line, as the log's operator gave it to you (`greffier audit public-key`).
Formats: RFC 9162 (tree, proofs), c2sp.org/tlog-tiles, c2sp.org/tlog-checkpoint, c2sp.org/signed-note (ECDSA, type 2),
c2sp.org/tlog-cosignature (Ed25519, type 4).
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
from itertools import pairwise
from typing import NamedTuple

WIDTH = 256  # hashes in a full tile
Keys = dict[tuple[str, bytes], bytes]  # name and key id: key
faults: list[str] = []


class Head(NamedTuple):
    """What a checkpoint signs."""

    name: str
    origin: str
    size: int
    root: bytes
    time_ms: int


class Fatal(Exception):  # noqa: N818 - nothing can be compared any further
    """Ends the verification."""


def leaf_hash(entry: bytes) -> bytes:
    """RFC 9162 section 2.1.1, as the next."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of two subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """The perfect subtrees that the leaves so far form, largest first, each with its height."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.parts: list[tuple[int, bytes]] = []
        for leaf in leaves:
            self.add(leaf)

    def add(self, node: bytes) -> None:
        """Append a leaf; subtrees of equal height join."""
        height = 0
        while self.parts and self.parts[-1][0] == height:
            node, height = node_hash(self.parts.pop()[1], node), height + 1
        self.parts.append((height, node))

    def root(self) -> bytes:
        """Merkle tree hash."""
        result = self.parts[-1][1] if self.parts else hashlib.sha256().digest()
        for _, node in reversed(self.parts[:-1]):
            result = node_hash(node, result)
        return result


def load_keys(path: str) -> Keys:
    """Verifier keys, ``name+hash+base64(type || SubjectPublicKeyInfo)``."""
    parts = [line.split("+", 2) for line in pathlib.Path(path).read_text(encoding="ascii").split()]
    keys = [(name, base64.b64decode(encoded)[1:]) for name, _, encoded in parts]
    return {(name, hashlib.sha256(key).digest()[:4]): key for name, key in keys}


def signed(key: bytes, text: bytes, signature: bytes) -> bool:
    """Whether openssl accepts the signature."""
    with tempfile.TemporaryDirectory() as folder:
        pem, sig = pathlib.Path(folder, "key.pem"), pathlib.Path(folder, "sig")
        encoded = base64.encodebytes(key).decode()
        pem.write_text(f"-----BEGIN PUBLIC KEY-----\n{encoded}-----END PUBLIC KEY-----\n", encoding="ascii")
        sig.write_bytes(signature)
        command = ["openssl", "dgst", "-sha256", "-verify", str(pem), "-signature", str(sig)]
        return subprocess.run(command, input=text, capture_output=True, check=False).returncode == 0


def open_note(name: str, note: str, keys: Keys) -> Head:
    """The checkpoint in a note that a known key signed; signatures of others are passed over."""
    text, _, block = note.rpartition("\n\n")
    lines = [line.split(" ") for line in block.split("\n") if line.count(" ") == 2]  # noqa: PLR2004 - dash, name, signature
    raw = [(signer, base64.b64decode(encoded)) for _, signer, encoded in lines]
    ours = [(keys[signer, data[:4]], data[4:]) for signer, data in raw if (signer, data[:4]) in keys]
    if not ours or not all(signed(key, f"{text}\n".encode(), signature) for key, signature in ours):
        raise Fatal(f"{name} is not signed by a known key, or not as it stands")
    origin, size, root, *more = text.split("\n")
    time_ms = next(line.split(" ")[1] for line in more if line.startswith("greffier-time-ms "))
    return Head(name, origin, int(size), base64.b64decode(root), int(time_ms))


def load_heads(options: argparse.Namespace) -> list[Head]:
    """All checkpoints; the newest, which must sign no less and no earlier than any other, last."""
    log, keys = pathlib.Path(options.log), load_keys(options.keys)
    paths = [*map(pathlib.Path, options.kept), *sorted(log.glob("checkpoints/*.note")), log / "checkpoint"]
    if not paths[-1].is_file():
        raise Fatal("the newest checkpoint is missing")
    heads = [open_note(path.name, path.read_text(encoding="utf-8", errors="replace"), keys) for path in paths]
    own = heads[len(options.kept) :]
    for before, after in [*pairwise(own), *((head, heads[-1]) for head in heads)]:
        if before.origin != after.origin or before.size > after.size or before.time_ms > after.time_ms:
            faults.append(f"{before.name} is of another log, or signs more or later than {after.name}")
    return heads


def tile(log: pathlib.Path, level: int | str, index: int, width: int) -> bytes:
    """A tile or entry bundle; where the partial one is gone, the full one holds its hashes first."""
    name, rest = f"{index % 1000:03d}", index // 1000
    while rest:
        name, rest = f"x{rest % 1000:03d}/{name}", rest // 1000
    for path in (log / f"tile/{level}/{name}.p/{width}", log / f"tile/{level}/{name}"):
        if path.is_file():
            return path.read_bytes()
    raise Fatal(f"tile/{level}/{name} is missing")


def hashes(log: pathlib.Path, level: int, index: int, width: int) -> list[bytes]:
    """The first ``width`` hashes of a tile."""
    data = tile(log, level, index, width)
    if len(data) % 32 or len(data) < width * 32:
        raise Fatal(f"tile {level}/{index} has {len(data)} bytes instead of {width * 32}")
    return [data[at : at + 32] for at in range(0, width * 32, 32)]


def entries(log: pathlib.Path, index: int, width: int) -> list[bytes]:
    """The first ``width`` entries of a bundle, each with its length before it."""
    data = tile(log, "entries", index, width)
    found: list[bytes] = []
    while data and len(found) < width:
        size = int.from_bytes(data[:2], "big")
        found.append(data[2 : 2 + size])
        data = data[2 + size :]
    return found + [b""] * (width - len(found))


def rows(options: argparse.Namespace) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each event in the journal, or in an export of it."""
    if options.journal:
        database = sqlite3.connect(pathlib.Path(options.journal).resolve().as_uri() + "?mode=ro", uri=True)
        yield from database.execute("SELECT seq, CAST(data AS BLOB) FROM event ORDER BY seq")
    elif options.export:
        with pathlib.Path(options.export).open(encoding="utf-8") as lines:
            for record in map(json.loads, lines):
                text = json.dumps(record["event"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
                yield record["seq"], text.encode()


def sealed_events(log: pathlib.Path, size: int, tile_roots: list[bytes]) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, leaf hash and bytes of each sealed event, from the tiles; notes the root of each full tile."""
    for start in range(0, size, WIDTH):
        width = min(WIDTH, size - start)
        leaves = hashes(log, 0, start // WIDTH, width)
        yield from zip(range(start + 1, size + 1), leaves, entries(log, start // WIDTH, width), strict=False)
        if width == WIDTH:
            tile_roots.append(Tree(leaves).root())


def check_roots(heads: list[Head], tree: Tree) -> None:
    """Whether the checkpoints of this size signed this tree."""
    wrong = [head for head in heads if head.root != tree.root()]
    faults.extend(f"the first {head.size} events do not have the root that {head.name} signs" for head in wrong)


def verify_log(options: argparse.Namespace) -> str:
    """Bundles, tiles and journal against each other, and the tree against every signed root."""
    heads, log, tree, tile_roots = load_heads(options), pathlib.Path(options.log), Tree([]), list[bytes]()
    compared, size = rows(options), heads[-1].size
    of_size: dict[int, list[Head]] = {}
    for head in heads:
        of_size.setdefault(head.size, []).append(head)
    row, latest, unsealed = next(compared, None), 0, 0
    check_roots(of_size.get(0, []), tree)
    for seq, leaf, entry in sealed_events(log, size, tile_roots):
        if leaf_hash(entry) != leaf:
            faults.append(f"event {seq} in its entry bundle is not the one that was sealed")
        if row and row[0] == seq:
            if leaf_hash(row[1]) != leaf:
                faults.append(f"event {seq} in the journal is not the one that was sealed")
            row = next(compared, None)
        elif options.journal:  # an export may be a part
            faults.append(f"event {seq} was sealed but is missing from the journal")
        latest = check_clock(seq, entry, latest)
        tree.add(leaf)
        check_roots(of_size.get(seq, []), tree)
    check_upper_tiles(log, tile_roots)
    while row:
        unsealed += 1
        if options.journal and row[0] != size + unsealed:
            raise Fatal(f"event {size + unsealed} is missing from the journal")
        latest = check_clock(row[0], row[1], latest)
        row = next(compared, None)
    root = base64.b64encode(heads[-1].root).decode()
    return f"log {heads[-1].origin} size {size} root {root} time {heads[-1].time_ms} unsealed {unsealed}"


def check_upper_tiles(log: pathlib.Path, row: list[bytes]) -> None:
    """Each hash above is the root of the full tile below it."""
    level = 1
    while row:
        chunks = [row[at : at + WIDTH] for at in range(0, len(row), WIDTH)]
        for index, chunk in enumerate(chunks):
            if hashes(log, level, index, len(chunk)) != chunk:
                faults.append(f"tile {level}/{index} does not hold the roots of the tiles below it")
        level, row = level + 1, [Tree(chunk).root() for chunk in chunks if len(chunk) == WIDTH]


def check_clock(seq: int, entry: bytes, latest: int) -> int:
    """Point out, without failing, an event dated over a minute before one that precedes it."""
    try:
        ts = int(json.loads(entry)["ts"])
    except (ValueError, KeyError, TypeError):
        return latest
    if ts < latest - 60_000:
        print(f"WARNING event {seq} is dated {(latest - ts) // 1000} s before an event that precedes it")
        return ts
    return max(ts, latest)


def verify_proof(options: argparse.Namespace) -> str:
    """One event's way up to a signed root, RFC 9162 section 2.1.3.2."""
    proof = json.loads(pathlib.Path(options.proof).read_text(encoding="utf-8"))
    head = open_note("checkpoint", proof["checkpoint"], load_keys(options.keys))
    at, last, node = proof["seq"] - 1, head.size - 1, leaf_hash(proof["event"].encode())
    for sibling in map(base64.b64decode, proof["path"]):
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    if at or last or node != head.root:
        raise Fatal(f"the proof does not lead from event {proof['seq']} to the signed root")
    return f"event {proof['seq']} is in log {head.origin} of size {head.size}, signed at {head.time_ms}"


def cosigned(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether openssl accepts an Ed25519 signature."""
    with tempfile.TemporaryDirectory() as folder:
        der, text, sig = (pathlib.Path(folder, name) for name in ("key", "text", "sig"))
        der.write_bytes(bytes.fromhex("302a300506032b6570032100") + key)  # SubjectPublicKeyInfo of RFC 8410
        text.write_bytes(message)
        sig.write_bytes(signature)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", str(der), "-rawin"]
        done = subprocess.run([*command, "-in", str(text), "-sigfile", str(sig)], capture_output=True, check=False)
        return done.returncode == 0


def verify_witnessed(options: argparse.Namespace) -> str:
    """Whether the log signed a checkpoint and enough witnesses cosigned it."""
    note = pathlib.Path(options.witnessed).read_text(encoding="utf-8")
    head = open_note(options.witnessed, note, load_keys(options.keys))
    lines = pathlib.Path(options.witnesses).read_text(encoding="ascii").split()
    keys = {line.split("+", 2)[0]: base64.b64decode(line.split("+", 2)[2])[1:] for line in lines}
    text, _, block = note.rpartition("\n\n")
    found = set[bytes]()
    for name, encoded in (line.split(" ")[1:] for line in block.split("\n") if line.count(" ") == 2):  # noqa: PLR2004
        raw, key = base64.b64decode(encoded), keys.get(name)
        if key is None or raw[:4] != hashlib.sha256(name.encode() + b"\n\x04" + key).digest()[:4]:
            continue
        message = f"cosignature/v1\ntime {int.from_bytes(raw[4:12], 'big')}\n{text}\n".encode()
        if not cosigned(key, message, raw[12:]):
            raise Fatal(f"the cosignature of {name} does not verify")
        found.add(key)
    if len(found) < options.need:
        raise Fatal(f"{len(found)} of {len(keys)} witnesses cosigned, {options.need} are needed")
    return f"log {head.origin} size {head.size} cosigned by {len(found)}"


def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run in (("log", verify_log), ("proof", verify_proof), ("witnessed", verify_witnessed)):
        command = commands.add_parser(name)
        command.add_argument(name)
        command.add_argument("keys")
        command.set_defaults(run=run)
    commands.choices["log"].add_argument("--journal")
    commands.choices["log"].add_argument("--export")
    commands.choices["log"].add_argument("--kept", nargs="*", default=[])
    commands.choices["witnessed"].add_argument("--witnesses", required=True)
    commands.choices["witnessed"].add_argument("--need", type=int, default=1)
    options = parser.parse_args()
    try:
        print(options.run(options))
    except (Fatal, ValueError, KeyError, StopIteration, sqlite3.Error, OSError) as error:
        faults.append(str(error) or repr(error))
    for fault in faults:
        print("FAULT", fault)
    print("FAILED" if faults else "OK")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
