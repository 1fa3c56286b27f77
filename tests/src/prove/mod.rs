//! The kill proof.
