//! Two tenants: what one's app signs cannot move what is the other's, whatever it names, and what belongs to
//! nobody is kept.

use crate::house::{House, Plan, SECRET, calm, furnish, number_id, session_in};
use bytes::Bytes;
use hmac::{Hmac, Mac};
use kabar_actors::view::CampaignState;
use kabar_actors::webhook::WebhookError;
use kabar_engine::id::{ShardId, TenantId};
use kabar_engine::status::Status;
use kabar_sandbox::Behaviour;
use kabar_schema::records::Stray;
use kabar_tests::wait;
use serde_json::{Value, json};
use sha2::Sha256;

const OTHER: TenantId = TenantId(88);
const OTHER_APP: u64 = 6;

fn signed(body: &Value) -> (String, Bytes) {
    let bytes = Bytes::from(body.to_string());
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&bytes);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    (format!("sha256={hex}"), bytes)
}

/// A number of the other tenant, and a second one of our own.
const THEIRS: &str = "106000000007777";
const OURS_TOO: &str = "106000000008888";

/// A webhook of `number` that says `read` of a reference.
fn read_of(number: &str, reference: &str, to: &str) -> Value {
    let status = json!({
        "id": "wamid.FOREIGN", "status": "read", "timestamp": "1790000000", "recipient_id": to,
        "biz_opaque_callback_data": reference,
    });
    let metadata = json!({"display_phone_number": "15550200100", "phone_number_id": number});
    let value = json!({"messaging_product": "whatsapp", "metadata": metadata, "statuses": [status]});
    let changes = json!([{"field": "messages", "value": value}]);
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_of_one_tenants_app_cannot_move_another_tenants_messages() {
    let behaviour = Behaviour { statuses: false, ..calm() };
    let house = House::new(Plan { behaviour, ..Plan::default() }).await;
    let store = house.node.store();
    furnish(store, OTHER, OTHER_APP).await;
    // All in the shard of the session under attack: what keeps them apart is not that nothing is found there.
    let shard = ShardId::of_session(house.tenant, house.sessions[0]);
    for (tenant, app, number) in [(OTHER, OTHER_APP, THEIRS), (house.tenant, house.app, OURS_TOO)] {
        let id = session_in(tenant, 4_000, |other| other == shard);
        let record = kabar_schema::records::Session {
            phone_number_id: number.into(),
            ..crate::house::session(tenant, app, id, (&house.sandbox.base_url(), 0, 100))
        };
        store.nouns.create(&record).await.unwrap();
    }
    let campaign = house.launch(house.ask(0, 3).await).await;
    house.state(campaign, CampaignState::Finished).await;
    let message = house.send(9, 1).await;
    let status = async || house.desk().message(house.tenant, message).await.unwrap().unwrap().row.status;
    wait::so("it is sent", async || status().await == Status::Sent).await;
    let rows = house.sandbox.ledger();
    assert_eq!(rows.len(), 4);

    for row in &rows {
        let reference = row.reference.as_deref().unwrap();
        // Their app speaks of our number: a number their app does not have.
        let (signature, body) = signed(&read_of(&number_id(0), reference, &row.to));
        let receipt = house.desk().webhook(OTHER_APP, Some(&signature), body).await.unwrap();
        assert_eq!((receipt.statuses, receipt.strays), (0, 1), "{receipt:?}");
        // Their app speaks of their number and names our reference.
        let (signature, body) = signed(&read_of(THEIRS, reference, &row.to));
        let receipt = house.desk().webhook(OTHER_APP, Some(&signature), body).await.unwrap();
        assert_eq!((receipt.statuses, receipt.strays), (0, 0), "{receipt:?}");
        // Our own app, over another number of ours than the one it was sent from.
        let (signature, body) = signed(&read_of(OURS_TOO, reference, &row.to));
        let receipt = house.desk().webhook(house.app, Some(&signature), body).await.unwrap();
        assert_eq!(receipt.statuses, 0, "{receipt:?}");
    }
    assert_eq!(status().await, Status::Sent);
    assert_eq!(house.view(campaign).await.totals.read, 0);
    assert_eq!(house.desk().message(OTHER, message).await.unwrap(), None, "another tenant's is not there");
    assert_eq!(house.desk().campaign(OTHER, campaign).await.unwrap(), None);

    // The same words from whom they may come.
    for row in &rows {
        let (signature, body) = signed(&read_of(&number_id(0), row.reference.as_deref().unwrap(), &row.to));
        let receipt = house.desk().webhook(house.app, Some(&signature), body).await.unwrap();
        assert_eq!(receipt.statuses, 1, "{receipt:?}");
    }
    assert_eq!(status().await, Status::Read);
    assert_eq!(house.view(campaign).await.totals.read, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_nobody_linked_is_kept_as_a_stray_before_the_answer() {
    let house = House::new(Plan::default()).await;
    let body = read_of("106000000005555", "v1|c|foreign|1", "62812");
    for _ in 0..2 {
        let (signature, bytes) = signed(&body);
        let receipt = house.desk().webhook(house.app, Some(&signature), bytes).await.unwrap();
        assert_eq!(receipt.strays, 1);
    }
    let strays = house.node.store().nouns.page::<Stray>(house.tenant, None, None, 10).await.unwrap();
    assert_eq!(strays.len(), 1, "a repeat of the same bytes is one");
    assert_eq!(strays[0].noun.bytes, body.to_string().into_bytes());
    assert_eq!(strays[0].noun.app, house.app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_nobody_signed_is_not_read() {
    let house = House::new(Plan::default()).await;
    let (signature, body) = signed(&read_of(&number_id(0), "v1|c|foreign|1", "62812"));
    let mut tampered = body.to_vec();
    tampered.push(b' ');
    let desk = house.desk();
    let answer = desk.webhook(house.app, Some(&signature), Bytes::from(tampered)).await;
    assert_eq!(answer, Err(WebhookError::BadSignature));
    assert_eq!(desk.webhook(house.app, None, body.clone()).await, Err(WebhookError::BadSignature));
    assert_eq!(desk.webhook(404, Some(&signature), body).await, Err(WebhookError::UnknownApp));
}
