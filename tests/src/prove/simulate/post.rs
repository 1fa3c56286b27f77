//! The way from the provider to the node's front door: signed webhooks of several items each, which are repeated until they
//! are taken, and sometimes after that. What was taken it remembers. Not what is in them.

use super::town::{APP, SECRET, Town, number_id};
use super::weather::{Chance, pass};
use bytes::Bytes;
use hmac::{Hmac, Mac};
use kabar_actors::Clock;
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// Items of one webhook.
const ITEMS: usize = 12;
/// Between two looks for what is due.
const TURN: Duration = Duration::from_millis(40);

/// One item.
#[derive(Debug, Clone)]
pub enum Letter {
    /// What became of a message.
    Status(Value),
    /// What a person wrote, under this id.
    Message(String, Value),
}

#[derive(Default)]
struct State {
    /// By when it leaves, and in the order it came.
    waiting: BTreeMap<(Instant, u64), (usize, Letter)>,
    count: u64,
    /// Bodies under way.
    flying: usize,
    taken: BTreeSet<String>,
}

/// The post office.
pub struct Post {
    chance: Chance,
    clock: Clock,
    state: Mutex<State>,
}

impl Post {
    pub fn new(chance: Chance, clock: Clock) -> Self {
        Self { chance, clock, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("invariant: nobody panics with the post in hand")
    }

    /// Something for the number's webhook, leaving in so many ms.
    pub fn put(&self, in_ms: u64, number: usize, mut letter: Letter) {
        let (Letter::Status(value) | Letter::Message(_, value)) = &mut letter;
        value["timestamp"] = json!((self.clock.now_ms() / 1_000).to_string());
        let mut state = self.state();
        state.count += 1;
        let key = (Instant::now() + Duration::from_millis(in_ms), state.count);
        state.waiting.insert(key, (number, letter));
    }

    /// Whether nothing waits and nothing is under way.
    pub fn is_idle(&self) -> bool {
        let state = self.state();
        state.waiting.is_empty() && state.flying == 0
    }

    /// The ids of people's messages that the node has taken.
    pub fn taken(&self) -> BTreeSet<String> {
        self.state().taken.clone()
    }

    /// What is due, in webhooks of one number each.
    fn due(&self) -> Vec<(usize, Vec<Letter>)> {
        let mut state = self.state();
        let mut bodies: Vec<(usize, Vec<Letter>)> = Vec::new();
        while let Some(entry) = state.waiting.first_entry() {
            if entry.key().0 > Instant::now() {
                break;
            }
            let (number, letter) = entry.remove();
            match bodies.iter_mut().find(|(of, list)| *of == number && list.len() < ITEMS) {
                Some((_, list)) => list.push(letter),
                None => bodies.push((number, vec![letter])),
            }
        }
        state.flying += bodies.len();
        bodies
    }

    /// Delivers for as long as the simulation lasts.
    pub async fn run(town: Arc<Town>) {
        loop {
            for (number, letters) in town.post.due() {
                let town = Arc::clone(&town);
                tokio::spawn(async move { town.post.deliver(&town, number, letters).await });
            }
            pass(TURN).await;
        }
    }

    /// Until it was taken; one in eight is given once more after that.
    async fn deliver(&self, town: &Town, number: usize, letters: Vec<Letter>) {
        let again = u64::from(self.chance.one_in(8));
        let mut taken = 0;
        while taken <= again {
            let alive = town.alive().await;
            let body = body(number, &letters);
            let signature = signature(&body);
            let desk = alive.node.dispatcher();
            let app = APP + number_tenant(number);
            let answer = tokio::select! {
                biased;
                answer = desk.webhook(app, Some(&signature), Bytes::from(body)) => Some(answer),
                () = alive.life.over() => None,
            };
            match answer {
                Some(Ok(_)) => {
                    taken += 1;
                    let ids = letters.iter().filter_map(|letter| match letter {
                        Letter::Message(id, _) => Some(id.clone()),
                        Letter::Status(_) => None,
                    });
                    self.state().taken.extend(ids);
                }
                Some(Err(_)) | None => pass(Duration::from_millis(self.chance.between(200, 4_000))).await,
            }
            if taken == 1 && again == 1 {
                pass(Duration::from_millis(self.chance.between(10, 5_000))).await;
            }
        }
        self.state().flying -= 1;
    }
}

/// The place among the tenants of a number's.
pub fn number_tenant(number: usize) -> u64 {
    u64::from(number >= super::town::NUMBERS_OF_FIRST)
}

fn body(number: usize, letters: &[Letter]) -> String {
    let (mut statuses, mut messages) = (Vec::new(), Vec::new());
    for letter in letters {
        let (list, value) = match letter {
            Letter::Status(value) => (&mut statuses, value),
            Letter::Message(_, value) => (&mut messages, value),
        };
        list.push(value.clone());
    }
    let id = number_id(number);
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": format!("15550200{number:03}"), "phone_number_id": id},
    });
    if !statuses.is_empty() {
        value["statuses"] = json!(statuses);
    }
    if !messages.is_empty() {
        value["messages"] = json!(messages);
    }
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}],
    })
    .to_string()
}

fn signature(body: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("invariant: HMAC takes keys of any length");
    mac.update(body.as_bytes());
    let mut text = String::from("sha256=");
    for byte in mac.finalize().into_bytes() {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
