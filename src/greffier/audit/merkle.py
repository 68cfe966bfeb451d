"""The Merkle tree of RFC 9162 section 2.1 over SHA-256: roots, proofs and their verification. No I/O.

A *node* is the root of a perfect subtree, named by its level (0 = leaves) and its index within the level. Whoever can
read nodes (`Nodes`) can prove anything about the tree; `greffier.audit.tiles` reads them from files.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

Nodes = Callable[[int, int], bytes]
"""Returns the node at (level, index): the hash over leaves ``[index << level, (index + 1) << level)``."""

EMPTY_ROOT = sha256(b"").digest()
HASH_BYTES = 32


def leaf_hash(entry: bytes) -> bytes:
    """Hash of a leaf: the prefix 0x00 keeps leaves and nodes apart (second preimages, RFC 9162 section 2.1.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the perfect subtrees a tree is made of, largest first: enough to append and to know the root."""

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        self.size = size
        self._nodes = list(nodes)
        if len(self._nodes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} perfect subtrees, not {len(self._nodes)}")

    def append(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        carry = self.size
        while carry & 1:  # equal neighbours merge, like carrying in binary addition
            leaf = node_hash(self._nodes.pop(), leaf)
            carry >>= 1
        self._nodes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Merkle Tree Hash of all leaves so far."""
        if not self._nodes:
            return EMPTY_ROOT
        root = self._nodes[-1]
        for node in reversed(self._nodes[:-1]):
            root = node_hash(node, root)
        return root


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Root over a power of two of sibling nodes."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def frontier_at(size: int, nodes: Nodes) -> Frontier:
    """The frontier of the first ``size`` leaves, read from the nodes."""
    found = []
    start = 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            found.append(nodes(level, start >> level))
            start += 1 << level
    return Frontier(size, found)


def _split(size: int) -> int:
    """The largest power of two smaller than ``size``: where RFC 9162 divides a tree."""
    return 1 << (size - 1).bit_length() - 1


def _range_root(start: int, end: int, nodes: Nodes) -> bytes:
    size = end - start
    if size & (size - 1) == 0:  # every range met in a proof starts at a multiple of its split
        return nodes(size.bit_length() - 1, start // size)
    middle = start + _split(size)
    return node_hash(_range_root(start, middle, nodes), _range_root(middle, end, nodes))


def inclusion_proof(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """Siblings from leaf ``index`` up to the root of the first ``size`` leaves (RFC 9162 section 2.1.3.1).

    Raises:
        ValueError: The leaf is not in that tree.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not among the first {size}")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(_range_root(middle, end, nodes))
            end = middle
        else:
            proof.append(_range_root(start, middle, nodes))
            start = middle
    proof.reverse()
    return proof


def root_of_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The root a proof leads to, or None when it has the wrong length (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return None
    at, last, root = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return None
        if at & 1 or at == last:
            root = node_hash(sibling, root)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            root = node_hash(root, sibling)
        at >>= 1
        last >>= 1
    return root if last == 0 else None


def consistency_proof(old: int, new: int, nodes: Nodes) -> list[bytes]:
    """What shows that the first ``old`` leaves are a prefix of the first ``new`` (RFC 9162 section 2.1.4.1).

    Raises:
        ValueError: ``old`` is not between 1 and ``new``.
    """
    if not 0 < old <= new:
        raise ValueError(f"there is no consistency proof from {old} to {new} leaves")
    proof: list[bytes] = []
    start, end, whole = 0, new, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(_range_root(middle, end, nodes))
            end = middle
        else:
            proof.append(_range_root(start, middle, nodes))
            start, whole = middle, False
    if not whole:
        proof.append(_range_root(start, end, nodes))
    proof.reverse()
    return proof


def is_consistent(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the old tree is a prefix of the new one (RFC 9162 section 2.1.4.2)."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at >>= 1
        last >>= 1
    old_seen = new_seen = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old_seen = node_hash(sibling, old_seen)
            new_seen = node_hash(sibling, new_seen)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            new_seen = node_hash(new_seen, sibling)
        at >>= 1
        last >>= 1
    return last == 0 and old_seen == old_root and new_seen == new_root
