//! Users a business has blocked: only those who wrote within a day, each with its own outcome. Not phones that block a
//! business: those are the network's.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::Graph;
use super::argument::Arguments;
use super::refusal::Refusal;
use crate::network::code;
use crate::network::phone::Phones;

const DAY_MS: i64 = 24 * 3_600 * 1_000;
const AT_ONCE: usize = 1_000;
const LIST_LIMIT: usize = 64_000;

/// One list per number.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// How many users are on any list; what no list holds costs a send one look.
    count: AtomicUsize,
    lists: Mutex<Vec<BTreeMap<String, i64>>>,
}

impl Blocks {
    pub(crate) fn new(numbers: usize) -> Self {
        Self { count: AtomicUsize::new(0), lists: Mutex::new(vec![BTreeMap::new(); numbers]) }
    }

    pub(crate) fn has(&self, number: usize, user: &str) -> bool {
        self.count.load(Ordering::Relaxed) > 0
            && self.lists.lock().get(number).is_some_and(|list| list.contains_key(user))
    }

    pub(crate) fn clear(&self) {
        self.load(Vec::new());
    }

    pub(crate) fn save(&self) -> Vec<BTreeMap<String, i64>> {
        self.lists.lock().clone()
    }

    pub(crate) fn load(&self, saved: Vec<BTreeMap<String, i64>>) {
        let mut lists = self.lists.lock();
        let mut saved = saved.into_iter();
        lists.iter_mut().for_each(|list| *list = saved.next().unwrap_or_default());
        self.count.store(lists.iter().map(BTreeMap::len).sum(), Ordering::Relaxed);
    }
}

impl Graph {
    /// `GET /{number}/block_users`.
    pub(super) fn blocked(&self, number: usize, arguments: &Arguments, path: &str) -> Result<Value, Refusal> {
        let list = self.blocks.lists.lock().get(number).cloned().unwrap_or_default();
        let item = |user: &String| json!({"messaging_product": "whatsapp", "wa_id": user});
        arguments.page(list.keys().map(|user| (user.clone(), item(user))).collect(), path)
    }

    /// `POST` and `DELETE /{number}/block_users`.
    pub(super) fn block(
        &self,
        number: usize,
        method: &Method,
        arguments: &Arguments,
    ) -> Result<Value, Refusal> {
        arguments.of_whatsapp()?;
        let users = arguments
            .get("block_users")
            .and_then(Value::as_array)
            .ok_or_else(|| Refusal::required("block_users"))?;
        if !(1..=AT_ONCE).contains(&users.len()) {
            return Err(Refusal::parameter("Param block_users must have 1 to 1000 users."));
        }
        let adds = method == Method::POST;
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        let mut full = false;
        for user in users {
            let input = user.get("user").and_then(Value::as_str).unwrap_or_default();
            let refused = |code: u32| {
                let known = code::describe(code);
                json!({"input": input, "errors": [{"message": known.title, "code": code,
                    "error_data": {"details": known.details}}]})
            };
            let Some(wa_id) = Phones::wa_id(input) else {
                failed.push(refused(131_009));
                continue;
            };
            let outcome =
                if adds { self.block_one(number, &wa_id) } else { self.unblock_one(number, &wa_id) };
            match outcome {
                Ok(()) => done.push(json!({"input": input, "wa_id": wa_id})),
                Err(code) => {
                    full |= code == 139_101;
                    failed.push(refused(code));
                }
            }
        }
        let mut whole = json!({ if adds { "added_users" } else { "removed_users" }: done });
        if failed.is_empty() {
            return Ok(json!({"messaging_product": "whatsapp", "block_users": whole}));
        }
        whole["failed_users"] = failed.into();
        Err(Refusal::of(if full { 139_101 } else { 139_100 }).beside("block_users", whole))
    }

    fn block_one(&self, number: usize, user: &str) -> Result<(), u32> {
        let now = self.now_ms();
        if self.network.last_heard(number, user).is_none_or(|at| now - at >= DAY_MS) {
            return Err(131_047);
        }
        let mut lists = self.blocks.lists.lock();
        let list = lists.get_mut(number).ok_or(131_000_u32)?;
        if list.len() >= LIST_LIMIT {
            return Err(139_101);
        }
        if list.insert(user.to_owned(), now).is_none() {
            self.blocks.count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn unblock_one(&self, number: usize, user: &str) -> Result<(), u32> {
        let mut lists = self.blocks.lists.lock();
        if lists.get_mut(number).is_some_and(|list| list.remove(user).is_some()) {
            self.blocks.count.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
