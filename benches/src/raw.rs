//! HTTP/1.1 by hand for the other core of a bench: the provider and the callers must cost little, or they are what is
//! measured. Reads requests and answers with a known length, writes what it is given in one piece. No chunks, no pipelining.

use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What one read takes at least.
const ROOM: usize = 4_096;
const END: &[u8] = b"\r\n\r\n";
const LENGTH: &[u8] = b"content-length:";

/// One connection.
pub struct Raw {
    stream: TcpStream,
    read: BytesMut,
}

/// A request or an answer.
pub struct Heard {
    /// First line and headers.
    pub head: Bytes,
    /// As long as it said.
    pub body: Bytes,
}

impl Heard {
    /// The status of an answer.
    pub fn status(&self) -> u16 {
        let digits = self.head.get(9..12).and_then(|d| std::str::from_utf8(d).ok());
        digits.and_then(|d| d.parse().ok()).unwrap_or(0)
    }
}

impl Raw {
    /// A connection to `host:port`.
    pub async fn connect(authority: &str) -> Result<Self> {
        let stream = TcpStream::connect(authority).await.with_context(|| format!("calling {authority}"))?;
        Self::of(stream)
    }

    /// A connection that was accepted.
    pub fn of(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: BytesMut::with_capacity(ROOM * 2) })
    }

    /// Writes it whole.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// The next request or answer; nothing when the other side has closed.
    pub async fn hear(&mut self) -> Result<Option<Heard>> {
        let (mut looked, mut whole) = (0_usize, None);
        loop {
            if whole.is_none() {
                let from = looked.saturating_sub(END.len());
                if let Some(at) = memmem::find(&self.read[from..], END) {
                    let head = from + at + END.len();
                    whole = Some((head, head + length(&self.read[..head])?));
                }
                looked = self.read.len();
            }
            if let Some((head, all)) = whole
                && self.read.len() >= all
            {
                let mut message = self.read.split_to(all).freeze();
                let head = message.split_to(head);
                return Ok(Some(Heard { head, body: message }));
            }
            self.read.reserve(ROOM);
            if self.stream.read_buf(&mut self.read).await? == 0 {
                ensure!(!self.read.has_remaining(), "a connection broke off in the middle");
                return Ok(None);
            }
        }
    }
}

/// How long the body is.
fn length(head: &[u8]) -> Result<usize> {
    let line = head
        .split(|b| *b == b'\n')
        .find(|line| line.len() > LENGTH.len() && line[..LENGTH.len()].eq_ignore_ascii_case(LENGTH));
    let Some(line) = line else { return Ok(0) };
    Ok(std::str::from_utf8(&line[LENGTH.len()..])?.trim().parse()?)
}
