//! `[log]` and `[telemetry]`: what is told of the server's work, and to whom.

use super::source::{ConfigError, Source};

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// JSON lines instead of text.
    pub json: bool,
    /// The filter; `None`: RUST_LOG, else a default of the command.
    pub filter: Option<String>,
}

/// `[telemetry]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// The base URL spans are sent to; `None`: none are.
    pub otlp_endpoint: Option<String>,
    /// As what the server shows itself.
    pub service_name: String,
    /// Which share of traces is sent.
    pub sample_ratio: f64,
}

pub(super) fn read_log(s: &Source) -> Result<Log, ConfigError> {
    let json = match s.text("log.format")?.as_str() {
        "json" => true,
        "text" => false,
        _ => return Err(s.refuse("log.format", "\"text\" or \"json\"")),
    };
    let filter = s.optional("log.filter")?;
    let wrong = filter.as_deref().is_some_and(|f| tracing_subscriber::EnvFilter::try_new(f).is_err());
    if wrong {
        return Err(s.refuse("log.filter", "a filter such as \"info\" or \"warn,kabar_actors=debug\""));
    }
    Ok(Log { json, filter })
}

pub(super) fn read_telemetry(s: &Source) -> Result<Telemetry, ConfigError> {
    let otlp_endpoint = s.optional("telemetry.otlp_endpoint")?;
    let url = |text: &String| {
        let uri = text.parse::<hyper::Uri>().ok();
        uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
    };
    if otlp_endpoint.as_ref().is_some_and(|text| !url(text)) {
        return Err(s.refuse("telemetry.otlp_endpoint", "a URL such as http://127.0.0.1:4318"));
    }
    let service_name = s.text("telemetry.service_name")?;
    if service_name.trim().is_empty() || service_name.len() > 100 {
        return Err(s.refuse("telemetry.service_name", "a name of 1 to 100 characters"));
    }
    Ok(Telemetry { otlp_endpoint, service_name, sample_ratio: s.share("telemetry.sample_ratio")? })
}

impl Log {
    /// As TOML.
    pub(super) fn shown(&self) -> String {
        let format = if self.json { "json" } else { "text" };
        format!("[log]\nformat = \"{format}\"\nfilter = \"{}\"\n", self.filter.as_deref().unwrap_or_default())
    }
}

impl Telemetry {
    /// As TOML.
    pub(super) fn shown(&self) -> String {
        let endpoint = self.otlp_endpoint.as_deref().unwrap_or_default();
        let (name, ratio) = (&self.service_name, self.sample_ratio);
        format!(
            "\n[telemetry]\notlp_endpoint = {endpoint:?}\nservice_name = {name:?}\nsample_ratio = {ratio:?}\n"
        )
    }
}
