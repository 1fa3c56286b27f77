//! What a business manages: media, templates, numbers, tokens, as a client sees it over HTTP.

pub mod media;
pub mod number;
pub mod template;

use serde_json::{Value, json};

use crate::harness::{Client, Heard, Post, Receiver};

pub const ACCOUNT: &str = "102000000000001";

/// Every value of a webhook field that came so far.
pub fn news(posts: &[Post], field: &str) -> Vec<Value> {
    let changes = posts.iter().flat_map(Post::changes).filter(|change| change["field"] == field);
    changes.map(|change| change["value"].clone()).collect()
}

/// Waits for that many values of a webhook field.
pub async fn told(receiver: &mut Receiver, field: &str, count: usize) -> Vec<Value> {
    let posts = receiver.until(|posts| news(posts, field).len() >= count).await;
    news(&posts, field)
}

/// A template with these components.
pub async fn create(client: &mut Client, name: &str, category: &str, components: Value) -> Heard {
    let body = json!({"name": name, "language": "en_US", "category": category, "components": components});
    client.post(&format!("/v26.0/{ACCOUNT}/message_templates"), &body).await
}
