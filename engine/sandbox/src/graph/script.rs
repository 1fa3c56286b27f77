//! Phones that answer by script: rules of what is looked for in a message and what the phone then does, each on the
//! sandbox's clock. The first rule that fits answers; what fits none is left to chance.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Graph;
use super::agenda::Errand;
use super::control::InboundMedia;
use super::draft::Draft;
use super::envelope::{self, InboundLine};
use super::template::Known;
use crate::network::clock::ms;
use crate::network::message::Kind;
use crate::network::wamid;

const RULES: usize = 1_000;
const STEPS: usize = 20;

/// What is looked for and what then happens.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// For the reader.
    pub name: String,
    /// All that is given must fit.
    pub when: When,
    /// What the phone does, in any order of their delays.
    pub then: Vec<Then>,
    /// How often at most; `null`: always.
    pub times: Option<u64>,
    /// How often it was used; read only.
    pub used: u64,
}

/// What a message must be like.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// The phone.
    pub to: Option<String>,
    /// The business number.
    pub phone_number_id: Option<String>,
    /// `text`, `image`, `interactive`, `template`, …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Words it says, in any case: its text, caption, or parameters of a template.
    pub text: Option<String>,
    /// Name of its template.
    pub template: Option<String>,
    /// Title, id or payload of one of its buttons or rows.
    pub button: Option<String>,
}

/// One thing a phone does; of `text`, `message`, `media`, `tap`, `react` and `block` exactly one is given.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Then {
    /// Milliseconds after the message arrived, at least 1.
    pub after_ms: u64,
    /// Says this.
    pub text: Option<String>,
    /// Sends this, an object of Meta's.
    pub message: Option<Value>,
    /// Sends this file.
    pub media: Option<InboundMedia>,
    /// Taps the button or row at this place, from 0.
    pub tap: Option<usize>,
    /// Reacts with this emoji.
    pub react: Option<String>,
    /// Blocks the number.
    pub block: bool,
    /// Whether the answer quotes the message.
    pub quote: bool,
}

/// The rules of one sandbox.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    /// How many there are: without any, a send looks no further.
    count: AtomicUsize,
    rules: Mutex<Vec<Rule>>,
}

impl Scripts {
    pub(crate) fn set(&self, rules: Vec<Rule>) -> Result<(), String> {
        if rules.len() > RULES {
            return Err(format!("at most {RULES} rules"));
        }
        for (at, rule) in rules.iter().enumerate() {
            let wrong = |what: &str| format!("rules[{at}] ({}): {what}", rule.name);
            if rule.then.len() > STEPS {
                return Err(wrong("at most 20 steps"));
            }
            for then in &rule.then {
                let given = [
                    then.text.is_some(),
                    then.message.is_some(),
                    then.media.is_some(),
                    then.tap.is_some(),
                    then.react.is_some(),
                    then.block,
                ];
                if given.iter().filter(|given| **given).count() != 1 {
                    return Err(wrong(
                        "a step needs exactly one of text, message, media, tap, react and block",
                    ));
                }
                if then.message.as_ref().is_some_and(|message| !message["type"].is_string()) {
                    return Err(wrong("`message` must be an object with a `type`"));
                }
            }
        }
        self.count.store(rules.len(), Ordering::Relaxed);
        *self.rules.lock() = rules;
        Ok(())
    }

    pub(crate) fn rules(&self) -> Vec<Rule> {
        self.rules.lock().clone()
    }

    pub(crate) fn clear(&self) {
        self.count.store(0, Ordering::Relaxed);
        self.rules.lock().clear();
    }
}

/// A button or row somebody may tap: what is shown, what is sent back, and the answer it makes.
struct Tappable {
    title: String,
    id: String,
    answer: Value,
}

