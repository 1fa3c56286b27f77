//! Message templates of the accounts: made, listed, changed, deleted. What one must look like stands in `rules`, what
//! becomes of it in `review`, what a send must fit in `sent`.

mod review;
mod rules;
mod sent;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Graph;
use super::agenda::Errand;
use super::argument::{Arguments, select};
use super::refusal::Refusal;
use crate::network::dice::{Dice, Stream, key};
use crate::network::message::Category;

pub(crate) use sent::Known;

const HOUR_MS: i64 = 3_600 * 1_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// A deleted name cannot be used again for so long.
const BLOCKED_MS: i64 = 30 * DAY_MS;
const CREATES_PER_HOUR: usize = 100;
const TEMPLATES_PER_ACCOUNT: usize = 6_000;
const DEFAULT_FIELDS: &str = "name,parameter_format,components,language,status,category,sub_category,message_send_ttl_seconds,\
     previous_category";

/// Where a template stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum TemplateStatus {
    Pending,
    Approved,
    Rejected,
    Paused,
    Disabled,
    InAppeal,
    PendingDeletion,
    Deleted,
    LimitExceeded,
    Archived,
}

/// One template in one language.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Template {
    pub(crate) id: u64,
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) language: String,
    pub(crate) category: String,
    pub(crate) status: TemplateStatus,
    pub(crate) components: Vec<Value>,
    pub(crate) named: bool,
    pub(crate) ttl_s: Option<i64>,
    pub(crate) quality: String,
    pub(crate) reason: String,
    previous_category: Option<String>,
    edits: Vec<i64>,
    pub(crate) pauses: u32,
    pub(crate) sends: u64,
}

impl Template {
    fn show(&self) -> Value {
        let mut shown = json!({
            "id": self.id.to_string(),
            "name": self.name,
            "parameter_format": if self.named { "NAMED" } else { "POSITIONAL" },
            "components": self.components,
            "language": self.language,
            "status": self.status,
            "category": self.category,
            "correct_category": self.category,
            "quality_score": {"score": self.quality, "date": 1_790_000_000},
            "rejected_reason": self.reason,
            "cta_url_link_tracking_opted_out": false,
        });
        if let Some(ttl) = self.ttl_s {
            shown["message_send_ttl_seconds"] = ttl.into();
        }
        if let Some(category) = &self.previous_category {
            shown["previous_category"] = category.as_str().into();
        }
        shown
    }

    /// The component of a type.
    fn component(&self, kind: &str) -> Option<&Value> {
        let of_kind = |c: &&Value| c["type"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(kind));
        self.components.iter().find(of_kind)
    }

    pub(crate) fn charged_as(&self) -> Category {
        match self.category.as_str() {
            "MARKETING" => Category::Marketing,
            "AUTHENTICATION" => Category::Authentication,
            _ => Category::Utility,
        }
    }
}

/// The templates of one sandbox.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    /// How many there are or were: while there is none, a send looks at nothing else.
    seen: AtomicUsize,
    shelf: RwLock<Shelf>,
}

/// Templates, and what is remembered of names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Shelf {
    all: BTreeMap<u64, Template>,
    made: u64,
    /// Account and name of deleted ones, until when.
    blocked: Vec<(String, String, i64)>,
    #[serde(skip)]
    creates: HashMap<String, Vec<i64>>,
    /// Account and name, to the ids of its languages.
    #[serde(skip)]
    index: HashMap<String, HashMap<String, Vec<u64>>>,
}

impl Templates {
    pub(crate) fn clear(&self) {
        self.load(Shelf::default());
    }

    pub(crate) fn save(&self) -> Shelf {
        self.shelf.read().clone()
    }

    pub(crate) fn load(&self, mut shelf: Shelf) {
        shelf.index.clear();
        for template in shelf.all.values() {
            let names = shelf.index.entry(template.account.clone()).or_default();
            names.entry(template.name.clone()).or_default().push(template.id);
        }
        self.seen.store(shelf.all.len() + shelf.blocked.len(), Ordering::Relaxed);
        *self.shelf.write() = shelf;
    }

    pub(crate) fn find(&self, id: u64) -> Option<Template> {
        self.shelf.read().all.get(&id).cloned()
    }

    /// Changes a template and hands out what it became.
    pub(crate) fn change<T>(
        &self,
        id: u64,
        change: impl FnOnce(&mut Template) -> T,
    ) -> Option<(T, Template)> {
        let mut shelf = self.shelf.write();
        let template = shelf.all.get_mut(&id)?;
        let done = change(template);
        Some((done, template.clone()))
    }

