//! What the proofs of Kabar share: starting a node and a sandbox, driving them, reading what they say. Not a part of
//! the product, and no rule: those live in `architecture`.
