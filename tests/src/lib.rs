//! Proofs of Kabar: what the proofs share (the oracle, the audit, the people, the waiting, a Cassandra of their own),
//! and the kill proof behind the binary `prove`. Not a part of the product.

pub mod audit;
pub mod cassandra;
pub mod fuzz;
pub mod oracle;
pub mod people;
pub mod prove;
pub mod wait;
