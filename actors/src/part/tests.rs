//! When a part looks again, on the virtual clock; and what a recipient is answered whose message cannot be rendered.

use super::*;
use crate::NodeOptions;
use crate::house::{BEGINS, Fate, House, TENANT};
use kabar_engine::campaign::Verb;

#[test]
fn what_cannot_be_rendered_is_refused_with_the_variable_named() {
    let pattern = ContentPattern::compile(&Content::plain("Halo {{name}}"), false).unwrap();
    let missing = pattern.render(1, &|_| None).unwrap_err();
    let detail = "the variable `name` has no value".to_owned();
    assert_eq!(
        unrendered(&missing),
        SendError::Rejected(Reason { cause: Cause::RENDER, detail, trace: None })
    );
}

#[tokio::test(start_paused = true)]
async fn a_part_that_stands_still_does_not_look_for_what_may_not_go_and_goes_on_when_it_is_told() {
    const MINUTE_MS: u64 = 60_000;
    // Wakes, and the longest sleep's end.
    const QUIET: u64 = 5;
    let house = House::on(House::store().await, Timestamp(BEGINS), NodeOptions::default()).await;
    house.provider.next(Fate::Later);
    let campaign = house.launch(1).await;
    house.pass(500).await;
    assert_eq!(house.provider.called.lock().len(), 1);
    let desk = house.node.dispatcher();
    desk.move_campaign(TENANT, campaign, Verb::Pause, None).await.unwrap();
    // The recipient's moment comes, and goes by.
    house.pass(30_000).await;
    let before = house.handled(LABEL);
    house.pass(MINUTE_MS).await;
    let looks = house.handled(LABEL) - before;
    assert!(looks <= QUIET, "{looks} looks in a minute");
    assert_eq!(house.provider.called.lock().len(), 1);
    desk.move_campaign(TENANT, campaign, Verb::Resume, None).await.unwrap();
    house.pass(2_000).await;
    assert_eq!(house.provider.called.lock().len(), 2);
    assert_eq!(desk.campaign(TENANT, campaign).await.unwrap().unwrap().totals.sent, 1);
}
