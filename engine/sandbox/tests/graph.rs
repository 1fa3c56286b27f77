//! The Graph face as a client sees it: Meta's shapes, tokens, limits, webhooks, the control API.

mod account;
mod control;
mod faults;
mod harness;
mod policy;
mod script;

use harness::{Client, NUMBER, Receiver, items, sandbox, seeded, swift, text, until};
use hyper::Method;
use kabar_sandbox::{
    Behaviour, Inbound, Outcome, Sandbox, SandboxConfig, StatusOrder, UserIds, WebhookRefused,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_send_is_answered_in_metas_shape_with_and_without_a_version() {
    let sandbox = sandbox(swift()).await;
    let mut client = Client::to(&sandbox);
    for path in [format!("/v25.0/{NUMBER}/messages"), format!("/{NUMBER}/messages")] {
        let heard = client.post(&path, &text("+1 555-010-0001", "a")).await;
        assert_eq!(heard.status, 200);
        assert!(heard.headers["content-type"].to_str().unwrap().starts_with("application/json"));
        let wamid = heard.wamid();
        assert!(wamid.starts_with("wamid.HBgLMTU1NTAxMDAwMDEVAgAR"), "{wamid}");
        let whole = json!({"messaging_product": "whatsapp",
            "contacts": [{"input": "+1 555-010-0001", "wa_id": "15550100001"}], "messages": [{"id": wamid}]});
        assert_eq!(heard.json(), whole);
    }
    let rows = sandbox.ledger();
    assert_ne!(rows[0].wamid, rows[1].wamid, "the same message twice is two messages");
    assert_eq!(sandbox.stats().repeated, 1);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_wrong_token_is_190_and_an_unknown_number_100_33() {
    let sandbox = sandbox(swift()).await;
    let heard = Client::with_token(&sandbox, "nobody").send(&text("15550100001", "a")).await;
    assert_eq!((heard.status, heard.code()), (401, 190));
    assert!(heard.headers.contains_key("www-authenticate"));
    let error = &heard.json()["error"];
    assert_eq!(error["type"], "OAuthException");
    let trace = error["fbtrace_id"].as_str().unwrap();
    assert!(trace.starts_with('A') && trace.len() == 23, "{trace}");

    let mut client = Client::to(&sandbox);
    let heard = client.post("/v25.0/999/messages", &text("15550100001", "a")).await;
    assert_eq!((heard.status, heard.code()), (400, 100));
    assert_eq!(heard.json()["error"]["error_subcode"], 33);
    let heard = client.try_call(Method::POST, &format!("/{NUMBER}/messages"), b"{").await.unwrap();
    assert_eq!((heard.status, heard.code()), (400, 100));
    let heard =
        client.send(&json!({"messaging_product": "whatsapp", "to": "15550100001", "type": "image"})).await;
    assert_eq!((heard.status, heard.code()), (400, 131_008));
    assert_eq!(heard.json()["error"]["error_data"]["messaging_product"], "whatsapp");
    assert_eq!(sandbox.ledger().last().unwrap().code, Some(131_008));
    assert_eq!(sandbox.stats().accepted, 0);
}

#[tokio::test]
async fn a_number_and_a_token_describe_themselves() {
    let sandbox = sandbox(swift()).await;
    let mut client = Client::to(&sandbox);
    let whole = client.get(&format!("/v25.0/{NUMBER}")).await.json();
    assert_eq!(whole["display_phone_number"], "15550200000");
    assert_eq!(whole["quality_rating"], "GREEN");
    assert_eq!(whole["throughput"]["level"], "HIGH");
    let some = client.get(&format!("/v25.0/{NUMBER}?fields=verified_name")).await.json();
    assert_eq!(some, json!({"id": NUMBER, "verified_name": "Kabar Sandbox"}));
    let listed = client.get("/v25.0/102000000000001/phone_numbers").await.json();
    assert_eq!(listed["data"][0]["id"], NUMBER);
    let known = client.get("/debug_token?input_token=sandbox-access-token").await.json();
    assert_eq!(known["data"]["is_valid"], true);
    assert_eq!(client.get("/debug_token?input_token=x").await.json()["data"]["is_valid"], false);
    assert_eq!(client.get("/v25.0/4711").await.code(), 100);
}

#[tokio::test]
async fn a_number_over_its_rate_is_told_130429_until_its_own_clock_refills_it() {
    let behaviour = Behaviour { pair_limit: false, ..Behaviour::quiet() };
    let mut config = SandboxConfig { behaviour, ..SandboxConfig::default() };
    config.behaviour.throughput_limit = true;
    config.numbers[0].messages_per_second = 20;
    let sandbox = Sandbox::start(config).await.unwrap();
    let (mut client, mut control) = (Client::to(&sandbox), Client::control(&sandbox));
    let mut sent = 0;
    let refused = loop {
        let heard = client.send(&text("15550100001", &format!("{sent}"))).await;
        if heard.status != 200 {
            break heard;
        }
        sent += 1;
    };
    assert!(sent >= 20, "a whole second may go at once: {sent}");
    assert_eq!((refused.status, refused.code()), (400, 130_429));
    assert_eq!(refused.json()["error"]["error_subcode"], 2_494_055);

    let part = json!({"throttle_status": 429, "throttle_retry_after_s": 3});
    assert_eq!(control.post("/_sim/behaviour", &part).await.status, 200);
    let refused = loop {
        let heard = client.send(&text("15550100001", "again")).await;
        if heard.status != 200 {
            break heard;
        }
    };
    assert_eq!((refused.status, refused.code()), (429, 130_429));
    assert_eq!(refused.headers["retry-after"], "3");
    assert_eq!(control.post("/_sim/clock", &json!({"advance_ms": 1000})).await.status, 200);
    for n in 0..20 {
        assert_eq!(client.send(&text("15550100001", &format!("later {n}"))).await.status, 200);
    }
}

#[tokio::test]
async fn a_pair_over_its_pace_is_told_131056_and_nobody_else_is() {
    let sandbox = sandbox(Behaviour { pair_limit: true, ..Behaviour::quiet() }).await;
    let mut client = Client::to(&sandbox);
    let mut codes = Vec::new();
    for n in 0..47 {
        codes.push(client.send(&text("15550100001", &n.to_string())).await.code());
    }
    assert!(codes[..45].iter().all(|code| *code == 0), "{codes:?}");
    assert_eq!(codes[46], 131_056);
    assert_eq!(client.send(&text("15550100002", "x")).await.status, 200);
    sandbox.advance(6_000);
    assert_eq!(client.send(&text("15550100001", "y")).await.status, 200);
    assert_eq!(
        sandbox.stats().rejected[&131_056],
        codes.iter().filter(|code| **code == 131_056).count() as u64
    );
}

#[tokio::test]
async fn statuses_arrive_signed_over_escaped_bytes_with_reference_price_and_contact() {
    let sandbox = sandbox(swift()).await;
    let receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let mut client = Client::to(&sandbox);
    let template = json!({"messaging_product": "whatsapp", "to": "6281234567890", "type": "template",
        "template": {"name": "order_update", "language": {"code": "id"}}, "biz_opaque_callback_data": "v1|é👍|9"});
    let heard = client.send(&template).await;
    assert_eq!(heard.json()["messages"][0]["message_status"], "accepted");
    until(&sandbox, kabar_sandbox::Stats::is_settled).await;

    let posts = receiver.posts();
    for post in &posts {
        assert!(post.verifies("sandbox-app-secret"));
        assert!(!post.verifies("another secret"));
        assert!(post.body.is_ascii());
    }
    let whole: Vec<u8> = posts.iter().flat_map(|post| post.body.to_vec()).collect();
    assert!(String::from_utf8(whole).unwrap().contains(r"v1|\u00e9\ud83d\udc4d|9"));
    let statuses = receiver.items("statuses");
    let mut names: Vec<&str> = statuses.iter().map(|status| status["status"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["delivered", "read", "sent"]);
    for status in &statuses {
        assert_eq!(status["id"], heard.wamid());
        assert_eq!(status["recipient_id"], "6281234567890");
        assert!(status["recipient_user_id"].as_str().unwrap().starts_with("ID."));
        assert_eq!(status["biz_opaque_callback_data"], "v1|é👍|9");
        assert!(status["timestamp"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000);
        assert_eq!(status.get("pricing").is_some(), status["status"] != "read");
    }
    let value = &posts[0].changes()[0]["value"];
    assert_eq!(value["metadata"]["phone_number_id"], NUMBER);
    assert_eq!(value["contacts"][0]["wa_id"], "6281234567890");
    let row = &sandbox.ledger()[0];
    assert!(row.sent && row.delivered && row.read && row.failed.is_none() && !row.replied);
}

#[tokio::test]
async fn webhooks_are_repeated_as_the_same_bytes_until_200_and_none_is_lost() {
    let sandbox = sandbox(Behaviour { webhook_batch_max: 7, ..swift() }).await;
    // nobody listens at first, then a receiver that fails, then it works
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut control = Client::control(&sandbox);
    let url = format!("http://{address}/hook");
    assert_eq!(control.post("/_sim/webhook", &json!({"url": url})).await.status, 400, "nobody to verify");
    assert_eq!(control.post("/_sim/webhook", &json!({"url": url, "verify": false})).await.status, 200);
    let mut client = Client::to(&sandbox);
    for n in 0..100 {
        client.send(&text(&format!("15550100{n:03}"), &n.to_string())).await;
    }
    until(&sandbox, |stats| stats.scheduled_events == 0 && stats.webhooks.retried > 50).await;
    let receiver = Receiver::on(TcpListener::bind(address).await.unwrap(), 30);
    let stats = until(&sandbox, kabar_sandbox::Stats::is_settled).await;
    assert_eq!((stats.webhooks.updates, stats.webhooks.unsubscribed), (300, 0));
    assert_eq!(stats.webhooks.offered, stats.webhooks.acked);
    let posts = receiver.posts();
    assert_eq!(posts.len() as u64, stats.webhooks.acked + 30);
    let mut bodies: Vec<_> = posts.iter().map(|post| post.body.clone()).collect();
    bodies.sort_unstable();
    bodies.dedup();
    assert_eq!(bodies.len() as u64, stats.webhooks.acked, "repetitions are the same bytes");
    let mut told: Vec<String> = items(&posts, "statuses")
        .iter()
        .map(|status| format!("{} {}", status["biz_opaque_callback_data"], status["status"]))
        .collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 300);
}

#[tokio::test]
async fn a_receiver_must_answer_the_challenge() {
    let receiver = Receiver::start().await;
    let sandbox = sandbox(swift()).await;
    assert_eq!(sandbox.set_webhook(&receiver.url).await, Ok(()));
    let stranger = Sandbox::start(SandboxConfig { verify_token: "other".into(), ..SandboxConfig::default() })
        .await
        .unwrap();
    assert_eq!(stranger.set_webhook(&receiver.url).await, Err(WebhookRefused::Status(403)));
    assert!(matches!(stranger.set_webhook("https://x").await, Err(WebhookRefused::NotAUrl(_))));
    let mut nobody = Client::with_token(&sandbox, "sandbox-access-token");
    assert_eq!(nobody.get("/_sim/stats").await.status, 401);
}

#[tokio::test]
async fn users_write_answer_and_hide_their_number() {
    let sandbox = sandbox(swift()).await;
    let mut receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let mut control = Client::control(&sandbox);
    let order = json!({"phone_number_id": NUMBER, "from": "6281234567890", "name": "Zoë", "text": "Halo",
        "context_id": "wamid.abc"});
    let heard = control.post("/_sim/inbound", &order).await;
    let posts = receiver.until(|posts| !items(posts, "messages").is_empty()).await;
    let message = &items(&posts, "messages")[0];
    assert_eq!(message["id"], heard.json()["id"]);
    assert_eq!(message["from"], "6281234567890");
    assert_eq!(message["text"]["body"], "Halo");
    assert_eq!(message["context"], json!({"from": "15550200000", "id": "wamid.abc"}));
    let user_id = message["from_user_id"].as_str().unwrap().to_owned();
    assert_eq!(posts[0].changes()[0]["value"]["contacts"][0]["profile"]["name"], "Zoë");

    let image = json!({"type": "image", "image": {"id": "900"}});
    let order = Inbound {
        phone_number_id: NUMBER.into(),
        from: "6281234567890".into(),
        message: Some(image),
        user_id: Some("ID.42".into()),
        ..Inbound::default()
    };
    sandbox.inbound(&order).unwrap();
    let behaviour = Behaviour { user_ids: UserIds::UserId, ..swift() };
    receiver.until(|posts| items(posts, "messages").len() == 2).await;
    assert_eq!(receiver.items("messages")[1]["image"]["id"], "900");
    assert_eq!(receiver.items("messages")[1]["from_user_id"], "ID.42");

    // the same person by user id: the ledger knows the number, webhooks hide it
    sandbox.set_behaviour(behaviour).unwrap();
    let mut client = Client::to(&sandbox);
    let body = json!({"messaging_product": "whatsapp", "recipient": user_id, "text": {"body": "Hi"}});
    let heard = client.send(&body).await.json();
    assert_eq!(heard["contacts"][0], json!({"input": user_id, "user_id": user_id}));
    assert_eq!(sandbox.ledger()[0].to, "6281234567890");
    receiver.until(|posts| !items(posts, "statuses").is_empty()).await;
    let status = &receiver.items("statuses")[0];
    assert!(status.get("recipient_id").is_none());
    assert_eq!(status["recipient_user_id"], user_id.as_str());
}

#[tokio::test]
async fn read_receipts_and_typing_are_answered_and_are_no_messages() {
    let sandbox = sandbox(swift()).await;
    let mut client = Client::to(&sandbox);
    let written = Inbound {
        phone_number_id: NUMBER.into(),
        from: "15550100001".into(),
        text: Some("Hi".into()),
        ..Inbound::default()
    };
    let id = sandbox.inbound(&written).unwrap();
    let mut receipt = json!({"messaging_product": "whatsapp", "status": "read", "message_id": id});
    assert_eq!(client.send(&receipt).await.json(), json!({"success": true}));
    receipt["typing_indicator"] = json!({"type": "text"});
    assert_eq!(client.send(&receipt).await.json(), json!({"success": true}));
    for nobodys in ["abc", "wamid.abc"] {
        receipt["message_id"] = json!(nobodys);
        assert_eq!(client.send(&receipt).await.code(), 131_009);
    }
    sandbox.advance(30 * 24 * 3_600 * 1_000);
    receipt["message_id"] = json!(id);
    assert_eq!(client.send(&receipt).await.code(), 131_009, "30 days are over");
    let stats = sandbox.stats();
    assert_eq!((stats.accepted, stats.receipts), (0, 2));
    assert_eq!(sandbox.ledger()[0].outcome, Outcome::Receipt);
}

#[tokio::test]
async fn the_control_api_orders_statuses_holds_webhooks_and_forgets() {
    let sandbox = sandbox(Behaviour { statuses: false, ..swift() }).await;
    let mut receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let (mut client, mut control) = (Client::to(&sandbox), Client::control(&sandbox));
    let wamid = client.send(&text("15550100001", "ref")).await.wamid();
    sandbox.pause_webhooks();
    let order = json!({"wamid": wamid, "status": "failed", "code": 131_049});
    assert_eq!(control.post("/_sim/status", &order).await.json()["known"], true);
    let strange = StatusOrder {
        raw: Some(json!({"id": "wamid.x", "status": "warning"})),
        phone_number_id: Some(NUMBER.into()),
        ..StatusOrder::default()
    };
    sandbox.status(&strange).unwrap();
    assert!(sandbox.status(&StatusOrder::default()).is_err());
    assert_eq!((sandbox.stats().webhooks.pending, receiver.posts().len()), (2, 0));
    assert_eq!(control.post("/_sim/resume_webhooks", &Value::Null).await.status, 200);
    receiver.until(|posts| items(posts, "statuses").len() == 2).await;
    let failed = &receiver.items("statuses")[0];
    assert_eq!(failed["errors"][0]["code"], 131_049);
    assert_eq!(failed["biz_opaque_callback_data"], "ref");
    assert_eq!(sandbox.ledger()[0].failed, Some(131_049));
    until(&sandbox, kabar_sandbox::Stats::is_settled).await;

    let page = control.get("/_sim/ledger?after=0&limit=10").await.json();
    assert_eq!((page["total"].as_u64(), page["next"].as_u64()), (Some(1), Some(1)));
    assert_eq!(page["rows"][0]["type"], "text");
    assert_eq!(control.get("/_sim/ledger?after=1").await.json()["rows"], json!([]));
    assert_eq!(control.get("/_sim/recipients").await.json(), json!({"15550100001": 1}));
    let refused = control.post("/_sim/behaviour", &json!({"replyrate": 1})).await;
    assert!(refused.status == 400 && refused.json()["error"].as_str().unwrap().contains("replyrate"));
    assert_eq!(control.post("/_sim/reset", &Value::Null).await.status, 200);
    assert_eq!(sandbox.stats(), kabar_sandbox::Stats::default());
    assert!(sandbox.ledger().is_empty());
}

#[tokio::test]
async fn two_sandboxes_in_one_process_do_not_know_each_other_and_free_their_port() {
    let (one, two) = (seeded(1, swift()).await, seeded(2, swift()).await);
    Client::to(&one).send(&text("15550100001", "a")).await;
    assert_eq!((one.stats().accepted, two.stats().accepted), (1, 0));
    for word in [one.base_url().as_str(), "sandbox-access-token", NUMBER, "131026", "BERHENTI"] {
        assert!(one.banner().contains(word), "{word}");
    }
    let config = SandboxConfig { listen: one.local_addr(), ..SandboxConfig::default() };
    assert!(Sandbox::start(config.clone()).await.is_err(), "the port is taken");
    one.stop().await;
    let again = Sandbox::start(config).await.unwrap();
    assert_eq!(Client::to(&again).send(&text("15550100001", "a")).await.status, 200);
}

/// Not a promise of speed: prints what this machine does, and that nothing is lost at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_sends_are_all_in_the_ledger() {
    let sandbox = sandbox(Behaviour::quiet()).await;
    let started = std::time::Instant::now();
    let callers = (0..4).map(|caller| {
        let mut client = Client::to(&sandbox);
        tokio::spawn(async move {
            for n in 0..5_000 {
                let id = caller * 5_000 + n;
                assert_eq!(
                    client.send(&text(&format!("62812{id:07}"), &format!("v1|1|{id}"))).await.status,
                    200
                );
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let rate = 20_000.0 / started.elapsed().as_secs_f64();
    println!("sandbox: {rate:.0} sends/s over 4 connections, client and server in one process");
    let stats = sandbox.stats();
    assert_eq!((stats.accepted, stats.unique_references, stats.unique_recipients), (20_000, 20_000, 20_000));
    assert_eq!((stats.repeated, stats.repeated_recipients), (0, 0));
}
