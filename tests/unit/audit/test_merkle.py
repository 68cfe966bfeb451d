from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    frontier_at,
    inclusion_proof,
    is_consistent,
    leaf_hash,
    root_of_inclusion,
)

SIZES = st.integers(min_value=1, max_value=600)
LEAVES = [leaf_hash(b"entry %d" % number) for number in range(600)]


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162 section 2.1.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def nodes(level: int, index: int) -> bytes:
    return naive_root(LEAVES[index << level : index + 1 << level])


def test_known_answers_of_rfc_6962_test_vectors() -> None:
    # The vectors of certificate-transparency-go's merkle tests: the eight leaves and their roots.
    entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT
    for entry in entries:
        frontier.append(leaf_hash(bytes.fromhex(entry)))
    assert frontier.root().hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(SIZES)
def test_frontier_has_the_naive_root_at_every_size(size: int) -> None:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf)
    assert frontier.root() == naive_root(LEAVES[:size])
    assert frontier_at(size, nodes).root() == frontier.root()


@given(SIZES, st.data())
def test_inclusion_proofs_lead_to_the_root_and_to_no_other(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, nodes)
    root = naive_root(LEAVES[:size])
    assert root_of_inclusion(index, size, LEAVES[index], proof) == root
    assert root_of_inclusion(index, size, leaf_hash(b"forged"), proof) != root
    if size > 1:
        other = data.draw(st.integers(0, size - 1).filter(lambda number: number != index))
        assert root_of_inclusion(other, size, LEAVES[index], proof) != root
        assert root_of_inclusion(index, size, LEAVES[index], proof[:-1]) != root
    assert root_of_inclusion(index, size, LEAVES[index], [*proof, LEAVES[0]]) != root


@given(SIZES, st.data())
def test_consistency_proofs_hold_for_prefixes_and_for_nothing_else(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    proof = consistency_proof(old, new, nodes)
    old_root, new_root = naive_root(LEAVES[:old]), naive_root(LEAVES[:new])
    assert is_consistent(old, new, old_root, new_root, proof)
    assert not is_consistent(old, new, naive_root([leaf_hash(b"x"), *LEAVES[1:old]]), new_root, proof)
    assert not is_consistent(old, new, old_root, naive_root([leaf_hash(b"x"), *LEAVES[1:new]]), proof)
    assert not is_consistent(old, new, old_root, new_root, [*proof, new_root])
    if proof:
        assert not is_consistent(old, new, old_root, new_root, proof[1:])
        position = data.draw(st.integers(0, len(proof) - 1))
        forged = [leaf_hash(b"x") if at == position else node for at, node in enumerate(proof)]
        assert not is_consistent(old, new, old_root, new_root, forged)


def test_impossible_proofs_are_refused() -> None:
    with pytest.raises(ValueError, match="not among"):
        inclusion_proof(5, 5, nodes)
    for old, new in ((0, 5), (6, 5)):
        with pytest.raises(ValueError, match="no consistency proof"):
            consistency_proof(old, new, nodes)
        assert not is_consistent(old, new, EMPTY_ROOT, EMPTY_ROOT, [])
    with pytest.raises(ValueError, match="perfect subtrees"):
        Frontier(3, [EMPTY_ROOT])
