//! Proofs of Kabar: what the proofs share (the oracle, the audit, the people, the waiting, a Cassandra of their own,
//! a gate that can be shut),
//! and the kill proof behind the binary `prove`. Not a part of the product.

pub mod audit;
pub mod cassandra;
pub mod fuzz;
pub mod gate;
pub mod oracle;
pub mod people;
pub mod prove;
pub mod wait;
