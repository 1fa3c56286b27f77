//! What each operation demands of a key: one scope, or to be the operator's. One table: the document takes it as `x-scope`,
//! and the gate enforces what the document says, so that a handler cannot forget it. Not whose things may be seen: that
//! is asked where a thing is named.

use kabar_schema::records::Scope;
use serde_json::{Value, json};

/// What an operation demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Any valid key.
    AnyKey,
    /// The operator's key.
    Operator,
    /// A key with this scope; the operator's has all.
    Scope(Scope),
}

use Scope as S;

/// Operations by what they demand.
const TABLE: &[(Demand, &[&str])] = &[
    (Demand::AnyKey, &["whoAmI"]),
    (Demand::Operator, &["createReseller", "listResellers", "getReseller"]),
    (Demand::Scope(S::TenantsRead), &["listTenants", "getTenant"]),
    (Demand::Scope(S::TenantsWrite), &["createTenant", "changeTenant"]),
    (Demand::Scope(S::KeysRead), &["listKeys", "getKey"]),
    (Demand::Scope(S::KeysWrite), &["createKey", "changeKey", "rotateKey", "revokeKey"]),
    (
        Demand::Scope(S::SessionsRead),
        &[
            "listSessions",
            "getSession",
            "listApps",
            "getApp",
            "getProfile",
            "listBlocks",
            "listSubscribedApps",
        ],
    ),
    (
        Demand::Scope(S::SessionsWrite),
        &[
            "createSession",
            "changeSession",
            "checkSession",
            "removeSession",
            "createApp",
            "changeApp",
            "changeProfile",
            "blockUsers",
            "unblockUsers",
            "requestCode",
            "verifyCode",
            "registerNumber",
            "deregisterNumber",
            "setTwoStepPin",
            "subscribeApp",
            "unsubscribeApp",
        ],
    ),
    (Demand::Scope(S::MessagesSend), &["sendMessage", "sendMessages", "cancelMessage", "markRead"]),
    (Demand::Scope(S::MessagesRead), &["getMessage", "explainMessage"]),
    (Demand::Scope(S::MediaRead), &["listMedia", "getMedia", "getMediaContent"]),
    (Demand::Scope(S::MediaWrite), &["createMedia", "deleteMedia"]),
    (
        Demand::Scope(S::ConversationsRead),
        &["listConversations", "getConversation", "listConversationMessages"],
    ),
    (
        Demand::Scope(S::CampaignsRead),
        &[
            "listCampaigns",
            "getCampaign",
            "previewCampaign",
            "preflightCampaign",
            "listCampaignRecipients",
            "exportCampaign",
        ],
    ),
    (Demand::Scope(S::CampaignsWrite), &["createCampaign", "cloneCampaign", "retryCampaign"]),
    (Demand::Scope(S::CampaignsRun), &["moveCampaign"]),
    (
        Demand::Scope(S::ContactsRead),
        &["listContacts", "getContact", "exportContacts", "listImports", "getImport", "exportImportErrors"],
    ),
    (
        Demand::Scope(S::ContactsWrite),
        &["createContact", "changeContact", "deleteContact", "importContacts", "previewImport"],
    ),
    (Demand::Scope(S::OptOutsRead), &["listOptOuts"]),
    (Demand::Scope(S::OptOutsWrite), &["optOut", "optIn"]),
    (
        Demand::Scope(S::TemplatesRead),
        &["listTemplates", "getTemplate", "previewTemplate", "listProviderTemplates", "getProviderTemplate"],
    ),
    (
        Demand::Scope(S::TemplatesWrite),
        &[
            "createTemplate",
            "changeTemplate",
            "deleteTemplate",
            "createProviderTemplate",
            "changeProviderTemplate",
            "deleteProviderTemplate",
            "deleteProviderTemplates",
            "unpauseProviderTemplate",
        ],
    ),
    (Demand::Scope(S::WebhooksRead), &["listWebhooks", "getWebhook", "listWebhookDeliveries"]),
    (
        Demand::Scope(S::WebhooksWrite),
        &[
            "createWebhook",
            "changeWebhook",
            "deleteWebhook",
            "rotateWebhookSecret",
            "enableWebhook",
            "testWebhook",
            "replayWebhook",
        ],
    ),
    (Demand::Scope(S::EventsRead), &["listEvents", "streamEvents", "followEvents"]),
];

