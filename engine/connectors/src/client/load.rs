//! What a request carries: bytes that are here, or so many that come. Not an answer's body.

use bytes::Bytes;
use futures::stream::{BoxStream, Stream};
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes on their way out, as they come.
pub type Flow = BoxStream<'static, Result<Bytes, Broken>>;

/// The source of a body ended before the body did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the source of the body broke off")]
pub struct Broken;

/// A request's body.
pub(super) enum Load {
    Whole(Full<Bytes>),
    /// A stream behind a lock, since a body must be shareable though nobody shares it; and the bytes still to come.
    Flowing(std::sync::Mutex<Flow>, u64),
}

impl Load {
    pub(super) fn flowing(flow: Flow, length: u64) -> Self {
        Self::Flowing(std::sync::Mutex::new(flow), length)
    }
}

impl Body for Load {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let (flow, left) = match self.get_mut() {
            Self::Whole(full) => {
                return Pin::new(full).poll_frame(cx).map_err(|never| match never {});
            }
            Self::Flowing(flow, left) => (flow, left),
        };
        let Ok(flow) = flow.get_mut() else { return Poll::Ready(Some(Err(Broken))) };
        let next = futures::ready!(Pin::new(flow).poll_next(cx));
        Poll::Ready(match next {
            // More or fewer bytes than were promised would be another request.
            None if *left > 0 => Some(Err(Broken)),
            None => None,
            Some(Ok(data)) if data.len() as u64 > *left => Some(Err(Broken)),
            Some(Ok(data)) => {
                *left -= data.len() as u64;
                Some(Ok(Frame::data(data)))
            }
            Some(Err(broken)) => Some(Err(broken)),
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(full) => full.is_end_stream(),
            Self::Flowing(_, left) => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(full) => full.size_hint(),
            Self::Flowing(_, left) => SizeHint::with_exact(*left),
        }
    }
}
