//! Media against the sandbox: what goes up as a stream comes down byte for byte, and what breaks off is nothing.

use bytes::Bytes;
use futures::StreamExt;
use kabar_connectors::client::{Broken, Client, Flow};
use kabar_connectors::cloud::{
    File, Graph, GraphConfig, GraphFailure, delete_media, find_media, open_media, upload_media,
};
use kabar_sandbox::{Sandbox, SandboxConfig};

const PIECE: usize = 64 * 1024;

async fn house() -> (Sandbox, Graph, String) {
    let sandbox = Sandbox::start(SandboxConfig::default()).await.unwrap();
    let config = GraphConfig {
        base_url: sandbox.base_url(),
        api_version: "v26.0".into(),
        access_token: sandbox.config().access_tokens[0].as_str().into(),
        proofs: std::sync::Arc::default(),
        deadline_ms: 20_000,
    };
    let number = sandbox.config().numbers[0].phone_number_id.clone();
    (sandbox, Graph::new(Client::for_providers(), config).unwrap(), number)
}

fn film() -> Vec<u8> {
    (0..3_000_000_u32).map(|n| u8::try_from(n % 253).unwrap()).collect()
}

fn file(flow: Flow, length: usize) -> File {
    File { mime: "video/mp4".into(), name: "a \"b\"\r\n.mp4".into(), length: length as u64, flow }
}

fn flow(bytes: &[u8]) -> Flow {
    let pieces: Vec<_> = bytes.chunks(PIECE).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    futures::stream::iter(pieces).boxed()
}

#[tokio::test]
async fn a_file_goes_up_and_comes_down_piece_by_piece_and_is_the_same() {
    let (sandbox, graph, number) = house().await;
    let film = film();
    let id = upload_media(&graph, &number, file(flow(&film), film.len())).await.unwrap();
    let place = find_media(&graph, &id, &number).await.unwrap();
    assert_eq!((place.mime.as_deref(), place.bytes), (Some("video/mp4"), Some(film.len() as u64)));
    let mut reading = open_media(&graph, &place.url, 16 << 20).await.unwrap();
    assert_eq!((reading.mime(), reading.length()), (Some("video/mp4"), Some(film.len() as u64)));
    let mut back = Vec::new();
    while let Some(piece) = reading.next().await.unwrap() {
        back.extend_from_slice(&piece);
    }
    assert!(back == film);
    assert!(place.sha256.is_some_and(|hash| hash == <sha2::Sha256 as sha2::Digest>::digest(&film)[..]));
    // A file larger than is wanted is not read.
    let mut short = open_media(&graph, &place.url, 1_000_000).await.unwrap();
    assert!(short.next().await.is_err());
    delete_media(&graph, &id, &number).await.unwrap();
    let gone = find_media(&graph, &id, &number).await.unwrap_err();
    assert!(
        matches!(gone, GraphFailure::Refused(refusal) if (refusal.code, refusal.subcode) == (100, Some(33)))
    );
    let expired = open_media(&graph, &place.url, 16 << 20).await.unwrap_err();
    assert!(matches!(expired, GraphFailure::Refused(refusal) if (refusal.status, refusal.code) == (404, 0)));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_source_that_ends_early_or_breaks_off_uploads_nothing() {
    let (sandbox, graph, number) = house().await;
    let film = film();
    let half = flow(&film[..film.len() / 2]);
    assert_eq!(upload_media(&graph, &number, file(half, film.len())).await, Err(GraphFailure::Unclear));
    let broken = flow(&film[..PIECE * 3]).chain(futures::stream::iter([Err(Broken)])).boxed();
    assert_eq!(upload_media(&graph, &number, file(broken, film.len())).await, Err(GraphFailure::Unclear));
    let long = flow(&film);
    assert_eq!(upload_media(&graph, &number, file(long, PIECE + 1)).await, Err(GraphFailure::Unclear));
    assert_eq!(sandbox.stats().media.uploads, 0);
    sandbox.stop().await;
}
