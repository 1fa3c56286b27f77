//! The listening socket of the Graph face: raw hyper HTTP/1 connections, closed or reset when a
//! request is to go without an answer. Knows no path.

use std::error::Error;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Cut, Graph};

/// Accepts connections until stopped.
pub(crate) async fn serve(
    listener: TcpListener,
    graph: Arc<Graph>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (graph, stop) = (Arc::clone(&graph), stop.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => {}
                        () = connection(stream, graph) => {}
                    }
                });
            }
            // out of file descriptors: the next try may find one
            Err(refused) => {
                tracing::warn!(%refused, "connection not accepted");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, graph: Arc<Graph>) {
    // without it small answers wait for the peer's delayed acknowledgement; failing costs only that
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let graph = Arc::clone(&graph);
        Box::pin(async move { graph.answer(request).await })
    });
    let mut served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let end = poll_fn(|context| served.poll_without_shutdown(context)).await;
    let mut stream = served.into_parts().io.into_inner();
    match end {
        Err(broken) if is_reset(&broken) => {
            // with no linger, closing sends a reset instead of an orderly end
            let _ = stream.set_zero_linger();
        }
        Err(_) => {}
        Ok(()) => {
            // the peer may be gone already
            let _ = stream.shutdown().await;
        }
    }
}

fn is_reset(broken: &hyper::Error) -> bool {
    broken.source().and_then(|cause| cause.downcast_ref::<Cut>()) == Some(&Cut::Reset)
}
