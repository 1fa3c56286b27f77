//! The fate of one send: what the caller hears, and which statuses and replies follow when.
//! Pure: everything comes from the behaviour, the phone and the dice.

use super::dice::Dice;
use super::ledger::FaultKind;
use super::magic::Magic;
use super::message::{Kind, Status};
use super::phone::Traits;
use super::policy::Silence;
use super::wamid::Id;
use crate::behaviour::Behaviour;

const CHATTER: &[&str] =
    &["Halo, terima kasih!", "Berapa harganya?", "Oke 👍", "Sí, mañana está bien", "Yes please", "Ya"];
const OPT_OUTS: &[&str] = &["STOP", "BERHENTI"];
/// What phones say, as it stands here, by chance or by magic.
pub(crate) fn phrase(text: &str) -> Option<&'static str> {
    CHATTER.iter().chain(OPT_OUTS).chain(&["Halo"]).copied().find(|known| *known == text)
}

const EARLY_SENT_WAIT_MS: u64 = 50;

/// What the caller hears.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) id: Id,
    pub(crate) latency_ms: u64,
    pub(crate) fault: Option<FaultKind>,
    /// Behind a bare 502: whether the message was accepted.
    pub(crate) accepted_behind: bool,
    /// Code of a refusal in the answer.
    pub(crate) refused: Option<u32>,
    /// `sent` leaves before the answer does.
    pub(crate) early_sent: bool,
}

/// One thing that happens to an accepted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// When it happens, in milliseconds after acceptance.
    pub(crate) stamp_ms: u64,
    /// When it is told; later than it happens only for repetitions and swaps.
    pub(crate) after_ms: u64,
    pub(crate) act: Act,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Status {
        status: Status,
        code: u32,
        priced: bool,
    },
    Reply {
        text: &'static str,
        quote: bool,
    },
    /// The phone blocks the number.
    Block,
}

/// What a journey depends on besides the dice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) behaviour: &'a Behaviour,
    pub(crate) magic: Option<Magic>,
    pub(crate) traits: Traits,
    pub(crate) kind: Kind,
    pub(crate) outside_window: bool,
    /// The code it fails with, whoever it is for.
    pub(crate) doom: Option<u32>,
    /// It never arrives.
    pub(crate) silent: Option<Silence>,
    /// Milliseconds after which it is no longer delivered.
    pub(crate) ttl_ms: Option<u64>,
    /// Milliseconds it is held back first.
    pub(crate) held_ms: u64,
    /// Whether a script answers it instead of chance.
    pub(crate) scripted: bool,
    /// Whether the phone blocks the number after it.
    pub(crate) blocks: bool,
}

/// What follows a message.
#[derive(Debug, Default)]
pub(crate) struct Journey {
    pub(crate) steps: Vec<Step>,
    /// When it arrives, in milliseconds after acceptance.
    pub(crate) arrives_ms: Option<u64>,
}

/// Draws the answer of one send call.
pub(crate) fn answer(behaviour: &Behaviour, dice: &mut Dice) -> Answer {
    let faults = &behaviour.faults;
    let id = dice.id();
    let latency = dice.delay(&behaviour.answer_ms);
    let (point, coin, refusal) = (dice.share(), dice.share(), dice.share());
    let refused = dice.pick(&behaviour.fail_in_answer_codes).filter(|_| refusal < behaviour.fail_in_answer);
    let early_sent = dice.chance(behaviour.status_before_answer);
    let mut upto = 0.0;
    let mut meets = |rate: f64| {
        upto += rate;
        point < upto
    };
    let fault = [
        (faults.rate_reset_before_accept, FaultKind::ResetBeforeAccept),
        (faults.rate_429, FaultKind::Throttled),
        (faults.rate_500_graph, FaultKind::Graph500),
        (faults.rate_bare_502, FaultKind::Bare502),
        (faults.rate_drop_after_accept, FaultKind::DroppedAfterAccept),
        (faults.rate_slow, FaultKind::Slow),
    ]
    .into_iter()
    .find_map(|(rate, kind)| meets(rate).then_some(kind));
    Answer {
        id,
        latency_ms: if early_sent { latency.max(EARLY_SENT_WAIT_MS) } else { latency },
        fault,
        accepted_behind: coin < faults.accepted_share,
        refused: refused.filter(|_| fault.is_none()),
        early_sent,
    }
}

