//! The people a number has blocked. Meta may do a part of what was asked: who was done and who was not is told of each.
//! Not an opt-out, which is the person's wish.

use super::graph::{Graph, GraphFailure, Refusal, data_of, node, typed};
use super::wire::words;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

/// Meta's code for a part that failed; the answer holds who was done.
const PARTLY: u32 = 139_100;
/// People in one call.
pub const BLOCKS_MAX: usize = 1_000;

/// A person of the list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BlockedUser {
    /// The number WhatsApp knows the person by.
    #[serde(deserialize_with = "words")]
    pub wa_id: String,
}

/// A page of the list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockedPage {
    /// Who stands on it.
    pub users: Vec<BlockedUser>,
    /// Where the next one begins; `None` on the last.
    pub after: Option<String>,
}

/// Somebody for whom it was done.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BlockDone {
    /// As it was asked.
    #[serde(deserialize_with = "words")]
    pub input: String,
    /// As WhatsApp knows the person.
    #[serde(default)]
    pub wa_id: Option<String>,
}

/// Somebody for whom it was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockFailed {
    /// As it was asked.
    pub input: String,
    /// Meta's code.
    pub code: u32,
    /// Meta's words.
    pub detail: String,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockOutcome {
    /// Whom it was done for.
    pub done: Vec<BlockDone>,
    /// Whom not, each with the reason.
    pub failed: Vec<BlockFailed>,
}

impl Graph {
    /// A page of whom the number has blocked.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn blocked(
        &self,
        number: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<BlockedPage, GraphFailure> {
        let limit = limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(after.map(|after| ("after", after)));
        let mut answer = self.get(&format!("{}/block_users", node(number)?), &query).await?;
        let users: Vec<BlockedUser> = typed(data_of(&mut answer))?;
        // Without `next` a cursor is that of the last page.
        let paging = &answer["paging"];
        let more = paging.get("next").is_some() || users.len().to_string() == limit;
        let after = paging["cursors"]["after"].as_str().filter(|_| more && !users.is_empty());
        Ok(BlockedPage { after: after.map(str::to_owned), users })
    }

    /// Blocks people: only those who wrote within 24 hours can be.
    ///
    /// # Errors
    /// [`GraphFailure`] when nothing was done; a part that failed is in the outcome.
    pub async fn block(&self, number: &str, users: &[String]) -> Result<BlockOutcome, GraphFailure> {
        self.blocks(Method::POST, number, users).await
    }

    /// Takes it back.
    ///
    /// # Errors
    /// [`GraphFailure`] when nothing was done; a part that failed is in the outcome.
    pub async fn unblock(&self, number: &str, users: &[String]) -> Result<BlockOutcome, GraphFailure> {
        self.blocks(Method::DELETE, number, users).await
    }

    async fn blocks(
        &self,
        method: Method,
        number: &str,
        users: &[String],
    ) -> Result<BlockOutcome, GraphFailure> {
        let users: Vec<_> = users.iter().map(|user| json!({"user": user})).collect();
        let body = json!({"messaging_product": "whatsapp", "block_users": users});
        let path = format!("{}/block_users", node(number)?);
        let (answer, refusal) = self.partly(method, &path, &body).await?;
        outcome(&answer, refusal)
    }
}

fn outcome(answer: &Value, refusal: Option<Box<Refusal>>) -> Result<BlockOutcome, GraphFailure> {
    let told = &answer["block_users"];
    match refusal {
        Some(refusal) if refusal.code != PARTLY || !told.is_object() => {
            return Err(GraphFailure::Refused(refusal));
        }
        _ => {}
    }
    let list = |names: [&str; 2]| names.iter().find_map(|name| told[name].as_array()).cloned();
    let done = list(["added_users", "removed_users"]).unwrap_or_default();
    let done = done.into_iter().map(typed).collect::<Result<_, _>>()?;
    let failed = list(["failed_users", "failed"]).unwrap_or_default();
    Ok(BlockOutcome { done, failed: failed.iter().map(failure).collect() })
}

fn failure(told: &Value) -> BlockFailed {
    let error = told["errors"].get(0).unwrap_or(&told["error"]);
    let words = error["error_data"]["details"].as_str().or(error["message"].as_str()).unwrap_or_default();
    BlockFailed {
        input: told["input"].as_str().or(told["wa_id"].as_str()).unwrap_or_default().to_owned(),
        code: error["code"].as_u64().and_then(|code| u32::try_from(code).ok()).unwrap_or_default(),
        detail: words.chars().take(512).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: u32) -> Box<Refusal> {
        Box::new(Refusal {
            status: 400,
            code,
            subcode: None,
            detail: String::new(),
            user: None,
            trace: None,
            after_ms: 0,
            link_lost: false,
            retryable: false,
        })
    }

    #[test]
    fn of_a_part_that_failed_each_person_is_told_and_another_refusal_stays_one() {
        let answer = json!({"block_users": {
            "added_users": [{"input": "15550100001", "wa_id": "15550100001"}],
            "failed_users": [{"input": "15550100002", "errors": [{"code": 131_047, "message": "m",
                "error_data": {"details": "not within 24 hours"}}]}]}});
        let seen = outcome(&answer, Some(refusal(PARTLY))).unwrap();
        assert_eq!(seen.done.len(), 1);
        assert_eq!((seen.failed[0].code, seen.failed[0].detail.as_str()), (131_047, "not within 24 hours"));
        assert!(outcome(&answer, Some(refusal(139_101))).is_err());
        assert!(outcome(&Value::Null, Some(refusal(PARTLY))).is_err());
        let removed = json!({"block_users": {"removed_users": [{"input": "1"}]}});
        assert_eq!(outcome(&removed, None).unwrap().done[0].input, "1");
    }
}