/// Any key, as `x-scope` writes it.
const ANY: &str = "any";
/// The operator's key, as `x-scope` writes it.
const OPERATOR: &str = "operator";

impl Demand {
    /// Of an operation by its name in the document; `None` when the table lacks it.
    pub(crate) fn of(operation: &str) -> Option<Self> {
        TABLE.iter().find(|(_, operations)| operations.contains(&operation)).map(|(demand, _)| *demand)
    }

    /// As `x-scope` writes it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::AnyKey => ANY,
            Self::Operator => OPERATOR,
            Self::Scope(scope) => scope.word(),
        }
    }

    /// Of an operation as the document has it.
    pub(crate) fn said(operation: &Value) -> Option<Self> {
        match operation["x-scope"].as_str()? {
            ANY => Some(Self::AnyKey),
            OPERATOR => Some(Self::Operator),
            word => Scope::ALL.iter().find(|scope| scope.word() == word).map(|scope| Self::Scope(*scope)),
        }
    }

    /// Which kinds of keys can meet it, for the document.
    pub(crate) fn kinds(self) -> Value {
        match self {
            Self::Operator => json!(["operator"]),
            Self::Scope(scope) if scope.is_resellers() => json!(["operator", "reseller"]),
            Self::AnyKey | Self::Scope(_) => json!(["operator", "reseller", "tenant"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The table of `api/docs/keys.md`, between its marks.
    fn table() -> String {
        let mut table = String::from("| scope | what it lets a key do | operations |\n|---|---|---|\n");
        for (demand, operations) in TABLE {
            let what = match demand {
                Demand::AnyKey => "Nothing is needed but a key.",
                Demand::Operator => "The operator's key alone.",
                Demand::Scope(scope) => scope.meaning(),
            };
            let operations: Vec<_> = operations.iter().map(|name| format!("`{name}`")).collect();
            table.push_str(&format!("| `{}` | {what} | {} |\n", demand.word(), operations.join(", ")));
        }
        table
    }

    #[test]
    fn the_page_on_keys_lists_every_scope_and_its_operations() {
        const MARKS: [&str; 2] = ["<!-- scopes -->\n", "<!-- /scopes -->"];
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/keys.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = page.split_once(MARKS[0]).unwrap();
        let (_, after) = rest.split_once(MARKS[1]).unwrap();
        let made = [before, MARKS[0], &table(), MARKS[1], after].concat();
        if std::env::var_os("KABAR_WRITE_PAGES").is_some() {
            std::fs::write(&path, &made).unwrap();
            return;
        }
        assert!(made == page, "api/docs/keys.md is old: run this test with KABAR_WRITE_PAGES=1");
    }

    #[test]
    fn every_operation_stands_once_and_every_scope_is_good_for_something() {
        let document = crate::router::description();
        let paths = document["paths"].as_object().unwrap();
        let said = paths.values().flat_map(|item| item.as_object().unwrap().values());
        let said: Vec<_> = said.map(|o| (o["operationId"].as_str().unwrap(), Demand::said(o))).collect();
        let listed: Vec<_> = TABLE.iter().flat_map(|(_, operations)| *operations).copied().collect();
        let names: BTreeSet<_> = listed.iter().copied().collect();
        assert_eq!(names.len(), listed.len(), "an operation stands twice");
        assert_eq!(names, said.iter().map(|(name, _)| *name).collect());
        for (name, demand) in said {
            assert_eq!(demand, Demand::of(name), "{name}");
        }
        for scope in Scope::ALL {
            assert!(TABLE.iter().any(|(demand, _)| *demand == Demand::Scope(*scope)), "{}", scope.word());
        }
    }
}
