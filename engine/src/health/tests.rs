//! What notices and errors come to.

use super::*;
use crate::id::ShardId;
use crate::notice::Notice;
use crate::time::{HOUR_MS, MINUTE_MS};
use serde_json::{Value, json};

const T: Timestamp = Timestamp(1_790_000_000_000);

fn hear(health: &mut Health, field: &str, value: &Value, at: Timestamp) -> bool {
    let notice = Notice { at: Some(at), ..Notice::new(field, Some("102"), &value.to_string()) };
    health.hear(&notice, EventId::of(ShardId(1), 7, 0), T.plus_ms(HOUR_MS))
}

fn status(event: &str, title: Option<&str>) -> Value {
    json!({"event": event, "message_template_id": 1, "message_template_name": "promo",
        "message_template_language": "en-US", "reason": null, "other_info": {"title": title}})
}

fn promo() -> TemplateName {
    TemplateName::new("promo", "en_US")
}

#[test]
fn each_field_is_told_with_its_time_and_its_event() {
    let mut health = Health::default();
    let upgrade = json!({"display_phone_number": "15550200000", "event": "THROUGHPUT_UPGRADE",
        "max_daily_conversations_per_business": "TIER_100K"});
    assert!(hear(&mut health, "phone_number_quality_update", &upgrade, T));
    assert!(!hear(&mut health, "phone_number_quality_update", &upgrade, T), "a repeat says nothing new");
    assert!(health.is_upgraded());
    let told = health.messaging_limit.clone().unwrap();
    assert_eq!((told.value.as_str(), told.at), ("TIER_100K", T));
    assert_eq!(told.by, Evidence::Event(EventId::of(ShardId(1), 7, 0)));
    hear(
        &mut health,
        "business_capability_update",
        &json!({"max_daily_conversations_per_business": 2000}),
        T,
    );
    assert_eq!(health.messaging_limit.clone().unwrap().value, "2000");
    let earlier = json!({"max_daily_conversations_per_business": 250});
    assert!(!hear(&mut health, "business_capability_update", &earlier, T.plus_ms(-1)), "it came late");
    hear(
        &mut health,
        "phone_number_quality_update",
        &json!({"event": "FLAGGED", "current_limit": "TIER_1K"}),
        T,
    );
    hear(&mut health, "phone_number_name_update", &json!({"decision": "REJECTED"}), T);
    hear(&mut health, "account_review_update", &json!({"decision": "APPROVED"}), T);
    hear(&mut health, "account_alerts", &json!({"alert_info": {"alert_type": "OBA_APPROVED"}}), T);
    let words = [&health.quality, &health.display_name, &health.review, &health.alert];
    assert_eq!(
        words.map(|w| w.as_ref().unwrap().value.as_str()),
        ["RED", "REJECTED", "APPROVED", "OBA_APPROVED"]
    );
}

