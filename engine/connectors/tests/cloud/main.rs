//! Proofs of the connectors: the client against raw sockets, sends and webhooks against the sandbox, and the
//! parser against shapes of Meta's reference.

#[cfg(test)]
mod account;
#[cfg(test)]
mod beside;
#[cfg(test)]
mod cause;
#[cfg(test)]
mod client;
#[cfg(test)]
mod codes;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod document;
#[cfg(test)]
mod guard;
#[cfg(test)]
mod media;
#[cfg(test)]
mod page;
#[cfg(test)]
mod parse;
mod proof;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod send;
#[cfg(test)]
mod upload;
#[cfg(test)]
mod webhook;
