"""Journal port, Merkle log, checkpoints and proofs."""
