//! What a host name means. The system is asked; a test may tell instead. Not whether it may be connected to.

use futures::future::BoxFuture;
use std::io;
use std::net::SocketAddr;

/// Finds the addresses of a host.
pub trait Resolve: Send + Sync {
    /// The addresses, in the order in which they are tried. `host` is a name or an address as text, IPv6 without
    /// brackets.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}

/// The system's resolver: its files, its name servers, and every spelling of an address it knows.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}