impl Graph {
    /// What a script does about this message; `None`: no rule fits.
    pub(super) fn script(
        &self,
        number: usize,
        draft: &Draft<'_>,
        known: Option<&Known>,
    ) -> Option<Vec<Then>> {
        if self.scripts.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let own = self.network.numbers[number].phone_number_id.as_str();
        let tappable = tappables(draft, known);
        let words = words(draft).to_lowercase();
        let mut rules = self.scripts.rules.lock();
        let rule = rules.iter_mut().find(|rule| {
            let when = &rule.when;
            let same =
                |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|wanted| wanted == own);
            rule.times.is_none_or(|times| rule.used < times)
                && same(&when.to, &draft.to)
                && same(&when.phone_number_id, own)
                && same(&when.kind, draft.kind.name())
                && when.text.as_ref().is_none_or(|text| words.contains(&text.to_lowercase()))
                && when
                    .template
                    .as_ref()
                    .is_none_or(|name| draft.kind == Kind::Template && draft.object["name"] == name.as_str())
                && when.button.as_ref().is_none_or(|b| tappable.iter().any(|t| t.title == *b || t.id == *b))
        })?;
        rule.used += 1;
        Some(rule.then.clone())
    }

    /// Plans what a script does after the message arrived.
    pub(super) fn play(
        &self,
        number: usize,
        draft: &Draft<'_>,
        known: Option<&Known>,
        play: (&[Then], u64, &str),
    ) {
        let (steps, arrives_ms, wamid) = play;
        let arrives = self.due_in(arrives_ms);
        for then in steps {
            let due = arrives.saturating_add(ms(then.after_ms.max(1)));
            if then.block {
                let (user, template) = (draft.to.to_string(), known.map_or(0, |known| known.id));
                self.agenda.add(due, Errand::Block { number, user, template });
                continue;
            }
            let Some(content) = self.content(number, draft, known, (then, wamid)) else { continue };
            // a tap always says what it belongs to
            let quote = (then.quote || then.tap.is_some()).then(|| wamid.to_owned());
            self.agenda.add(due, Errand::Say { number, from: draft.to.to_string(), content, quote });
        }
    }

    fn content(
        &self,
        number: usize,
        draft: &Draft<'_>,
        known: Option<&Known>,
        step: (&Then, &str),
    ) -> Option<Value> {
        let (then, wamid) = step;
        if let Some(text) = &then.text {
            return Some(json!({"type": "text", "text": {"body": text}}));
        }
        if let Some(emoji) = &then.react {
            return Some(json!({"type": "reaction", "reaction": {"message_id": wamid, "emoji": emoji}}));
        }
        if let Some(media) = &then.media {
            return self
                .received(number, media)
                .inspect_err(|wrong| tracing::warn!(%wrong, "script: no medium"))
                .ok();
        }
        if let Some(place) = then.tap {
            return tappables(draft, known).into_iter().nth(place).map(|tapped| tapped.answer);
        }
        then.message.clone()
    }

    /// A phone says something to a number.
    pub(super) fn say(&self, number: usize, from: &str, mut content: Value, quote: Option<String>) {
        if self.blocks.has(number, from) {
            return;
        }
        let (id, at_ms) = self.network.hear(number, from);
        let wamid = wamid::inbound(from, id);
        self.network.note_inbound(number, &wamid, at_ms);
        if let Some(fields) = content.as_object_mut() {
            ["id", "timestamp", "from", "from_user_id"].iter().for_each(|key| _ = fields.remove(*key));
        }
        let author = self.network.numbers[number].display_phone_number.as_str();
        let line = InboundLine {
            wamid: &wamid,
            from,
            user_id: None,
            name: self.network.phones.name(from),
            unix_s: at_ms / 1_000,
            quote: quote.as_deref().map(|quoted| (author, quoted)),
            content: &content,
        };
        let mode = self.network.behaviour.get().user_ids;
        self.delivery.offer(envelope::inbound(number, &line, &self.network.phones, mode));
    }
}

/// Everything a message says, as one text.
fn words(draft: &Draft<'_>) -> String {
    let object = draft.object;
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match draft.kind {
        Kind::Text => text("/body").to_owned(),
        Kind::Interactive => {
            format!("{} {} {}", text("/header/text"), text("/body/text"), text("/footer/text"))
        }
        Kind::Template => {
            let parts = object["components"].as_array().into_iter().flatten();
            let parameters = parts.flat_map(|part| part["parameters"].as_array().into_iter().flatten());
            parameters.filter_map(|parameter| parameter["text"].as_str()).collect::<Vec<_>>().join(" ")
        }
        _ => text("/caption").to_owned(),
    }
}

