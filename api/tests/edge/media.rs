//! Media files: kept once whatever way they come, judged by their bytes, given out again whole or in part, seen by their
//! tenant alone, and looked at before a message that names one is accepted. Not their way to a provider.

use super::house::{Answer, House, Tenant};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The smallest thing that is a JPEG to who looks at its first bytes.
const JPEG: &[u8] = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00 and so on";
const TEXT: &[u8] = b"Halo, dunia. This is a file.\n";

fn form(parts: &[(&str, &str)], kind: &str, file: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parts {
        let part = format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    let head = "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"C:\\\\a b.bin\"\r\n";
    body.extend_from_slice(format!("{head}{kind}\r\n").as_bytes());
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n--xyz--\r\n");
    body
}

async fn upload(house: &House, tenant: &Tenant<'_>, body: Vec<u8>) -> Answer {
    let bearer = format!("Bearer {}", tenant.key);
    let kind = ("content-type", "multipart/form-data; boundary=xyz");
    house.call("POST /v1/media", &[("authorization", &bearer), kind], body).await
}

async fn inline(tenant: &Tenant<'_>, bytes: &[u8], mime: Option<&str>) -> Answer {
    tenant.call("POST /v1/media", json!({"base64": STANDARD.encode(bytes), "mime_type": mime})).await
}

#[tokio::test]
async fn the_same_bytes_are_one_file_whatever_way_they_come() {
    let house = House::open().await;
    let (tenant, other) = (house.tenant("A").await, house.tenant("B").await);
    let made = upload(&house, &tenant, form(&[("kind", "image")], "Content-Type: image/jpg\r\n", JPEG)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let shown = made.json();
    assert_eq!((&shown["kind"], &shown["mime_type"]), (&json!("image"), &json!("image/jpeg")));
    assert_eq!((&shown["filename"], &shown["origin"]), (&json!("a b.bin"), &json!("upload")));
    assert_eq!(shown["bytes"], JPEG.len());
    assert_eq!(shown["sha256"].as_str().unwrap().len(), 64);
    // As base64, without a type: the id is the same, and nothing new is there.
    let again = inline(&tenant, JPEG, None).await;
    assert_eq!((again.status, again.json()), (200, shown.clone()));
    assert_eq!(inline(&other, JPEG, None).await.status, 201, "another tenant's is another file");
    assert_eq!(tenant.get("/v1/media").await.json()["data"], json!([shown]));
    let id = made.id();
    let mut alone = tenant.get(&format!("/v1/media/{id}")).await.json();
    assert_eq!(alone["uploads"].take(), json!([]));
    for what in ["GET /v1/media/{id}", "GET /v1/media/{id}/content", "DELETE /v1/media/{id}"] {
        let theirs = inline(&other, TEXT, None).await.id();
        let refused = tenant.call(&what.replace("{id}", &theirs), Value::Null).await;
        assert_eq!(refused.problem(), (404, "not_found".into()), "{what}");
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_file_is_judged_by_its_bytes_and_refused_with_what_is_allowed() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let large = [JPEG, &vec![0; 5 << 20]].concat();
    for (parts, kind, file, words) in [
        (vec![], "Content-Type: image/png\r\n", JPEG, "they are a JPEG picture"),
        (vec![("kind", "sticker")], "", JPEG, "WhatsApp takes image/webp"),
        (vec![], "Content-Type: image/gif\r\n", b"GIF89a", "as image image/jpeg, image/png"),
        (vec![], "", &[0, 1, 2][..], "say its type"),
        (vec![], "", &large, "WhatsApp takes at most 5242880"),
        (vec![], "Content-Type: text/plain\r\n", b"", "empty"),
    ] {
        let refused = upload(&house, &tenant, form(&parts, kind, file)).await;
        assert_eq!(refused.problem(), (422, "media_refused".into()), "{words}");
        assert!(refused.text.contains(words), "{}", refused.text);
    }
    for (body, status, code) in [
        (form(&[("colour", "red")], "", TEXT), 422, "unknown_field"),
        (form(&[("kind", "painting")], "", TEXT), 422, "invalid_value"),
        (b"--xyz--\r\n".to_vec(), 422, "missing_field"),
        (form(&[], "", TEXT)[..80].to_vec(), 400, "body_unreadable"),
    ] {
        assert_eq!(upload(&house, &tenant, body).await.problem(), (status, code.into()));
    }
    for (body, code) in [
        (json!({}), "invalid_value"),
        (json!({"base64": "aGk=", "link": "https://a.example"}), "invalid_value"),
        (json!({"base64": "%%"}), "invalid_value"),
        (json!({"base64": "aGk=", "colour": 1}), "unknown_field"),
    ] {
        assert_eq!(tenant.call("POST /v1/media", body).await.problem(), (422, code.into()));
    }
    assert_eq!(tenant.get("/v1/media").await.json()["data"], json!([]), "what is refused is not kept");
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_file_is_given_out_whole_and_in_part_until_it_is_deleted() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let long: Vec<u8> = (0..600_000_u32).map(|n| b'a' + u8::try_from(n % 26).unwrap()).collect();
    let id = upload(&house, &tenant, form(&[("filename", "für dich.txt")], "", &long)).await.id();
    let whole = tenant.get(&format!("/v1/media/{id}/content")).await;
    assert_eq!((whole.status, whole.text.as_bytes() == long), (200, true));
    assert_eq!(
        (&whole.headers["content-type"], &whole.headers["content-length"]),
        (&"text/plain".parse().unwrap(), &"600000".parse().unwrap())
    );
    assert!(whole.headers["content-disposition"].to_str().unwrap().ends_with("''f%C3%BCr%20dich.txt"));
    let path = format!("GET /v1/media/{id}/content");
    let part = tenant.with(&path, &[("range", "bytes=262140-262150")], Value::Null).await;
    assert_eq!((part.status, part.text.as_bytes()), (206, &long[262_140..=262_150]));
    assert_eq!(part.headers["content-range"], "bytes 262140-262150/600000");
    let beyond = tenant.with(&path, &[("range", "bytes=600000-")], Value::Null).await;
    assert_eq!(beyond.problem(), (416, "range_not_satisfiable".into()));
    let etag = whole.headers["etag"].to_str().unwrap();
    let known = tenant.with(&path, &[("if-none-match", etag)], Value::Null).await;
    assert_eq!((known.status, known.text.as_str()), (304, ""));
    assert_eq!(tenant.call(&format!("DELETE /v1/media/{id}"), Value::Null).await.status, 204);
    for gone in ["", "/content"] {
        assert_eq!(tenant.get(&format!("/v1/media/{id}{gone}")).await.problem(), (404, "not_found".into()));
    }
    assert_eq!(upload(&house, &tenant, form(&[], "", &long)).await.status, 201, "it can come again");
    house.running.shutdown().await;
}

/// A server that answers every request with this.
async fn server(head: &'static str, body: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/pics/halo.jpg", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = [0; 2_048];
            let _ = stream.read(&mut seen).await;
            let head =
                format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
        }
    });
    url
}

