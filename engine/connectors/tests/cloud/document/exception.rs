//! Where the connector and Meta's description of its API differ, each with its reason. Not a test.

/// Where the description is wrong or silent: operation, where, what is found there, and why it stands all the same.
pub(super) const EXCEPTIONS: &[(&str, &str, &str, &str)] = &[
    (
        "get {WABA-ID}/message_templates",
        "query",
        "fields",
        "every list of the Graph API takes it; the page lists `name` alone",
    ),
    (
        "get {WABA-ID}/message_templates",
        "query",
        "limit",
        "every list of the Graph API takes it; the page lists `name` alone",
    ),
    (
        "get {TEMPLATE_ID}",
        "query",
        "fields",
        "every node of the Graph API takes it; the page lists no parameters",
    ),
    (
        "get {Phone-Number-ID}/block_users",
        "query",
        "limit",
        "every list of the Graph API takes it; the page lists none",
    ),
    (
        "get {Phone-Number-ID}/block_users",
        "query",
        "after",
        "every list of the Graph API takes it; the page lists none",
    ),
    (
        "post {WABA-ID}/message_templates",
        "body",
        "parameter_format",
        "in Meta's reference of templates since 2024",
    ),
    (
        "post {WABA-ID}/message_templates",
        "body",
        "message_send_ttl_seconds",
        "in Meta's reference of templates",
    ),
    (
        "post {WABA-ID}/message_templates",
        "body",
        "components[].format",
        "in Meta's reference of templates; the page shows it for answers alone",
    ),
    (
        "post {WABA-ID}/message_templates",
        "body",
        "components[].example",
        "needed by Meta's review wherever there is a variable",
    ),
    (
        "post {WABA-ID}/message_templates",
        "body",
        "components[].buttons[].url",
        "in Meta's reference of templates",
    ),
    ("post {TEMPLATE_ID}", "body", "message_send_ttl_seconds", "in Meta's reference of templates"),
    (
        "post {Phone-Number-ID}/deregister",
        "body",
        "",
        "the page has no body; Meta's examples send the product",
    ),
    (
        "post {Phone-Number-ID}/messages",
        "body",
        "biz_opaque_callback_data",
        "in Meta's reference of messages: echoed in every status; the page does not name it",
    ),
    (
        "post {Phone-Number-ID}/messages",
        "body",
        "interactive.type",
        "the page's list lacks `cta_url` and six more kinds",
    ),
    (
        "post {Phone-Number-ID}/messages",
        "body",
        "interactive.action",
        "the page knows no action of `cta_url`",
    ),
    (
        "post {Phone-Number-ID}/messages",
        "body",
        "template.language",
        "`policy` is said to be needed; the API takes its only value by itself",
    ),
    (
        "post {Phone-Number-ID}/messages",
        "body",
        "template.components[].sub_type",
        "the page knows three kinds of buttons of more than eight",
    ),
    (
        "post {Phone-Number-ID}/messages",
        "body",
        "template.components[].index",
        "the page's pattern fits no number",
    ),
];
/// What the connector calls that the description does not have.
pub(super) const UNKNOWN_THERE: &[(&str, &str)] = &[
    ("POST /{TEMPLATE_ID}/unpause", "in Meta's reference of templates, not in the document"),
    ("GET /debug_token", "of the Graph API, not of WhatsApp"),
    ("POST /{APP_ID}/uploads, POST and GET /upload:…", "of the Graph API's resumable upload"),
    ("GET of a media URL", "bytes of another host, no JSON"),
];
/// Operations of the description that the connector calls and that no schema of it can hold.
pub(super) const NOT_HELD: &[(&str, &str)] = &[
    (
        "post {Phone-Number-ID}/messages as a whole",
        "its schemas forbid in each half what the other needs (additionalProperties beside allOf): each half is held alone",
    ),
    ("post {Phone-Number-ID}/media", "multipart: held against the sandbox, which reads it"),
    ("get {Media-ID}", "held against the sandbox, with the download behind it"),
    ("delete {Media-ID}", "held against the sandbox"),
    ("get {Media-URL}", "bytes, no JSON"),
    ("post whatsapp/webhooks", "Meta's side: the webhooks' own tests read its examples"),
];
