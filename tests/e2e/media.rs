//! Media on its way to a provider: uploaded once for each number, whatever needs it and however often, and again when the
//! provider does not know it any more. Nothing is sent twice for it, and nothing ends in doubt.

use crate::house::{Ask, House, Plan, calm, number_id, options};
use bytes::Bytes;
use kabar_actors::NodeOptions;
use kabar_actors::media::Wanted;
use kabar_actors::view::CampaignState;
use kabar_engine::address::Address;
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::id::{CampaignId, MediaId};
use kabar_engine::media::MediaKind;
use kabar_engine::schedule::Hours;
use kabar_engine::status::Status;
use kabar_engine::time::DAY_MS;
use kabar_sandbox::Behaviour;
use kabar_schema::journal::OnFailure;
use kabar_schema::records::{MediaCopy, MediaOrigin, Timing};
use kabar_schema::seal::MasterKey;
use kabar_schema::store::{EmbeddedOptions, Store};
use kabar_tests::wait;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

/// Answers at once and tells nothing afterwards: what is counted is what arrives.
fn quiet() -> Behaviour {
    Behaviour { answer_ms: kabar_sandbox::Delay::fixed(0), statuses: false, ..calm() }
}

async fn picture(house: &House) -> MediaId {
    let bytes = Bytes::from([b"\xff\xd8\xff\xe0\x00\x10JFIF".as_slice(), &[7; 300_000]].concat());
    let wanted = Wanted::from(MediaOrigin::Upload);
    house.desk().keep_media_bytes(house.tenant, bytes, wanted).await.unwrap().media.media_id()
}

fn promo(picture: MediaId) -> Content {
    let message = json!({"type": "template", "template": {"name": "promo", "language": {"code": "id"}, "components": [
        {"type": "header", "parameters": [{"type": "image", "image": {"id": picture}}]},
        {"type": "body", "parameters": [{"type": "text", "text": "{{name|default:\"kak\"}}"}]}]}});
    Content::from_json(&message).unwrap()
}

