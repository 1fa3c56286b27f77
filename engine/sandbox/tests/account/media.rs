//! Media and uploads: what is kept, for how long, for whom; and what a send with an id needs.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use kabar_sandbox::{APP_ID, Behaviour, Inbound, InboundMedia, NumberConfig, Sandbox, SandboxConfig};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::harness::{Client, Heard, NUMBER, Receiver, sandbox, swift, until};

const DAY_MS: u64 = 24 * 3_600 * 1_000;
const OTHER: &str = "106000000000002";

/// A multipart upload as Meta wants it.
pub async fn upload(client: &mut Client, number: &str, mime: &str, bytes: &[u8]) -> Heard {
    let mut body = Vec::new();
    let head = |name: &str, more: &str| {
        format!("--frontier\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n")
    };
    body.extend_from_slice(
        format!("{}\r\nwhatsapp\r\n{}\r\n{mime}\r\n", head("messaging_product", ""), head("type", ""))
            .as_bytes(),
    );
    body.extend_from_slice(
        format!("{}Content-Type: {mime}\r\n\r\n", head("file", "; filename=\"a\"")).as_bytes(),
    );
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--frontier--\r\n");
    let path = format!("/v26.0/{number}/media");
    client.with_type(Method::POST, &path, "multipart/form-data; boundary=frontier", &body).await
}

async fn two_numbers() -> Sandbox {
    let second = NumberConfig {
        phone_number_id: OTHER.into(),
        display_phone_number: "15550200001".into(),
        ..NumberConfig::default()
    };
    let numbers = vec![NumberConfig::default(), second];
    Sandbox::start(SandboxConfig { numbers, behaviour: swift(), ..SandboxConfig::default() }).await.unwrap()
}

fn path_of(url: &str) -> String {
    format!("/{}", url.splitn(4, '/').nth(3).unwrap())
}

#[tokio::test]
async fn an_uploaded_file_comes_back_as_it_was_from_a_url_that_lives_five_minutes() {
    let sandbox = sandbox(swift()).await;
    let mut client = Client::to(&sandbox);
    let bytes: Vec<u8> = (0..70_000_u32).map(|n| (n * 7) as u8).collect();
    let id =
        upload(&mut client, NUMBER, "image/jpeg", &bytes).await.json()["id"].as_str().unwrap().to_owned();
    assert!(id.bytes().all(|b| b.is_ascii_digit()), "{id}");
    let about = client.get(&format!("/v26.0/{id}?phone_number_id={NUMBER}")).await.json();
    let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(about["sha256"], hex.as_str());
    assert_eq!(
        (about["mime_type"].as_str(), about["file_size"].as_str()),
        (Some("image/jpeg"), Some("70000"))
    );
    assert_eq!(
        (about["id"].as_str(), about["messaging_product"].as_str()),
        (Some(id.as_str()), Some("whatsapp"))
    );
    let url = path_of(about["url"].as_str().unwrap());
    let heard = client.get(&url).await;
    assert_eq!((heard.status, heard.headers["content-type"].to_str().unwrap()), (200, "image/jpeg"));
    assert_eq!(&heard.bytes[..], &bytes[..]);
    assert_eq!(Client::with_token(&sandbox, "nobody").get(&url).await.status, 401, "the token is needed");
    assert_eq!(client.get(&url.replace("hash=", "hash=x")).await.status, 404, "the signature is looked at");

    sandbox.advance(5 * 60 * 1_000);
    assert_eq!(client.get(&url).await.status, 404);
    let again = client.get(&format!("/{id}")).await.json();
    assert_eq!(client.get(&path_of(again["url"].as_str().unwrap())).await.status, 200);
    let stats = sandbox.stats().media;
    assert_eq!((stats.uploads, stats.downloads, stats.kept), (1, 2, 1));
    sandbox.advance(30 * DAY_MS);
    let gone = client.get(&format!("/{id}")).await;
    assert_eq!((gone.status, gone.code()), (400, 100), "ids live 30 days");
    assert_eq!(gone.json()["error"]["error_subcode"], 33);
}

#[tokio::test]
async fn a_file_of_the_wrong_type_or_size_is_refused_and_a_hundred_megabytes_are_not() {
    let sandbox = sandbox(swift()).await;
    let mut client = Client::to(&sandbox);
    assert_eq!(upload(&mut client, NUMBER, "image/gif", b"GIF89a").await.code(), 131_053);
    assert_eq!(upload(&mut client, NUMBER, "image/png", &vec![0; (5 << 20) + 1]).await.code(), 131_053);
    assert_eq!(upload(&mut client, NUMBER, "image/webp", &vec![0; 101 << 10]).await.code(), 131_053);
    let whole = upload(&mut client, NUMBER, "application/pdf", &vec![7; 100 << 20]).await;
    assert_eq!(whole.status, 200, "{:?}", whole.json());
    assert_eq!(
        upload(&mut client, NUMBER, "application/pdf", &vec![7; (100 << 20) + 1]).await.code(),
        131_053
    );
    let path = format!("/{NUMBER}/media");
    assert_eq!(client.post(&path, &json!({})).await.code(), 100, "no multipart");
    let none = b"--f\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n--f--";
    let heard = client.with_type(Method::POST, &path, "multipart/form-data; boundary=f", none).await;
    assert_eq!(heard.code(), 100, "no file");
    assert_eq!(sandbox.stats().media.uploads, 1);
}

