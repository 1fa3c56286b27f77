//! The verb `events`: what happened, as lines for people or one JSON object a line, to the end or on and on. It keeps
//! its place in memory alone; a program that must not miss anything keeps the API's cursor itself.

use super::remote::Access;
use super::table;
use crate::client::ClientError;
use crate::exit::Failure;
use clap::Args;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::time::Duration;

/// How long a follower waits before it asks again.
const PAUSE: Duration = Duration::from_secs(1);

/// What happened.
#[derive(Debug, Args)]
pub(super) struct EventArgs {
    /// Goes on with what is new, until it is stopped.
    #[arg(long)]
    follow: bool,
    /// Only these types, e.g. message.received,message.failed.
    #[arg(long, value_name = "TYPE,…")]
    types: Option<String>,
    /// Only this number's.
    #[arg(long, value_name = "ses_…")]
    session: Option<String>,
    /// Not those from before this moment, RFC 3339.
    #[arg(long, value_name = "MOMENT")]
    since: Option<String>,
}

impl EventArgs {
    /// The query, but for the place.
    fn query(&self) -> String {
        let mut query = "limit=200".to_owned();
        let asked = [("types", &self.types), ("session", &self.session), ("since", &self.since)];
        for (name, value) in asked {
            if let Some(value) = value {
                // Writing into a string cannot fail.
                let _ = write!(query, "&{name}={}", escaped(value));
            }
        }
        query
    }

    /// Prints events until there is no more to print.
    pub(super) async fn run(self, access: &Access) -> Result<(), Failure> {
        let (client, query) = (access.client()?, self.query());
        let mut after = String::new();
        if !access.json && !printed(&line(["OCCURRED", "TYPE", "SESSION", "ABOUT", "ADDRESS"]))? {
            return Ok(());
        }
        loop {
            let page = match client.get(&format!("/v1/events?{query}&after={after}")).await {
                Ok(page) => page,
                // A follower outlives a restart of the server; what it asks for wrongly is still wrong then.
                Err(error) if self.follow && !after.is_empty() && passes(&error) => {
                    eprintln!("kabar: {error}");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let events = page["data"].as_array().map(Vec::as_slice).unwrap_or_default();
            let lines: String = events
                .iter()
                .map(|event| if access.json { format!("{event}\n") } else { row(event) })
                .collect();
            if !printed(&lines)? {
                return Ok(());
            }
            after = page["next"].as_str().unwrap_or_default().to_owned();
            match (page["more"] == true, self.follow) {
                (true, _) => {}
                (false, true) => tokio::time::sleep(PAUSE).await,
                (false, false) => return Ok(()),
            }
        }
    }
}

/// Whether the same question may be answered a little later.
fn passes(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { status, .. } => *status >= 500 || *status == 429,
        ClientError::Broken { .. } => true,
    }
}

/// Prints at once; `false` when nobody reads any more.
fn printed(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::failed(format!("cannot write: {error}"))),
    }
}

/// A line with columns that fit every page: nobody knows what comes next.
fn line([at, kind, session, about, address]: [&str; 5]) -> String {
    let line = format!("{at:24}  {kind:19}  {session:17}  {about:17}  {address}");
    format!("{}\n", line.trim_end())
}

/// An event for people.
fn row(event: &Value) -> String {
    let data = &event["data"];
    let about = ["message", "conversation", "campaign"].iter().map(|name| &data[*name]);
    let about = about.into_iter().find(|value| value.is_string()).unwrap_or(&Value::Null);
    let [at, kind, session] = ["occurred_at", "type", "session"].map(|name| table::text(&event[name]));
    line([&at, &kind, &session, &table::text(about), &table::text(&data["address"])])
}

/// A value as it may stand in a query.
fn escaped(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_moment_with_an_offset_arrives_as_it_was_typed() {
        let events = EventArgs {
            follow: false,
            types: Some("message.sent,message.read".into()),
            session: None,
            since: Some("2026-12-24T18:00:00+07:00".into()),
        };
        let expected = "limit=200&types=message.sent%2Cmessage.read&since=2026-12-24T18%3A00%3A00%2B07%3A00";
        assert_eq!(events.query(), expected);
    }

    #[test]
    fn a_row_names_the_thing_and_the_person_it_is_about() {
        let event = json!({"occurred_at": "2026-12-24T11:00:00.000Z", "type": "message.sent",
            "session": "ses_0000000000005", "data": {"message": "msg_0000000000007", "campaign": {"id": "cmp_1", "index": 2},
            "address": "+6281234567890"}});
        let expected = "2026-12-24T11:00:00.000Z  message.sent         ses_0000000000005  msg_0000000000007  +6281234567890\n";
        assert_eq!(row(&event), expected);
        let event = json!({"occurred_at": "2026-12-24T11:00:00.000Z", "type": "campaign.launched", "session": null,
            "data": {"campaign": "cmp_0000000000009"}});
        assert!(row(&event).contains("cmp_0000000000009"));
    }
}