async fn launch(house: &House, ask: Ask, picture: MediaId) -> CampaignId {
    let timing = Timing { start_at: None, valid_for_ms: DAY_MS, hours: Hours::default(), recurrence: None };
    house.launch_saying(ask, timing, promo(picture)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_of_50_000_uploads_its_picture_once() {
    const PEOPLE: u64 = 50_000;
    let options = NodeOptions { flush_ms: 1_000, ..options() };
    let house = House::new(Plan { behaviour: quiet(), rate: 20_000, options, ..Plan::default() }).await;
    let picture = picture(&house).await;
    let began = Instant::now();
    let campaign = launch(&house, house.ask(0, PEOPLE).await, picture).await;
    let totals = house.state(campaign, CampaignState::Finished).await.totals;
    println!("{PEOPLE} recipients in {:.1} s", began.elapsed().as_secs_f64());
    assert_eq!((totals.sent, totals.failed, totals.unknown), (PEOPLE, 0, 0));
    let stats = house.sandbox.stats();
    assert_eq!((stats.accepted, stats.media.uploads), (PEOPLE, 1));
    house.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_numbers_have_a_copy_each_and_the_next_campaign_needs_none() {
    let plan = Plan { behaviour: quiet(), sessions: 2, rate: 4_000, ..Plan::default() };
    let house = House::new(plan).await;
    let picture = picture(&house).await;
    let ask = Ask { senders: house.sessions.clone(), ..house.ask(0, 2_000).await };
    for round in 1..=2 {
        let campaign = launch(&house, ask.clone(), picture).await;
        let totals = house.state(campaign, CampaignState::Finished).await.totals;
        assert_eq!((totals.sent, totals.failed), (2_000, 0));
        assert_eq!(house.sandbox.stats().media.uploads, 2, "after {round}");
    }
    let (media, copies) = house.desk().media(house.tenant, picture).await.unwrap().unwrap();
    assert_eq!((media.kind, copies.len()), (MediaKind::Image, 2));
    house.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_messages_that_need_a_file_at_the_same_time_wait_for_one_upload() {
    let house = House::new(Plan { behaviour: quiet(), ..Plan::default() }).await;
    let picture = picture(&house).await;
    let sends = (0..200).map(|nth| {
        let mut draft = house.draft(nth, u128::from(nth));
        draft.content = Arc::new(promo(picture));
        let desk = house.desk();
        async move { desk.send(draft).await.unwrap().message }
    });
    let sent = futures::future::join_all(sends).await;
    for message in sent {
        let look = async || {
            let row = house.desk().message(house.tenant, message).await.unwrap().unwrap().row;
            (row.status == Status::Sent).then_some(row)
        };
        let row = wait::until("the message is sent", look).await;
        // What is shown names the tenant's file, not the provider's copy.
        assert!(row.content.unwrap().has_media_id(|id| id == picture.to_string()));
    }
    let stats = house.sandbox.stats();
    assert_eq!((stats.accepted, stats.media.uploads), (200, 1));
    house.node.shutdown().await;
}

/// A copy that the provider does not know.
async fn stale(house: &House, media: MediaId, age_ms: i64) {
    let copy = MediaCopy {
        tenant: house.tenant,
        session: house.sessions[0],
        media,
        number: number_id(0),
        provider_id: "900100200300400".into(),
        uploaded: house.now().plus_ms(-age_ms),
    };
    house.node.store().nouns.create(&copy).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_the_provider_does_not_know_any_more_is_uploaded_once_and_nobody_notices() {
    let house = House::new(Plan { behaviour: quiet(), ..Plan::default() }).await;
    let picture = picture(&house).await;
    stale(&house, picture, DAY_MS).await;
    let campaign = launch(&house, house.ask(0, 1_500).await, picture).await;
    let totals = house.state(campaign, CampaignState::Finished).await.totals;
    assert_eq!((totals.sent, totals.failed, totals.unknown), (1_500, 0, 0));
    let stats = house.sandbox.stats();
    assert_eq!((stats.accepted, stats.media.uploads), (1_500, 1));
    assert!(stats.rejected[&131_009] > 0, "some were refused because of the old copy: {stats:?}");
    house.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_as_old_as_a_provider_keeps_one_is_uploaded_before_anything_is_refused() {
    let house = House::new(Plan { behaviour: quiet(), ..Plan::default() }).await;
    let picture = picture(&house).await;
    stale(&house, picture, 29 * DAY_MS).await;
    let campaign = launch(&house, house.ask(0, 300).await, picture).await;
    house.state(campaign, CampaignState::Finished).await;
    let stats = house.sandbox.stats();
    assert_eq!((stats.accepted, stats.media.uploads, stats.rejected.len()), (300, 1, 0));
    house.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_refused_or_gone_fails_its_message_and_leaves_no_doubt() {
    let house = House::new(Plan { behaviour: quiet(), ..Plan::default() }).await;
    // Received from somebody, so that it was never judged: the provider judges it.
    let wanted = Wanted {
        mime: Some("application/zip".into()),
        kind: Some(MediaKind::Image),
        ..Wanted::from(MediaOrigin::Received)
    };
    let kept = house.desk().keep_media_bytes(house.tenant, Bytes::from_static(b"PK\x03\x04"), wanted).await;
    let (zip, gone) = (kept.unwrap().media.media_id(), picture(&house).await);
    assert!(house.desk().delete_media(house.tenant, gone).await.unwrap());
    for (nth, media, cause) in [(1, zip, Cause::MEDIA_UPLOAD), (2, gone, Cause::MEDIA_GONE)] {
        let mut draft = house.draft(nth, u128::from(nth));
        draft.content = Arc::new(promo(media));
        let message = house.desk().send(draft).await.unwrap().message;
        let look = async || {
            let row = house.desk().message(house.tenant, message).await.unwrap().unwrap().row;
            (row.status != Status::Queued).then_some(row)
        };
        let row = wait::until("the message has ended", look).await;
        assert_eq!((row.status, row.cause), (Status::Failed, Some(cause)));
    }
    assert_eq!(house.sandbox.stats().accepted, 0);
    house.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_could_not_be_used_is_forgotten_by_its_status_once_a_minute_at_most() {
    let house = House::new(Plan { behaviour: calm(), ..Plan::default() }).await;
    let picture = picture(&house).await;
    let uploads = || house.sandbox.stats().media.uploads;
    let send = async |key: u128, digits: &str| {
        let mut draft = house.draft(0, key);
        (draft.to, draft.content) = (Address::phone_digits(digits).unwrap(), Arc::new(promo(picture)));
        let message = house.desk().send(draft).await.unwrap().message;
        let ended = async || {
            let row = house.desk().message(house.tenant, message).await.unwrap().unwrap().row;
            matches!(row.status, Status::Failed | Status::Read | Status::Delivered).then_some(row.status)
        };
        let status = wait::until("the message has ended", ended).await;
        house.settled().await;
        status
    };
    // Taken, and then failed with this code.
    assert_eq!((send(1, "9995131053").await, uploads()), (Status::Failed, 1));
    assert_ne!((send(2, "99955551234").await, uploads()), (Status::Failed, 1));
    assert_eq!(uploads(), 2, "the next message brought the file anew");
    for key in 3..6 {
        assert_eq!(send(key, "9995131052").await, Status::Failed);
    }
    assert_eq!(uploads(), 2, "a file that is no good is not brought anew for everybody");
    house.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_demands_the_proof_of_its_secret_gets_files_and_messages() {
    let behaviour = Behaviour { require_appsecret_proof: true, ..quiet() };
    let house = House::new(Plan { behaviour, ..Plan::default() }).await;
    let picture = picture(&house).await;
    let campaign = launch(&house, house.ask(0, 100).await, picture).await;
    let totals = house.state(campaign, CampaignState::Finished).await.totals;
    let stats = house.sandbox.stats();
    assert_eq!((totals.sent, stats.media.uploads, stats.rejected.len()), (100, 1, 0));
    house.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_started_again_uploads_nothing_again() {
    const PEOPLE: u64 = 3_000;
    let (folder, master) = (tempfile::tempdir().unwrap(), MasterKey::random());
    let open = async || {
        let options = EmbeddedOptions {
            fail: OnFailure::Poison,
            ..EmbeddedOptions::new(folder.path(), master.clone())
        };
        Store::embedded(options).await.unwrap()
    };
    let mut house = House::on(open().await, Plan { behaviour: quiet(), ..Plan::default() }).await;
    let picture = picture(&house).await;
    let campaign = launch(&house, house.ask(0, PEOPLE).await, picture).await;
    house.totals(campaign, "the campaign runs", |t| t.sent >= 500).await;
    house.restart(open).await;
    assert!(house.sandbox.stats().accepted < PEOPLE, "it was in the middle");
    let totals = house.state(campaign, CampaignState::Finished).await.totals;
    assert_eq!((totals.sent, totals.unknown), (PEOPLE, 0));
    let stats = house.sandbox.stats();
    assert_eq!((stats.accepted, stats.media.uploads), (PEOPLE, 1));
    house.receiver.close();
    house.node.shutdown().await;
}