    /// All of them, as they show themselves, with their account.
    pub(crate) fn shown(&self) -> Vec<Value> {
        let shelf = self.shelf.read();
        let with_account = |template: &Template| {
            let mut shown = template.show();
            shown["waba_id"] = template.account.as_str().into();
            shown
        };
        shelf.all.values().map(with_account).collect()
    }

    /// Ids of a name's languages, by account and name.
    pub(crate) fn named(&self, account: &str, name: &str) -> Vec<u64> {
        self.shelf.read().ids(account, name).to_vec()
    }
}

impl Shelf {
    fn ids(&self, account: &str, name: &str) -> &[u64] {
        self.index.get(account).and_then(|names| names.get(name)).map_or(&[], Vec::as_slice)
    }

    fn is_blocked(&self, account: &str, name: &str, now_ms: i64) -> bool {
        self.blocked.iter().any(|(a, n, until)| a == account && n == name && *until > now_ms)
    }

    fn insert(&mut self, template: Template) {
        let names = self.index.entry(template.account.clone()).or_default();
        names.entry(template.name.clone()).or_default().push(template.id);
        self.all.insert(template.id, template);
    }

    fn remove(&mut self, id: u64, now_ms: i64) {
        let Some(gone) = self.all.remove(&id) else { return };
        if let Some(ids) = self.index.get_mut(&gone.account).and_then(|names| names.get_mut(&gone.name)) {
            ids.retain(|other| *other != id);
        }
        self.blocked.retain(|(.., until)| *until > now_ms);
        self.blocked.push((gone.account, gone.name, now_ms + BLOCKED_MS));
    }

    /// Whether one more may be made now, and made under this name.
    fn room(&mut self, account: &str, name: &str, language: &str, now_ms: i64) -> Result<(), Refusal> {
        let recent = self.creates.entry(account.to_owned()).or_default();
        recent.retain(|at| now_ms - at < HOUR_MS);
        if recent.len() >= CREATES_PER_HOUR {
            return Err(Refusal::of(80_007).detail("At most 100 templates may be made in an hour."));
        }
        recent.push(now_ms);
        if self.all.values().filter(|template| template.account == account).count() >= TEMPLATES_PER_ACCOUNT {
            return Err(Refusal::told(
                2_388_019,
                "Template Limit Exceeded",
                "The account has as many templates as it may have.",
            ));
        }
        if self.ids(account, name).iter().any(|id| self.all[id].language == language) {
            let text = format!("There is already {language} content for this template.");
            return Err(Refusal::told(2_388_024, "Content in This Language Already Exists", text));
        }
        if self.is_blocked(account, name, now_ms) {
            let text = "New content cannot be added while the name is being deleted. Try again in 4 weeks.";
            return Err(Refusal::told(2_388_023, "Message Template Language is Being Deleted", text));
        }
        Ok(())
    }
}

impl Graph {
    /// `POST /{account}/message_templates`.
    pub(super) fn create_template(&self, account: &str, arguments: &Arguments) -> Result<Value, Refusal> {
        let wanted = rules::read(arguments)?;
        let now = self.now_ms();
        let mut shelf = self.templates.shelf.write();
        shelf.room(account, &wanted.name, &wanted.language, now)?;
        let drawn = Dice::new(self.seed, key(&["template"]), shelf.made, Stream::Trace).share();
        let id = 1_000_000_000_000_000 + shelf.made * 7_919 + (drawn * 899_999_999_999_999.0) as u64;
        shelf.made += 1;
        let shown =
            json!({"id": id.to_string(), "status": TemplateStatus::Pending, "category": wanted.category});
        shelf.insert(Template {
            id,
            account: account.to_owned(),
            name: wanted.name,
            language: wanted.language,
            category: wanted.category,
            status: TemplateStatus::Pending,
            components: wanted.components,
            named: wanted.named,
            ttl_s: wanted.ttl_s,
            quality: "UNKNOWN".into(),
            reason: "NONE".into(),
            previous_category: None,
            edits: Vec::new(),
            pauses: 0,
            sends: 0,
        });
        drop(shelf);
        self.templates.seen.fetch_add(1, Ordering::Relaxed);
        self.await_review(id);
        Ok(shown)
    }

    pub(super) fn await_review(&self, template: u64) {
        let wait = self.network.behaviour.get().review_ms;
        self.agenda.add(self.due_in(wait), Errand::Review { template });
    }