/// Draws what follows an accepted message, in the order in which it is told.
pub(crate) fn journey(scene: &Scene<'_>, answer: &Answer, dice: &mut Dice) -> Journey {
    let b = scene.behaviour;
    // every draw is made whether it is used or not, so that one knob does not shift another's fate
    let (sent, delivered) = (dice.delay(&b.sent_ms), dice.delay(&b.delivered_ms));
    let (read, reply) = (dice.delay(&b.read_ms), dice.delay(&b.reply_delay));
    let (reads, misses) = (dice.chance(b.read_rate), dice.chance(b.missing_delivered));
    let (swaps, at_end) = (dice.chance(b.out_of_order), dice.chance(0.5));
    let sent_first = dice.chance(0.5);
    let (replies, stops, quote) = (dice.chance(b.reply_rate), dice.chance(b.stop_rate), dice.chance(0.5));
    let (chatter, opt_out) = (dice.pick(CHATTER), dice.pick(OPT_OUTS));

    let sent_at = if answer.early_sent { 0 } else { answer.latency_ms + sent } + scene.held_ms;
    let delivered_at = sent_at + delivered;
    let failure = failure(scene).filter(|_| scene.silent.is_none());
    let in_time = scene.ttl_ms.is_none_or(|ttl| delivered_at <= ttl);
    let arrives =
        failure.is_none() && in_time && scene.silent.is_none() && scene.magic != Some(Magic::NeverDelivered);
    let never_read = scene.traits.no_read || scene.magic == Some(Magic::NeverRead);
    let mut steps = Vec::new();
    if b.statuses && scene.silent != Some(Silence::Whole) {
        let mut status = |at: u64, status, code, priced| {
            steps.push(Step { stamp_ms: at, after_ms: at, act: Act::Status { status, code, priced } });
        };
        if let Some(code) = failure {
            if sent_first {
                status(sent_at, Status::Sent, 0, true);
            }
            status(delivered_at, Status::Failed, code, false);
        } else {
            status(sent_at, Status::Sent, 0, true);
        }
        if arrives && scene.kind != Kind::Reaction {
            let reads = (reads || scene.magic.is_some()) && !never_read;
            let misses = misses && reads;
            if !misses {
                status(delivered_at, Status::Delivered, 0, true);
            }
            if reads {
                status(delivered_at + read, Status::Read, 0, misses);
            }
        }
        disturb(&mut steps, swaps.then_some(at_end), b.duplicate, dice);
    }
    let text = match scene.magic {
        Some(Magic::Answers(text)) => Some(text),
        Some(_) => None,
        None if scene.scripted => None,
        None => replies.then_some(if stops { opt_out } else { chatter }).flatten(),
    };
    if let Some(text) = text.filter(|_| arrives) {
        let at = delivered_at + reply;
        steps.push(Step { stamp_ms: at, after_ms: at, act: Act::Reply { text, quote } });
    }
    if scene.blocks && arrives {
        let at = delivered_at + read;
        steps.push(Step { stamp_ms: at, after_ms: at, act: Act::Block });
    }
    Journey { steps, arrives_ms: arrives.then_some(delivered_at) }
}

fn failure(scene: &Scene<'_>) -> Option<u32> {
    if scene.doom.is_some() {
        return scene.doom;
    }
    match scene.magic {
        Some(Magic::FailLater(code)) => Some(code),
        _ if scene.outside_window => Some(131_047),
        None if scene.traits.unreachable => Some(131_026),
        _ => None,
    }
}