#[test]
fn a_restriction_blocks_what_it_says_until_it_ends() {
    let mut health = Health::default();
    let until = T.plus_ms(HOUR_MS);
    let restricted = json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": [
        {"restriction_type": "RESTRICTED_ADD_PHONE_NUMBER_ACTION", "expiration": 1_999_999_999},
        {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": until.0 / 1_000}]});
    hear(&mut health, "account_update", &restricted, T);
    assert_eq!(health.blocks(T), (Blocks::Initiated, Some(until)));
    assert_eq!(health.blocks(until), (Blocks::Nothing, None));
    let ban = |state: &str| json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": state}});
    for (state, blocks) in
        [("SCHEDULE_FOR_DISABLE", Blocks::Nothing), ("DISABLE", Blocks::All), ("REINSTATE", Blocks::Nothing)]
    {
        hear(&mut health, "account_update", &ban(state), T.plus_ms(1));
        assert_eq!(health.blocks(T).0, blocks, "{state}");
    }
    assert!(!hear(&mut health, "account_update", &json!({"event": "PARTNER_ADDED"}), T.plus_ms(2)));
    assert!(!hear(&mut health, "account_update", &json!([1]), T.plus_ms(2)));
}

#[test]
fn who_may_not_even_answer_sends_nothing_and_each_restriction_has_its_own_end() {
    let (answers, all) = (T.plus_ms(HOUR_MS), T.plus_ms(3 * HOUR_MS));
    let one = |kind: &str, end: Value| json!({"restriction_type": kind, "expiration": end});
    let restricted = |list: &[Value]| json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": list});
    let initiated = one("RESTRICTED_BIZ_INITIATED_MESSAGING", json!(all.0 / 1_000));
    let customer = |end: Value| one("RESTRICTED_CUSTOMER_INITIATED_MESSAGING", end);
    let heard = |list: &[Value]| {
        let mut health = Health::default();
        hear(&mut health, "account_update", &restricted(list), T);
        health
    };
    let date = answers.to_rfc3339();
    let graphs = format!("{}+0000", date.split('.').next().unwrap().trim_end_matches('Z'));
    for end in [json!(answers.0 / 1_000), json!((answers.0 / 1_000).to_string()), json!(date), json!(graphs)]
    {
        let both = heard(&[initiated.clone(), customer(end.clone())]);
        assert_eq!(both.blocks(T), (Blocks::All, Some(answers)), "{end}");
        assert_eq!(both.blocks(answers), (Blocks::Initiated, Some(all)));
        assert_eq!(both.blocks(all), (Blocks::Nothing, None));
    }
    let alone = heard(&[customer(json!(answers.0 / 1_000))]);
    assert_eq!(alone.blocks(T), (Blocks::All, Some(answers)));
    assert_eq!(alone.blocks(answers), (Blocks::Nothing, None));
    for endless in [json!(null), json!("soon"), json!("")] {
        assert_eq!(heard(&[initiated.clone(), customer(endless)]).blocks(all), (Blocks::All, None));
    }
    let calls = heard(&[one("RESTRICTED_USER_INITIATED_CALLING", json!(null))]);
    assert_eq!(calls.blocks(T), (Blocks::Nothing, None));
}

#[test]
fn a_paused_template_is_held_as_long_as_the_pause_and_a_disabled_one_for_ever() {
    let mut health = Health::default();
    let template = "message_template_status_update";
    for (event, title, held) in [
        ("PAUSED", Some("FIRST_PAUSE"), Some(Some(T.plus_ms(3 * HOUR_MS)))),
        ("PAUSED", Some("SECOND_PAUSE"), Some(Some(T.plus_ms(6 * HOUR_MS)))),
        ("PAUSED", Some("UNPAUSE"), None),
        ("DISABLED", Some("DISABLED"), Some(None)),
        ("REINSTATED", None, None),
        ("FLAGGED", None, None),
    ] {
        hear(&mut health, template, &status(event, title), T);
        assert_eq!(health.holds(&promo(), T), held, "{event} {title:?}");
    }
    hear(&mut health, template, &status("PAUSED", Some("FIRST_PAUSE")), T);
    assert_eq!(health.holds(&promo(), T.plus_ms(3 * HOUR_MS)), None, "it has ended by itself");
    assert_eq!(health.holds(&TemplateName::new("promo", "id"), T), None, "another language");
    // The reference's sample has the wrong field.
    let quality = json!({"previous_quality_score": "GREEN", "new_quality_score": "RED",
        "message_template_name": "promo", "message_template_language": "en-US"});
    hear(&mut health, "message_template_status_update", &quality, T);
    assert!(health.holds(&promo(), T).is_some(), "the quality alone lifts no pause");
    assert_eq!(health.templates["promo en_US"].value.quality.as_deref(), Some("RED"));
}

#[test]
fn an_error_is_noted_once_a_minute_and_holds_the_template_it_names() {
    let mut health = Health::default();
    let trouble = |code, holds| Trouble {
        holds,
        cause: Cause(code),
        detail: "as Meta says".into(),
        template: Some(promo()),
    };
    let paused = trouble(132_015, Some(Throttle::Template));
    assert!(health.note(&paused, T));
    assert!(!health.note(&paused, T.plus_ms(59_000)));
    assert_eq!(health.holds(&promo(), T), Some(Some(T.plus_ms(30 * MINUTE_MS))));
    assert!(health.note(&trouble(131_042, Some(Throttle::Account)), T.plus_ms(1)));
    let error = health.last_error.clone().unwrap();
    assert_eq!((error.value.cause, error.value.detail.as_str()), (Cause(131_042), "as Meta says"));
    assert_eq!(error.by, Evidence::Code(Cause(131_042)));
    assert!(health.note(&trouble(132_016, Some(Throttle::Template)), T.plus_ms(HOUR_MS)));
    assert_eq!(health.holds(&promo(), T.plus_ms(999 * HOUR_MS)), Some(None));
}

#[test]
fn templates_are_bounded_and_held_ones_stay() {
    let mut health = Health::default();
    hear(&mut health, "message_template_status_update", &status("DISABLED", None), T.plus_ms(-1));
    for nth in 0..300_i64 {
        let value = json!({"event": "APPROVED", "message_template_name": format!("t{nth}"),
            "message_template_language": "id"});
        hear(&mut health, "message_template_status_update", &value, T.plus_ms(nth));
    }
    assert_eq!(health.templates.len(), TEMPLATES);
    assert_eq!(health.holds(&promo(), T), Some(None));
    let kept = serde_json::to_string(&health).unwrap();
    assert_eq!(serde_json::from_str::<Health>(&kept).unwrap(), health);
    assert_eq!(serde_json::from_str::<Health>("{}").unwrap(), Health::default());
}