/// The buttons and rows of a message, in order.
fn tappables(draft: &Draft<'_>, known: Option<&Known>) -> Vec<Tappable> {
    let object = draft.object;
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    if draft.kind == Kind::Template {
        return template_buttons(object, known);
    }
    if draft.kind != Kind::Interactive {
        return Vec::new();
    }
    let interactive = |kind: &str, answer: &Value| json!({"type": "interactive", "interactive": {"type": kind, kind: answer}});
    let tapped = |kind: &str, title: String, id: String, answer: &Value| Tappable {
        title,
        id,
        answer: interactive(kind, answer),
    };
    let action = &object["action"];
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    match object["type"].as_str().unwrap_or_default() {
        "button" => list(action, "buttons")
            .iter()
            .map(|button| {
                let reply = &button["reply"];
                tapped("button_reply", text(reply, "title"), text(reply, "id"), reply)
            })
            .collect(),
        "list" => list(action, "sections")
            .iter()
            .flat_map(|section| list(section, "rows"))
            .map(|row| tapped("list_reply", text(&row, "title"), text(&row, "id"), &row))
            .collect(),
        "carousel" => list(action, "cards")
            .iter()
            .flat_map(|card| list(&card["action"], "buttons"))
            .map(|button| {
                let reply = &button["quick_reply"];
                tapped("button_reply", text(reply, "title"), text(reply, "id"), reply)
            })
            .collect(),
        "flow" => {
            let token = action["parameters"]["flow_token"].as_str().unwrap_or("unused");
            let reply = json!({"name": "flow", "body": "Sent", "response_json": json!({"flow_token": token}).to_string()});
            vec![tapped("nfm_reply", text(&action["parameters"], "flow_cta"), token.to_owned(), &reply)]
        }
        "address_message" => {
            let reply = json!({"name": "address_message", "body": "Sent", "response_json": json!({"values": action["parameters"]["values"]}).to_string()});
            vec![tapped("nfm_reply", String::new(), String::new(), &reply)]
        }
        "call_permission_request" => {
            let reply = json!({"response": "accept", "is_permanent": false, "expiration_timestamp": "1893456000", "response_source": "user_action"});
            vec![tapped("call_permission_reply", String::new(), String::new(), &reply)]
        }
        "location_request_message" => {
            let answer = json!({"type": "location", "location": {"latitude": -8.65, "longitude": 115.21}});
            vec![Tappable { title: String::new(), id: String::new(), answer }]
        }
        _ => Vec::new(),
    }
}

/// Quick replies of a template: their payloads come with the send, their texts from the template if the account has it.
fn template_buttons(object: &Value, known: Option<&Known>) -> Vec<Tappable> {
    let mut texts: Vec<(usize, String)> = known.map(|known| known.buttons.clone()).unwrap_or_default();
    let parts = object["components"].as_array().into_iter().flatten();
    let sent: Vec<(usize, String)> = parts
        .filter(|part| part["sub_type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("quick_reply")))
        .filter_map(|part| {
            let place = part["index"].as_u64().or_else(|| part["index"].as_str()?.parse().ok())?;
            let payload = part.pointer("/parameters/0/payload")?.as_str()?;
            Some((usize::try_from(place).ok()?, payload.to_owned()))
        })
        .collect();
    for (place, payload) in &sent {
        if !texts.iter().any(|(known, _)| known == place) {
            texts.push((*place, payload.clone()));
        }
    }
    texts.sort_unstable();
    texts
        .into_iter()
        .map(|(place, title)| {
            // a quick reply without a payload of its own sends its text
            let id = sent
                .iter()
                .find(|(sent, _)| *sent == place)
                .map_or_else(|| title.clone(), |(_, payload)| payload.clone());
            let answer = json!({"type": "button", "button": {"payload": id, "text": title}});
            Tappable { title, id, answer }
        })
        .collect()
}
