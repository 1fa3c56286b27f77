//! Whether a send fits the template it names: existence, language, status, count and kind of parameters. Names an account
//! never had are let through unless the sandbox is told to be strict.

use serde_json::Value;

use super::rules::variables;
use super::{Template, TemplateStatus};
use crate::graph::Graph;
use crate::graph::draft::Draft;
use crate::graph::refusal::Refusal;
use crate::network::message::Category;

/// Longest text a template may become.
const HYDRATED: usize = 4_096;

/// A template of the account that a send names.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: u64,
    pub(crate) category: Category,
    /// Seconds after which it is no longer delivered; `None`: 30 days.
    pub(crate) ttl_s: Option<u64>,
    /// Whether its sends are counted: it pauses by itself.
    pub(crate) counts: bool,
    /// What its quick replies say, by their place among the buttons.
    pub(crate) buttons: Vec<(usize, String)>,
}

impl Graph {
    /// Looks up and checks the template of a send; `None`: nobody knows it, and that is allowed.
    pub(in crate::graph) fn inspect_template(
        &self,
        account: &str,
        draft: &Draft<'_>,
        strict: bool,
    ) -> Result<Option<Known>, Refusal> {
        let sent = draft.object;
        if !strict && self.templates.seen.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            return Ok(None);
        }
        let name = sent["name"].as_str().unwrap_or_default();
        let language = sent["language"]["code"].as_str().unwrap_or_default();
        let shelf = self.templates.shelf.read();
        let ids = shelf.ids(account, name);
        let Some(template) =
            ids.iter().filter_map(|id| shelf.all.get(id)).find(|t| same(&t.language, language))
        else {
            return if strict || !ids.is_empty() || shelf.is_blocked(account, name, self.now_ms()) {
                Err(Refusal::of(132_001)
                    .detail(format!("template name ({name}) does not exist in {language}")))
            } else {
                Ok(None)
            };
        };
        match template.status {
            TemplateStatus::Approved | TemplateStatus::PendingDeletion => {}
            TemplateStatus::Paused => return Err(Refusal::of(132_015)),
            TemplateStatus::Disabled => return Err(Refusal::of(132_016)),
            _ => {
                return Err(Refusal::of(132_001)
                    .detail(format!("template name ({name}) has not been approved in {language}")));
            }
        }
        if template.category == "AUTHENTICATION" && draft.by_user_id {
            return Err(Refusal::of(131_062));
        }
        fits(template, sent)?;
        let buttons = template
            .component("BUTTONS")
            .and_then(|c| c["buttons"].as_array())
            .into_iter()
            .flatten()
            .enumerate();
        let replies = buttons.filter(|(_, button)| button["type"] == "QUICK_REPLY");
        Ok(Some(Known {
            id: template.id,
            category: template.charged_as(),
            ttl_s: match template.ttl_s {
                Some(-1) => None,
                Some(ttl) => u64::try_from(ttl).ok(),
                None => (template.category == "AUTHENTICATION").then_some(600),
            },
            counts: template.name.starts_with("pause_"),
            buttons: replies
                .map(|(at, button)| (at, button["text"].as_str().unwrap_or_default().to_owned()))
                .collect(),
        }))
    }
}