    /// `GET /{account}/message_templates`.
    pub(super) fn list_templates(
        &self,
        account: &str,
        arguments: &Arguments,
        path: &str,
    ) -> Result<Value, Refusal> {
        let wanted = |key: &str| arguments.text(key);
        let listed = |given: &Option<String>, own: &str| {
            given.as_deref().is_none_or(|given| {
                given
                    .trim_matches(['[', ']'])
                    .split(',')
                    .any(|one| one.trim().trim_matches('"').eq_ignore_ascii_case(own))
            })
        };
        let (status, category, quality) = (wanted("status"), wanted("category"), wanted("quality_score"));
        let (language, name, text) = (wanted("language"), wanted("name"), wanted("name_or_content"));
        let shelf = self.templates.shelf.read();
        let fits = |template: &&Template| {
            template.account == account
                && listed(
                    &status,
                    serde_json::to_value(template.status).unwrap_or_default().as_str().unwrap_or_default(),
                )
                && listed(&category, &template.category)
                && listed(&language, &template.language)
                && listed(&quality, &template.quality)
                && name.as_deref().is_none_or(|name| template.name.contains(name))
                && text.as_deref().is_none_or(|text| {
                    template.name.contains(text)
                        || template
                            .components
                            .iter()
                            .any(|c| c["text"].as_str().is_some_and(|own| own.contains(text)))
                })
        };
        let named = arguments.text("fields").is_some();
        let items = shelf.all.values().filter(fits).map(|template| {
            let shown = template.show();
            (format!("{:020}", template.id), if named { shown } else { select(shown, DEFAULT_FIELDS) })
        });
        arguments.page(items.collect(), path)
    }

    /// `GET /{template}`.
    pub(super) fn template(&self, template: &Template, arguments: &Arguments) -> Value {
        match arguments.text("fields") {
            Some(_) => arguments.select(template.show()),
            None => select(template.show(), DEFAULT_FIELDS),
        }
    }

    /// `POST /{template}`: everything that is given replaces what was; the review begins anew.
    pub(super) fn edit_template(&self, old: &Template, arguments: &Arguments) -> Result<Value, Refusal> {
        use TemplateStatus::{Approved, Paused, Rejected};
        let refused = |text: &str| Refusal::told(2_388_039, "Message Template Cannot Be Edited", text);
        if ![Approved, Rejected, Paused].contains(&old.status) {
            return Err(refused("Only approved, rejected and paused templates can be edited."));
        }
        let now = self.now_ms();
        if old.status == Approved {
            let within = |ms: i64| old.edits.iter().filter(|at| now - **at < ms).count();
            if within(DAY_MS) >= 1 || within(30 * DAY_MS) >= 10 {
                return Err(refused(
                    "An approved template can be edited once in 24 hours and 10 times in 30 days.",
                ));
            }
        }
        let change = rules::read_change(old, arguments)?;
        if old.status == Approved && change.category != old.category {
            return Err(refused("The category of an approved template cannot be edited."));
        }
        self.templates.change(old.id, |template| {
            template.edits.push(now);
            template.status = TemplateStatus::Pending;
            (template.components, template.named, template.ttl_s) =
                (change.components, change.named, change.ttl_s);
            if template.category != change.category {
                template.previous_category = Some(std::mem::replace(&mut template.category, change.category));
            }
        });
        self.await_review(old.id);
        Ok(
            json!({"success": true, "id": old.id.to_string(), "name": old.name, "category": arguments.text("category").unwrap_or_else(|| old.category.clone())}),
        )
    }

    /// `DELETE /{account}/message_templates`.
    pub(super) fn delete_templates(&self, account: &str, arguments: &Arguments) -> Result<Value, Refusal> {
        let mut ids = match arguments.text("name") {
            Some(name) => self.templates.named(account, &name),
            None if arguments.get("hsm_id").is_some() => {
                self.templates.shelf.read().all.keys().copied().collect()
            }
            None => return Err(Refusal::required("name")),
        };
        if let Some(only) = arguments.text("hsm_id") {
            ids.retain(|id| id.to_string() == only);
        }
        let gone: Vec<Template> =
            ids.iter().filter_map(|id| self.templates.find(*id)).filter(|t| t.account == account).collect();
        if gone.is_empty() {
            return Err(Refusal::told(
                2_593_002,
                "Message Template Not Found",
                "The account has no template of this name and id.",
            ));
        }
        self.delete_all(&gone)
    }

    /// Deletes these templates, if all may be.
    pub(super) fn delete_all(&self, gone: &[Template]) -> Result<Value, Refusal> {
        if gone.iter().any(|template| template.status == TemplateStatus::Disabled) {
            return Err(Refusal::told(
                2_388_039,
                "Message Template Cannot Be Deleted",
                "A disabled template cannot be deleted.",
            ));
        }
        let now = self.now_ms();
        for template in gone {
            self.templates.shelf.write().remove(template.id, now);
            self.tell_template(template, "DELETED", None);
        }
        Ok(json!({"success": true}))
    }
}