/// Swaps two neighbours and tells some statuses twice. What happened keeps its time stamp.
fn disturb(steps: &mut Vec<Step>, swap_at_end: Option<bool>, duplicate: f64, dice: &mut Dice) {
    if let Some(at_end) = swap_at_end.filter(|_| steps.len() >= 2) {
        let first = if at_end { steps.len() - 2 } else { 0 };
        let (earlier, later) = (steps[first].after_ms, steps[first + 1].after_ms);
        (steps[first].after_ms, steps[first + 1].after_ms) = (later.max(earlier + 1), earlier);
        steps.swap(first, first + 1);
    }
    for at in 0..steps.len() {
        let (twice, pause) = (dice.chance(duplicate), dice.share());
        if twice {
            let again = Step { after_ms: steps[at].after_ms + 50 + (pause * 400.0) as u64, ..steps[at] };
            steps.push(again);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dice::Stream;
    use super::*;

    fn told(behaviour: &Behaviour, magic: Option<Magic>, traits: Traits, n: u64) -> Vec<Step> {
        let scene = Scene {
            behaviour,
            magic,
            traits,
            kind: Kind::Text,
            outside_window: false,
            doom: None,
            silent: None,
            ttl_ms: None,
            held_ms: 0,
            scripted: false,
            blocks: false,
        };
        let answer = answer(behaviour, &mut Dice::new(1, 1, n, Stream::Answer));
        journey(&scene, &answer, &mut Dice::new(1, 1, n, Stream::Journey)).steps
    }

    fn names(steps: &[Step]) -> Vec<&'static str> {
        let name = |step: &Step| match step.act {
            Act::Status { status, .. } => status.name(),
            Act::Reply { text, .. } => text,
            Act::Block => "block",
        };
        steps.iter().map(name).collect()
    }

    #[test]
    fn the_plain_path_and_the_magic_ones() {
        let b = Behaviour::default();
        let plain = Traits::default();
        assert_eq!(names(&told(&b, None, plain, 0)), ["sent", "delivered", "read"]);
        assert_eq!(names(&told(&b, Some(Magic::NeverDelivered), plain, 0)), ["sent"]);
        assert_eq!(names(&told(&b, Some(Magic::NeverRead), plain, 0)), ["sent", "delivered"]);
        let stop = told(&b, Some(Magic::Answers("STOP")), plain, 0);
        assert_eq!(names(&stop), ["sent", "delivered", "read", "STOP"]);
        let failed = told(&b, None, Traits { unreachable: true, no_read: false }, 0);
        let Some(Step { act: Act::Status { code: 131_026, .. }, .. }) = failed.last() else {
            panic!("{failed:?}")
        };
    }

    #[test]
    fn every_message_of_the_demo_settles_within_six_seconds() {
        let demo = Behaviour::demo();
        for n in 0..20_000 {
            let steps = told(&demo, None, Traits::default(), n);
            assert!(steps.iter().all(|step| step.after_ms <= 6_000), "{steps:?}");
            assert!(!steps.is_empty());
        }
    }

    #[test]
    fn the_price_is_told_on_sent_and_once_more() {
        let b = Behaviour { missing_delivered: 0.5, out_of_order: 0.5, ..Behaviour::default() };
        for n in 0..1_000 {
            let steps = told(&b, None, Traits::default(), n);
            let priced = steps.iter().filter(|s| matches!(s.act, Act::Status { priced: true, .. })).count();
            assert_eq!(priced, 2, "{steps:?}");
        }
    }

    #[test]
    fn one_knob_does_not_shift_what_another_draws() {
        let calm = Behaviour { read_rate: 0.5, ..Behaviour::default() };
        let wild = Behaviour {
            reply_rate: 1.0,
            faults: crate::Faults { rate_429: 0.5, ..Default::default() },
            ..calm.clone()
        };
        for n in 0..200 {
            let statuses = |b| {
                told(b, None, Traits::default(), n)
                    .into_iter()
                    .filter(|s| matches!(s.act, Act::Status { .. }))
            };
            assert!(statuses(&calm).eq(statuses(&wild)));
        }
    }

    #[test]
    fn swapped_statuses_keep_the_time_they_happened_at() {
        let b = Behaviour { out_of_order: 1.0, ..Behaviour::default() };
        let steps = told(&b, None, Traits::default(), 3);
        assert!(!steps.is_sorted_by_key(|step| step.stamp_ms));
        assert!(steps.is_sorted_by_key(|step| step.after_ms));
    }
}
