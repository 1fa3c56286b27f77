//! Samples of the kinds that tell what a provider said.

use super::*;

/// What a provider tells beside a message, of its price and of a number.
pub(super) fn kinds() -> Vec<What> {
    let price = |line| Pricing::from_line(line).map(Arc::new);
    let pricing =
        [price("1|PMP|regular|marketing|"), None, price("|PMP|free_entry_point|service|referral_conversion")];
    let reports = |of: [u32; 3]| of.into_iter().zip(pricing.clone());
    let status = Status::Delivered;
    let statuses = reports([10_240, 10_241, 10_240]).map(|(of, pricing)| StatusReport {
        of,
        status,
        at: AT,
        cause: None,
        provider_id: None,
        pricing,
        rest: None,
    });
    let single = reports([5, 6, 7]).map(|(of, pricing)| StatusReport {
        of: MessageId(u64::from(of)),
        status,
        at: AT,
        cause: None,
        provider_id: Some("wamid.A".into()),
        pricing,
        rest: None,
    });
    let inbound = Inbound {
        id: MessageId(9),
        session: SESSION,
        conversation: ConversationId(900),
        from: person(),
        name: None,
        provider_id: "wamid.IN".into(),
        sent_at: AT,
        content: Arc::new(Content::plain("halo")),
        context: None,
        beside: Beside { forwarded: true, username: Some("ana.d".into()), ..Beside::default() }.told(),
    };
    let said = |text: &str| serde_json::from_str(text).unwrap();
    let rest = Rest {
        message: said(r#"{"identity":{"hash":"h"}}"#),
        contact: said(r#"{"parent_user_id":"US.ENT.7"}"#),
    };
    let more = Inbound { beside: Beside::default().with_rest(rest).told(), ..inbound.clone() };
    let notice = Notice::new("account_update", Some("102000000000001"), r#"{"event":"ACCOUNT_DELETED"}"#);
    vec![
        What::Notice(Box::new(Notice { session: Some(SESSION), at: Some(AT), ..notice })),
        What::Inbound(Box::new(inbound)),
        What::Statuses(single.collect()),
        What::PartStatuses { campaign: CAMPAIGN, statuses: statuses.collect() },
        quoted(),
        What::Inbound(Box::new(more)),
    ]
}

/// Statuses of which the provider said more.
pub(super) fn said_kinds() -> [What; 2] {
    let rest = |value| StatusRest::of([("conversation", value)]).map(Arc::new);
    let (one, other) = (rest(r#"{"id":"c0ffee"}"#), rest(r#"{"id":"cafe"}"#));
    let report = |of: u32, rest: &Option<Arc<StatusRest>>, priced: bool| StatusReport {
        of,
        status: Status::Delivered,
        at: AT,
        cause: None,
        provider_id: None,
        pricing: priced.then(|| Pricing::from_line("1|PMP|regular|marketing|").map(Arc::new)).flatten(),
        rest: rest.clone(),
    };
    let statuses = [(&one, true), (&None, false), (&other, true), (&one, false)];
    let statuses = (10_240..).zip(statuses).map(|(of, (rest, priced))| report(of, rest, priced));
    let single = StatusReport {
        of: MessageId(5),
        status: Status::Failed,
        at: AT,
        cause: Some(Cause(131_049)),
        provider_id: Some("wamid.A".into()),
        pricing: None,
        rest: StatusRest::of([("errors", r#"[{"code":131049}]"#)]).map(Arc::new),
    };
    [What::Statuses(vec![single]), What::PartStatuses { campaign: CAMPAIGN, statuses: statuses.collect() }]
}

fn quoted() -> What {
    let words =
        |trace: Option<&str>| Words { detail: "pair rate limit hit".into(), trace: trace.map(str::to_owned) };
    let calls = vec![(5, words(Some("AbC"))), (6, words(None)), (7, Words::default())];
    What::Quoted(Box::new(Quoted { campaign: Some(CAMPAIGN), calls }))
}