#[tokio::test]
async fn a_link_is_fetched_through_the_guard() {
    let house = House::with(|c| c.outbound.allow_networks = "127.0.0.1/32".parse().unwrap()).await;
    let tenant = house.tenant("A").await;
    let good = server("200 OK\r\ncontent-type: binary/octet-stream", JPEG).await;
    let made = tenant.call("POST /v1/media", json!({"link": good})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let shown = made.json();
    assert_eq!(
        (&shown["origin"], &shown["filename"], &shown["kind"]),
        (&json!("link"), &json!("halo.jpg"), &json!("image"))
    );
    let page = server("200 OK\r\ncontent-type: text/html; charset=utf-8", b"<html>").await;
    let gone = server("404 Not Found", b"").await;
    for (link, code) in [
        (page, "media_refused"),
        (gone, "link_unusable"),
        ("http://192.168.0.1/a.jpg".to_owned(), "link_unusable"),
        ("ftp://a.example/b".to_owned(), "link_unusable"),
        ("halo".to_owned(), "link_unusable"),
    ] {
        let refused = tenant.call("POST /v1/media", json!({"link": link})).await;
        assert_eq!(refused.problem(), (422, code.into()), "{link}");
    }
    house.running.shutdown().await;
    let house = House::open().await;
    let refused = house.tenant("A").await.call("POST /v1/media", json!({"link": good})).await;
    assert_eq!(refused.problem(), (422, "link_unusable".into()), "this machine is not the public internet");
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_message_may_only_name_media_that_is_there_and_fits() {
    let house = House::open().await;
    let (tenant, other) = (house.tenant("A").await, house.tenant("B").await);
    let session = tenant.idle_session("106000000000071").await;
    let (image, text) = (inline(&tenant, JPEG, None).await.id(), inline(&tenant, TEXT, None).await.id());
    let foreign = inline(&other, JPEG, None).await.id();
    let header = |media: Value| {
        json!({"session": session, "to": "6281234567890", "type": "template", "template": {"name": "halo",
            "language": {"code": "id"}, "components": [{"type": "header", "parameters": [{"type": "image", "image": media}]}]}})
    };
    let path = "template.components[0].parameters[0].image.id";
    for (media, status, code, at) in [
        (json!({"id": foreign}), 404, "unknown_reference", path),
        (json!({"id": "med_0000000000001"}), 404, "unknown_reference", path),
        (json!({"id": "med_1"}), 404, "unknown_reference", path),
        (json!({"id": text}), 422, "invalid_content", path),
        (json!({"base64": STANDARD.encode(TEXT)}), 422, "media_refused", &path.replace(".id", ".base64")),
        (json!({"base64": "aGk=", "id": "1"}), 422, "invalid_value", &path.replace(".id", ".base64")),
    ] {
        let refused = tenant.call("POST /v1/messages", header(media.clone())).await;
        assert_eq!(refused.problem(), (status, code.into()), "{media}");
        assert_eq!(refused.json()["path"], at, "{media}");
    }
    for media in
        [json!({"id": image}), json!({"id": "900100200300400"}), json!({"link": "https://a.example/b.jpg"})]
    {
        let taken = tenant.call("POST /v1/messages", header(media.clone())).await;
        assert_eq!(taken.status, 202, "{media}: {taken:?}");
    }
    // Bytes in the message are kept first: it names them by their id from then on.
    let bytes = json!({"base64": STANDARD.encode(JPEG), "mime_type": "image/jpeg"});
    let sent = tenant.call("POST /v1/messages", header(bytes)).await.id();
    let shown = tenant.get(&format!("/v1/messages/{sent}")).await.json();
    let media = &shown["message"]["template"]["components"][0]["parameters"][0]["image"];
    assert_eq!(media, &json!({"id": image}));
    // Stored messages and campaigns are looked at as well.
    let kept = json!({"name": "a", "message": {"type": "image", "image": {"id": text}}});
    assert_eq!(tenant.call("POST /v1/templates", kept).await.problem(), (422, "invalid_content".into()));
    let mut campaign = json!({"name": "c", "senders": [session], "audience": {"everyone": true}});
    campaign["message"] = json!({"type": "image", "image": {"id": foreign}});
    assert_eq!(
        tenant.call("POST /v1/campaigns", campaign).await.problem(),
        (404, "unknown_reference".into())
    );
    house.running.shutdown().await;
}
