//! Media that people send: fetched at once, held against the hash that was announced, kept, shown at the message and told
//! of. What cannot be fetched says why, and a restart forgets nothing.

use crate::house::{House, Plan, calm, number_id, person};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::TryStreamExt;
use kabar_actors::dispatcher::{Event, EventAsk};
use kabar_actors::media::Wanted;
use kabar_actors::view::MediaState;
use kabar_engine::cause::Cause;
use kabar_engine::event::{About, Kind};
use kabar_engine::id::{MediaId, MessageId};
use kabar_engine::media::MediaKind;
use kabar_sandbox::{Inbound, InboundMedia};
use kabar_schema::journal::OnFailure;
use kabar_schema::records::{MediaFetch, MediaOrigin, Session};
use kabar_schema::seal::MasterKey;
use kabar_schema::store::{EmbeddedOptions, Store};
use kabar_tests::wait;
use serde_json::json;
use std::collections::BTreeSet;

/// Longer than a piece of the store, and no type that could be sent.
fn bytes() -> Vec<u8> {
    (0..700_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

fn order(media: Option<InboundMedia>, message: Option<serde_json::Value>) -> Inbound {
    Inbound {
        phone_number_id: number_id(0),
        from: person(1).value().to_owned(),
        media,
        message,
        ..Inbound::default()
    }
}

async fn events(house: &House, kinds: &[Kind]) -> Vec<Event> {
    let kinds = Some(BTreeSet::from_iter(kinds.iter().copied()));
    let (tenant, after, since, session) = (house.tenant, None, None, None);
    house.desk().events(&EventAsk { tenant, after, since, kinds, session, limit: 50 }).await.unwrap().events
}

fn of(event: &Event) -> (Option<MessageId>, Option<MediaId>, Option<Cause>) {
    let About::Message(of) = &event.about else { panic!("{event:?}") };
    (of.message, of.media, of.cause)
}

/// The message that came, and where its file is in the end.
async fn ended(house: &House) -> (MessageId, MediaState) {
    let look = async || {
        let received = events(house, &[Kind::MessageReceived]).await;
        let id = of(received.last()?).0?;
        let state = house.desk().message(house.tenant, id).await.unwrap()?.media?;
        (state != MediaState::Pending).then_some((id, state))
    };
    wait::until("the file was fetched, or cannot be", look).await
}

async fn told(house: &House, kind: Kind) -> (Option<MessageId>, Option<MediaId>, Option<Cause>) {
    wait::until("it is told of", async || events(house, &[kind]).await.last().map(of)).await
}

async fn content(house: &House, media: MediaId) -> Vec<u8> {
    let opened = house.desk().media_content(house.tenant, media).await.unwrap().unwrap();
    let pieces: Vec<Bytes> = opened.bytes.try_collect().await.unwrap();
    pieces.concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_sends_is_kept_whatever_it_is_and_told_of_when_it_is_here() {
    let house = House::new(Plan { behaviour: calm(), ..Plan::default() }).await;
    let file = InboundMedia {
        mime_type: "application/zip".into(),
        base64: STANDARD.encode(bytes()),
        filename: Some("foto.zip".into()),
        ..InboundMedia::default()
    };
    house.sandbox.inbound(&order(Some(file.clone()), None)).unwrap();
    let (message, state) = ended(&house).await;
    let MediaState::Stored(media) = state else { panic!("{state:?}") };
    assert_eq!(told(&house, Kind::MediaStored).await, (Some(message), Some(media), None));
    assert_eq!(content(&house, media).await, bytes());
    let (record, _) = house.desk().media(house.tenant, media).await.unwrap().unwrap();
    assert_eq!((record.origin, record.kind), (MediaOrigin::Received, MediaKind::Document));
    assert_eq!((record.mime.as_str(), record.filename.as_deref()), ("application/zip", Some("foto.zip")));
    // The same file from somebody else is one file, and another event.
    house
        .sandbox
        .inbound(&Inbound { from: person(2).value().to_owned(), ..order(Some(file), None) })
        .unwrap();
    wait::so("the second one is told of", async || events(&house, &[Kind::MediaStored]).await.len() == 2)
        .await;
    assert_eq!(of(events(&house, &[Kind::MediaStored]).await.last().unwrap()).1, Some(media));
    wait::so("nothing is left to do", async || pending(&house).await.is_empty()).await;
    assert_eq!(house.sandbox.stats().media.downloads, 2);
    house.node.shutdown().await;
}

async fn pending(house: &House) -> Vec<MediaFetch> {
    let found = house.node.store().nouns.all::<MediaFetch>(None, 10).await.unwrap();
    found.into_iter().map(|found| found.noun).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_provider_no_longer_has_says_so() {
    let house = House::new(Plan { behaviour: calm(), ..Plan::default() }).await;
    let gone = json!({"type": "image", "image": {"id": "900100200300400", "mime_type": "image/jpeg", "caption": "x"}});
    house.sandbox.inbound(&order(None, Some(gone))).unwrap();
    let (message, state) = ended(&house).await;
    assert_eq!(state, MediaState::Failed(Cause::MEDIA_EXPIRED));
    let expired = (Some(message), None, Some(Cause::MEDIA_EXPIRED));
    assert_eq!(told(&house, Kind::MediaFailed).await, expired);
    house.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_not_those_announced_are_not_kept() {
    let house = House::new(Plan { behaviour: calm(), ..Plan::default() }).await;
    let file = InboundMedia {
        mime_type: "image/png".into(),
        base64: STANDARD.encode("one file"),
        ..InboundMedia::default()
    };
    house.sandbox.inbound(&order(Some(file), None)).unwrap();
    let (first, state) = ended(&house).await;
    let MediaState::Stored(kept) = state else { panic!("{state:?}") };
    let view = house.desk().message(house.tenant, first).await.unwrap().unwrap();
    let id = view.row.content.unwrap().media().unwrap().id.clone().unwrap();
    // The provider has this file still, and announces another one under its id.
    let other = json!({"type": "image", "image": {"id": id, "sha256": STANDARD.encode([7; 32])}});
    house.sandbox.inbound(&order(None, Some(other))).unwrap();
    let failed = told(&house, Kind::MediaFailed).await;
    assert_eq!((failed.1, failed.2), (None, Some(Cause::MEDIA_DAMAGED)));
    assert_ne!(failed.0, Some(first));
    // Somebody else's file with the same bytes stays.
    assert_eq!(content(&house, kept).await, b"one file");
    assert_eq!(house.sandbox.stats().media.downloads, 3, "it was fetched once more before it was given up");
    house.node.shutdown().await;
}

/// Changes where the number's provider is reached; gives where it was.
async fn moved(house: &House, to: Option<String>) -> Option<String> {
    let nouns = &house.node.store().nouns;
    let mut found = nouns.get::<Session>(house.tenant, house.sessions[0].0).await.unwrap().unwrap();
    let from = std::mem::replace(&mut found.noun.base_url, to);
    nouns.update(&found.noun, found.version).await.unwrap();
    from
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_with_what_was_still_to_be_fetched() {
    let (folder, master) = (tempfile::tempdir().unwrap(), MasterKey::random());
    let open = async || {
        let options = EmbeddedOptions {
            fail: OnFailure::Poison,
            ..EmbeddedOptions::new(folder.path(), master.clone())
        };
        Store::embedded(options).await.unwrap()
    };
    let mut house = House::on(open().await, Plan { behaviour: calm(), ..Plan::default() }).await;
    // The provider tells of a file and cannot be reached for it.
    let closed = moved(&house, Some("http://127.0.0.1:9".into())).await;
    let file = InboundMedia {
        mime_type: "image/png".into(),
        base64: STANDARD.encode("a picture"),
        ..InboundMedia::default()
    };
    house.sandbox.inbound(&order(Some(file), None)).unwrap();
    let look = async || of(events(&house, &[Kind::MessageReceived]).await.last()?).0;
    let message = wait::until("the message is here", look).await;
    let state = async || house.desk().message(house.tenant, message).await.unwrap().unwrap().media;
    wait::so("it is to be fetched", async || state().await == Some(MediaState::Pending)).await;
    assert_eq!(pending(&house).await.len(), 1);
    moved(&house, closed).await;
    house.restart(open).await;
    let (again, state) = ended(&house).await;
    assert_eq!((again, matches!(state, MediaState::Stored(_))), (message, true));
    assert_eq!(told(&house, Kind::MediaStored).await.0, Some(message));
    wait::so("nothing is left to do", async || pending(&house).await.is_empty()).await;
    assert_eq!((house.sandbox.stats().media.downloads, pending(&house).await.len()), (1, 0));
    house.receiver.close();
    house.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_received_file_can_be_sent_on_where_its_type_allows_it() {
    let house = House::new(Plan { behaviour: calm(), ..Plan::default() }).await;
    let file = InboundMedia {
        mime_type: "text/plain".into(),
        base64: STANDARD.encode("halo"),
        ..InboundMedia::default()
    };
    house.sandbox.inbound(&order(Some(file), None)).unwrap();
    let (_, state) = ended(&house).await;
    let MediaState::Stored(media) = state else { panic!("{state:?}") };
    let document = json!({"type": "document", "document": {"id": media, "filename": "a.txt"}});
    let image = json!({"type": "image", "image": {"id": media}});
    let read = |value| kabar_engine::content::Content::from_json(value).unwrap();
    assert!(house.desk().media_fits(house.tenant, &read(&document)).await.is_ok());
    assert!(house.desk().media_fits(house.tenant, &read(&image)).await.is_err());
    let same = Wanted::from(MediaOrigin::Upload);
    let again = house.desk().keep_media_bytes(house.tenant, Bytes::from_static(b"halo"), same).await.unwrap();
    assert_eq!((again.fresh, again.media.media_id()), (false, media));
    house.node.shutdown().await;
}