/// Languages are the same however their parts are joined.
fn same(own: &str, given: &str) -> bool {
    own.len() == given.len()
        && own.bytes().zip(given.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-'))
}

fn fits(template: &Template, sent: &Value) -> Result<(), Refusal> {
    let given = sent["components"].as_array().map_or(&[][..], Vec::as_slice);
    let of_kind = |kind: &str| {
        given.iter().find(|c| c["type"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(kind)))
    };
    let list =
        |kind: &str| of_kind(kind).and_then(|c| c["parameters"].as_array()).map_or(&[][..], Vec::as_slice);
    if template.category == "AUTHENTICATION" {
        return count("body", list("body").len(), 1);
    }
    if let Some(body) = template.component("BODY") {
        texts("body", body["text"].as_str().unwrap_or_default(), list("body"), template.named)?;
    }
    match template.component("HEADER").map(|header| (header, header["format"].as_str().unwrap_or_default())) {
        None => count("header", list("header").len(), 0)?,
        Some((header, "TEXT")) => {
            texts("header", header["text"].as_str().unwrap_or_default(), list("header"), template.named)?
        }
        Some((_, format)) => medium(format, list("header"))?,
    }
    if let Some(component) = template.component("BUTTONS") {
        buttons(component, given)?;
    }
    if let Some(carousel) = template.component("CAROUSEL") {
        let cards = of_kind("carousel").and_then(|c| c["cards"].as_array()).map_or(0, Vec::len);
        count("carousel: cards", cards, carousel["cards"].as_array().map_or(0, Vec::len))?;
    }
    Ok(())
}

fn count(what: &str, given: usize, expected: usize) -> Result<(), Refusal> {
    if given == expected {
        return Ok(());
    }
    let details = format!(
        "{what}: number of localizable_params ({given}) does not match the expected number of params ({expected})"
    );
    Err(Refusal::of(132_000).detail(details))
}

fn texts(what: &str, text: &str, given: &[Value], named: bool) -> Result<(), Refusal> {
    let mut expected = variables(text).unwrap_or_default();
    expected.sort_unstable();
    expected.dedup();
    count(what, given.len(), expected.len())?;
    let format = |details: String| Refusal::of(132_012).detail(details);
    let mut length = text.chars().count();
    for parameter in given {
        let kind = parameter["type"].as_str().unwrap_or_default();
        if !["text", "currency", "date_time", "group_id"].contains(&kind) {
            return Err(format(format!(
                "{what}: Format mismatch, expected TEXT, received {}",
                kind.to_ascii_uppercase()
            )));
        }
        let name = parameter["parameter_name"].as_str();
        if named != name.is_some() || name.is_some_and(|name| !expected.contains(&name)) {
            return Err(format(format!(
                "{what}: Parameter name is missing, not expected, or not the template's"
            )));
        }
        length += parameter["text"].as_str().map_or(0, |text| text.chars().count());
    }
    if length > HYDRATED { Err(Refusal::of(132_005)) } else { Ok(()) }
}

fn medium(format: &str, given: &[Value]) -> Result<(), Refusal> {
    let received = given
        .first()
        .and_then(|parameter| parameter["type"].as_str())
        .unwrap_or("UNKNOWN")
        .to_ascii_uppercase();
    let fits = match format {
        "GIF" => received == "VIDEO",
        "LOCATION" | "PRODUCT" | "IMAGE" | "VIDEO" | "DOCUMENT" => received == format,
        _ => true,
    };
    if fits && given.len() == 1 {
        return Ok(());
    }
    Err(Refusal::of(132_012)
        .detail(format!("header: Format mismatch, expected {format}, received {received}")))
}

fn buttons(component: &Value, given: &[Value]) -> Result<(), Refusal> {
    for (at, button) in component["buttons"].as_array().into_iter().flatten().enumerate() {
        let index =
            |c: &Value| c["index"].as_u64().or_else(|| c["index"].as_str().and_then(|i| i.parse().ok()));
        let sent = given.iter().find(|c| {
            c["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("button"))
                && index(c) == Some(at as u64)
        });
        let kind = button["type"].as_str().unwrap_or_default();
        let variable = kind == "URL" && button["url"].as_str().is_some_and(|url| url.contains("{{"));
        if (variable || kind == "COPY_CODE") && sent.is_none() {
            return Err(Refusal::of(131_008)
                .detail(format!("buttons: Button at index {at} of type {kind} requires a parameter")));
        }
        if kind == "URL"
            && !variable
            && sent.is_some_and(|sent| sent["parameters"].as_array().is_some_and(|list| !list.is_empty()))
        {
            return Err(Refusal::of(132_012)
                .detail(format!("buttons: Button at index {at} of type URL does not require parameters")));
        }
        let sub_type = sent.and_then(|sent| sent["sub_type"].as_str()).unwrap_or(kind);
        if !sub_type.eq_ignore_ascii_case(kind) {
            return Err(Refusal::of(132_012)
                .detail(format!("buttons: Button at index {at} is of type {kind}, received {sub_type}")));
        }
    }
    Ok(())
}
