//! What becomes of a template: the review, pauses of growing length, the end of them, and the webhooks that tell of it.
//! Not why its quality falls: the network counts that.

use serde_json::{Value, json};

use super::super::Graph;
use super::super::agenda::Errand;
use super::super::refusal::Refusal;
use super::{HOUR_MS, Template, TemplateStatus};

impl Graph {
    /// Decides about a template that waits: names beginning with `reject_` are not taken.
    pub(in crate::graph) fn review(&self, id: u64) {
        let decided = self.templates.change(id, |template| {
            if template.status != TemplateStatus::Pending {
                return false;
            }
            let taken = !template.name.starts_with("reject_");
            template.status = if taken { TemplateStatus::Approved } else { TemplateStatus::Rejected };
            template.reason = if taken { "NONE" } else { "INVALID_FORMAT" }.to_owned();
            true
        });
        if let Some((true, template)) = decided {
            let rejected = template.status == TemplateStatus::Rejected;
            let info = json!({"rejection_info": {"reason": "The sandbox rejects names that begin with reject_.",
                "recommendation": "Take another name."}});
            self.tell_template(
                &template,
                if rejected { "REJECTED" } else { "APPROVED" },
                rejected.then_some(info),
            );
        }
    }

    /// Pauses a template for 3 hours, the second time for 6, and disables it the third time.
    pub(in crate::graph) fn pause_template(&self, id: u64) {
        let paused = self.templates.change(id, |template| {
            if template.status != TemplateStatus::Approved {
                return false;
            }
            template.pauses += 1;
            template.sends = 0;
            template.status =
                if template.pauses > 2 { TemplateStatus::Disabled } else { TemplateStatus::Paused };
            true
        });
        let Some((true, template)) = paused else { return };
        let (event, title, hours) = match template.pauses {
            1 => ("PAUSED", "FIRST_PAUSE", 3),
            2 => ("PAUSED", "SECOND_PAUSE", 6),
            _ => ("DISABLED", "DISABLED", 0),
        };
        let mut info = json!({"other_info": {"title": title, "description": "Quality is low."}});
        if event == "DISABLED" {
            info["disable_info"] = json!({"disable_date": self.now_ms() / 1_000});
        } else {
            let wait = u64::try_from(hours * HOUR_MS).unwrap_or(0);
            self.agenda.add(self.due_in(wait), Errand::Unpause { template: id, pauses: template.pauses });
        }
        self.tell_template(&template, event, Some(info));
    }

    /// Ends a pause, if it is still this one.
    pub(in crate::graph) fn unpause(&self, id: u64, pauses: u32) {
        let ended = self.templates.change(id, |template| {
            let same = template.status == TemplateStatus::Paused && template.pauses == pauses;
            if same {
                template.status = TemplateStatus::Approved;
            }
            same
        });
        if let Some((true, template)) = ended {
            let info = json!({"other_info": {"title": "UNPAUSED", "description": "The pause is over."}});
            self.tell_template(&template, "APPROVED", Some(info));
        }
    }

    /// `POST /{template}/unpause`.
    pub(in crate::graph) fn unpause_now(&self, template: &Template) -> Result<Value, Refusal> {
        if template.status != TemplateStatus::Paused {
            return Ok(json!({"success": false, "reason": "The template is not paused."}));
        }
        self.unpause(template.id, template.pauses);
        Ok(json!({"success": true}))
    }

    /// Counts a send; templates called `pause_…` pause after a few.
    pub(in crate::graph) fn template_sent(&self, id: u64) {
        let after = self.network.behaviour.get().pause_after_sends;
        let due = self.templates.change(id, |template| {
            template.sends += 1;
            template.name.starts_with("pause_") && template.sends >= u64::from(after)
        });
        if let Some((true, _)) = due {
            self.pause_template(id);
        }
    }

    /// Gives a template another quality; a red one pauses.
    pub(in crate::graph) fn rate_template(&self, id: u64, quality: &str) {
        let rated = self
            .templates
            .change(id, |template| std::mem::replace(&mut template.quality, quality.to_owned()));
        let Some((before, template)) = rated.filter(|(before, _)| before != quality) else { return };
        let value = json!({
            "previous_quality_score": before,
            "new_quality_score": quality,
            "message_template_id": template.id,
            "message_template_name": template.name,
            "message_template_language": template.language.replace('_', "-"),
        });
        self.announce(&template.account, "message_template_quality_update", &value);
        if quality == "RED" {
            self.pause_template(id);
        }
    }

    /// Tells what happened to a template.
    pub(in crate::graph) fn tell_template(&self, template: &Template, event: &str, more: Option<Value>) {
        let mut value = json!({
            "event": event,
            "message_template_id": template.id,
            "message_template_name": template.name,
            "message_template_language": template.language.replace('_', "-"),
            "reason": template.reason,
            "message_template_category": template.category,
        });
        for (key, more) in more.iter().filter_map(Value::as_object).flatten() {
            value[key] = more.clone();
        }
        self.announce(&template.account, "message_template_status_update", &value);
    }
}
