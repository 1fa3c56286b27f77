//! The way to the provider in an outage: a relay that closes its port, so that connections are refused, and opens it
//! again. A request that has begun is carried to its end; a connection that is idle is closed. Where a request meets
//! that close, nobody can know what became of it: its reference is kept. It changes nothing in what it carries.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes read at once.
const READ: usize = 16 * 1024;
/// A request that was written when its connection was closed arrives within this.
const LATE: Duration = Duration::from_millis(200);
/// What stands before a reference in a request.
const REFERENCE: &str = "\"biz_opaque_callback_data\":\"";

/// A relay on a port of its own.
pub struct Gate {
    address: SocketAddr,
    open: watch::Sender<bool>,
    cut: Arc<Mutex<BTreeSet<String>>>,
    task: JoinHandle<()>,
}

impl Gate {
    /// Opens before the server at `target`.
    ///
    /// # Errors
    /// There is no port.
    pub async fn new(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (open, cut) = (watch::Sender::new(true), Arc::default());
        let relay = Relay { target, open: open.subscribe(), cut: Arc::clone(&cut) };
        let task = tokio::spawn(relay.serve(listener, address));
        Ok(Self { address, open, cut, task })
    }

    /// Its URL.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on connections are refused.
    ///
    /// # Errors
    /// They are not.
    pub async fn shut(&self) -> Result<()> {
        self.open.send_replace(false);
        let refused = async || TcpStream::connect(self.address).await.is_err().then_some(());
        crate::wait::within(crate::wait::DEADLINE, refused).await.context("the gate does not shut")
    }

    /// No longer.
    pub fn unshut(&self) {
        self.open.send_replace(true);
    }

    /// References of requests that met the close of their connection.
    #[must_use]
    pub fn cut(&self) -> BTreeSet<String> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Relay {
    target: SocketAddr,
    open: watch::Receiver<bool>,
    cut: Arc<Mutex<BTreeSet<String>>>,
}

impl Relay {
    async fn serve(self, listener: TcpListener, address: SocketAddr) {
        let (mut open, mut listening) = (self.open.clone(), Some(listener));
        loop {
            let Some(listener) = &listening else {
                if open.wait_for(|open| *open).await.is_err() {
                    return;
                }
                // The port is its own: nobody else was told of it.
                listening = TcpListener::bind(address).await.ok();
                continue;
            };
            let accepted = tokio::select! {
                biased;
                _ = open.wait_for(|open| !open) => None,
                accepted = listener.accept() => Some(accepted),
            };
            match accepted {
                None => listening = None,
                Some(Ok((stream, _))) => _ = tokio::spawn(self.clone().carry(stream)),
                Some(Err(_)) => {}
            }
        }
    }

    /// One connection, request after request. An end on either side ends both.
    async fn carry(mut self, mut client: TcpStream) {
        let _ = self.exchanges(&mut client).await;
        // Whatever came after the last answer came too late.
        let _ = client.shutdown().await;
        let mut late = Vec::new();
        let _ = tokio::time::timeout(LATE, client.read_to_end(&mut late)).await;
        if let Some(reference) = reference(&late) {
            self.cut.lock().unwrap_or_else(PoisonError::into_inner).insert(reference);
        }
    }

    async fn exchanges(&mut self, client: &mut TcpStream) -> io::Result<()> {
        let mut server = TcpStream::connect(self.target).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        loop {
            let mut begun = Vec::with_capacity(READ);
            tokio::select! {
                biased;
                // What has arrived is carried, even when the gate shuts at the same moment.
                read = client.read_buf(&mut begun) => if read? == 0 { return Ok(()) },
                _ = self.open.wait_for(|open| !open) => return Ok(()),
            }
            let request = whole(client, begun).await?;
            server.write_all(&request).await?;
            let answer = whole(&mut server, Vec::with_capacity(READ)).await?;
            client.write_all(&answer).await?;
            if answer.is_empty() {
                return Ok(());
            }
        }
    }
}

/// One request or answer that begins with `bytes`, to its last; nothing at an orderly end.
async fn whole(stream: &mut TcpStream, mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    while !is_whole(&bytes) {
        if stream.read_buf(&mut bytes).await? == 0 {
            break;
        }
    }
    Ok(bytes)
}

/// Whether a head and the body it announces are there; both sides announce its length.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    bytes.len() >= head + length.unwrap_or(0)
}

fn reference(request: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(request);
    let (_, behind) = text.split_once(REFERENCE)?;
    behind.split_once('"').map(|(reference, _)| reference.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "POST /v25.0/1/messages HTTP/1.1\r\nContent-Length: 40\r\n\r\n{\"biz_opaque_callback_data\":\"v1|3|9\",..}";

    #[test]
    fn a_request_is_whole_with_its_last_byte_and_names_its_reference() {
        for end in 0..REQUEST.len() {
            assert!(!is_whole(&REQUEST.as_bytes()[..end]), "{end}");
        }
        assert!(is_whole(REQUEST.as_bytes()));
        assert!(is_whole(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert_eq!(reference(REQUEST.as_bytes()).as_deref(), Some("v1|3|9"));
        assert_eq!(reference(b"GET / HTTP/1.1\r\n\r\n"), None);
    }

    #[tokio::test]
    async fn a_shut_gate_refuses_and_an_idle_connection_is_closed() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Gate::new(server.local_addr().unwrap()).await.unwrap();
        let mut client = TcpStream::connect(gate.address).await.unwrap();
        client.write_all(REQUEST.as_bytes()).await.unwrap();
        let (mut behind, _) = server.accept().await.unwrap();
        assert_eq!(whole(&mut behind, Vec::new()).await.unwrap(), REQUEST.as_bytes());
        gate.shut().await.unwrap();
        // It has begun, so it is carried to its end.
        behind.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.ends_with(b"ok"));
        assert_eq!(gate.cut(), BTreeSet::new());
        gate.unshut();
        crate::wait::so("it opens", async || TcpStream::connect(gate.address).await.is_ok()).await;
    }

    #[tokio::test]
    async fn a_request_that_meets_the_close_is_known() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Gate::new(server.local_addr().unwrap()).await.unwrap();
        let mut client = TcpStream::connect(gate.address).await.unwrap();
        let (_behind, _) = server.accept().await.unwrap();
        gate.shut().await.unwrap();
        let mut end = Vec::new();
        client.read_to_end(&mut end).await.unwrap();
        client.write_all(REQUEST.as_bytes()).await.unwrap();
        drop(client);
        crate::wait::so("it is known", async || gate.cut().contains("v1|3|9")).await;
    }
}