#[tokio::test]
async fn a_medium_belongs_to_its_number_until_it_is_deleted() {
    let sandbox = two_numbers().await;
    let mut client = Client::to(&sandbox);
    let id = upload(&mut client, NUMBER, "image/png", b"png").await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(client.get(&format!("/{id}?phone_number_id={OTHER}")).await.code(), 100);
    let send = |number: &str, kind: &str| {
        (
            format!("/{number}/messages"),
            json!({"messaging_product": "whatsapp", "to": "15550100001", "type": kind, kind: {"id": id}}),
        )
    };
    let (path, body) = send(NUMBER, "image");
    assert_eq!(client.post(&path, &body).await.status, 200);
    let (path, body) = send(OTHER, "image");
    let foreign = client.post(&path, &body).await;
    assert_eq!((foreign.status, foreign.code()), (400, 131_009));
    let details = foreign.json()["error"]["error_data"]["details"].to_string();
    assert!(details.contains("media attachment ID"), "{details}");
    let (path, body) = send(NUMBER, "video");
    assert_eq!(client.post(&path, &body).await.status, 200, "another kind fails later");
    until(&sandbox, kabar_sandbox::Stats::is_settled).await;
    let failed: Vec<_> = sandbox.ledger().iter().map(|row| row.failed).collect();
    assert_eq!(failed, [None, None, Some(131_053)]);

    let deleted = client.try_call(Method::DELETE, &format!("/{id}"), b"").await.unwrap();
    assert_eq!(deleted.json(), json!({"success": true}));
    assert_eq!(client.get(&format!("/{id}")).await.code(), 100);
    let (path, body) = send(NUMBER, "image");
    assert_eq!(client.post(&path, &body).await.code(), 131_009);
    assert_eq!(sandbox.stats().media.deleted, 1);
}

#[tokio::test]
async fn a_template_with_a_foreign_medium_in_its_header_is_refused() {
    let sandbox = sandbox(swift()).await;
    let mut client = Client::to(&sandbox);
    let header =
        |id: &str| json!([{"type": "header", "parameters": [{"type": "image", "image": {"id": id}}]}]);
    let body = |id: &str| {
        json!({"messaging_product": "whatsapp", "to": "15550100001", "type": "template",
        "template": {"name": "offer", "language": {"code": "en_US"}, "components": header(id)}})
    };
    assert_eq!(client.send(&body("900")).await.code(), 131_009);
    let id = upload(&mut client, NUMBER, "image/png", b"png").await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(client.send(&body(&id)).await.status, 200);
}

#[tokio::test]
async fn a_users_file_is_told_with_a_base64_hash_and_lives_seven_days() {
    let sandbox = sandbox(swift()).await;
    let mut receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let media = InboundMedia {
        mime_type: "image/jpeg".into(),
        base64: STANDARD.encode(b"a photo"),
        caption: Some("Sunset".into()),
        ..InboundMedia::default()
    };
    let order = Inbound {
        phone_number_id: NUMBER.into(),
        from: "6281234567890".into(),
        media: Some(media),
        ..Inbound::default()
    };
    sandbox.inbound(&order).unwrap();
    let posts = receiver.until(|posts| !crate::items(posts, "messages").is_empty()).await;
    let message = &crate::items(&posts, "messages")[0];
    let image = &message["image"];
    assert_eq!((message["type"].as_str(), image["caption"].as_str()), (Some("image"), Some("Sunset")));
    assert_eq!(image["sha256"], STANDARD.encode(Sha256::digest(b"a photo")).as_str());
    let mut client = Client::to(&sandbox);
    assert_eq!(&client.get(&path_of(image["url"].as_str().unwrap())).await.bytes[..], b"a photo");
    let id = image["id"].as_str().unwrap();
    assert_eq!(client.get(&format!("/{id}")).await.status, 200);
    sandbox.advance(7 * DAY_MS);
    assert_eq!(client.get(&format!("/{id}")).await.code(), 100);
    assert_eq!(sandbox.stats().media.uploads, 0, "a user's file is no upload");
}

#[tokio::test]
async fn a_broken_upload_goes_on_where_it_was_and_ends_with_a_handle() {
    let sandbox = sandbox(Behaviour { ..swift() }).await;
    let mut client = Client::to(&sandbox);
    let begun = client
        .post(
            &format!("/v26.0/{APP_ID}/uploads?file_length=10&file_type=image/jpeg&file_name=h.jpg"),
            &json!(null),
        )
        .await;
    let id = begun.json()["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("upload:") && id.contains("?sig="), "{id}");
    let path = format!("/v26.0/{id}");
    let first = client.offset(&path, 0, b"01234").await;
    assert_eq!(first.json()["file_offset"], 5);
    assert_eq!(client.get(&path).await.json(), json!({"id": id, "file_offset": 5}));
    assert_eq!(client.offset(&path, 0, b"01234").await.code(), 100, "an offset that is not the next one");
    let handle = client.offset(&path, 5, b"56789").await.json()["h"].as_str().unwrap().to_owned();
    assert!(handle.starts_with("4::"), "{handle}");
    assert_eq!(client.get("/v26.0/upload:none?sig=x").await.code(), 100);
    let profile = format!("/{NUMBER}/whatsapp_business_profile");
    let picture = json!({"messaging_product": "whatsapp", "profile_picture_handle": handle});
    assert_eq!(client.post(&profile, &picture).await.status, 200);
}
