//! `[edge]`, `[limits]` and `[outbound]`: what strangers and keys may cost us, and where tenants' URLs may lead. Not who
//! may come in.

use super::size;
use super::source::{ConfigError, Source};
use kabar_actors::Networks;
use std::fmt::Write;

/// `[edge]`: the limits of connections and of requests at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Connections held at once.
    pub connections_max: usize,
    /// Largest head of a request, bytes.
    pub head_max_bytes: usize,
    /// Most header lines of a request.
    pub headers_max: usize,
    /// Longest time from the first byte of a head to its last, ms.
    pub head_timeout_ms: u64,
    /// Longest time between two requests, ms.
    pub idle_timeout_ms: u64,
    /// Longest pause within a body, ms.
    pub body_stall_ms: u64,
    /// How long is waited for a body that comes slower than 1 KiB/s, ms.
    pub body_slow_ms: u64,
    /// Longest time from the head of a provider's webhook to the end of its body, ms.
    pub webhook_body_ms: u64,
    /// Longest time a reader may take nothing of its answer, ms.
    pub write_stall_ms: u64,
    /// Requests handled at once.
    pub in_flight_max: usize,
    /// Bytes their bodies may have together.
    pub in_flight_max_bytes: u64,
}

/// `[outbound]`: calls to URLs that tenants give.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outbound {
    /// Networks that are no part of the public internet and may be called.
    pub allow_networks: Networks,
    /// As they were written.
    written: String,
}

/// Networks, and as they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The networks.
    pub networks: Networks,
    pub(super) text: String,
}

/// `[limits]`: what one API key may ask of one node; a rate of 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests a second.
    pub api_per_second: u32,
    /// Requests at once.
    pub api_burst: u32,
    /// Messages a second.
    pub send_per_second: u32,
    /// Messages at once.
    pub send_burst: u32,
}

pub(super) fn read_edge(s: &Source) -> Result<Edge, ConfigError> {
    Ok(Edge {
        connections_max: size(s.number("edge.connections_max", 16..=1_000_000)?),
        head_max_bytes: size(s.number("edge.head_max_kib", 8..=1_024)?) << 10,
        headers_max: size(s.number("edge.headers_max", 16..=1_000)?),
        head_timeout_ms: s.number("edge.head_timeout_ms", 100..=600_000)?,
        idle_timeout_ms: s.number("edge.idle_timeout_ms", 100..=3_600_000)?,
        body_stall_ms: s.number("edge.body_stall_ms", 100..=600_000)?,
        body_slow_ms: s.number("edge.body_slow_ms", 100..=600_000)?,
        webhook_body_ms: s.number("edge.webhook_body_ms", 100..=600_000)?,
        write_stall_ms: s.number("edge.write_stall_ms", 100..=600_000)?,
        in_flight_max: size(s.number("edge.in_flight_max", 1..=1_000_000)?),
        in_flight_max_bytes: s.number("edge.in_flight_max_mib", 1..=1_048_576)? << 20,
    })
}

pub(super) fn read_limits(s: &Source) -> Result<Limits, ConfigError> {
    let number = |key: &'static str, least: u64| {
        s.number(key, least..=1_000_000).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
    };
    Ok(Limits {
        api_per_second: number("limits.api_per_second", 0)?,
        api_burst: number("limits.api_burst", 1)?,
        send_per_second: number("limits.send_per_second", 0)?,
        send_burst: number("limits.send_burst", 1)?,
    })
}

pub(super) fn read_outbound(s: &Source) -> Result<Outbound, ConfigError> {
    let Written { networks, text } = networks(s, "outbound.allow_networks")?;
    Ok(Outbound { allow_networks: networks, written: text })
}

pub(super) fn networks(s: &Source, key: &'static str) -> Result<Written, ConfigError> {
    let text = s.text(key)?;
    let allowed = |part: String| {
        let allowed =
            "networks with commas between, no bits behind the mask, such as 10.20.0.0/16,127.0.0.1/32";
        s.refuse(key, format!("{allowed}; `{part}` is none"))
    };
    Ok(Written { networks: text.parse().map_err(allowed)?, text })
}

impl Limits {
    pub(super) fn shown(&self) -> String {
        format!(
            "[limits]\napi_per_second = {}\napi_burst = {}\nsend_per_second = {}\nsend_burst = {}\n\n",
            self.api_per_second, self.api_burst, self.send_per_second, self.send_burst,
        )
    }
}

impl Edge {
    pub(super) fn shown(&self, outbound: &Outbound) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = write!(
            text,
            "[edge]\nconnections_max = {}\nhead_max_kib = {}\nheaders_max = {}\nhead_timeout_ms = {}\n\
             idle_timeout_ms = {}\nbody_stall_ms = {}\nbody_slow_ms = {}\nwebhook_body_ms = {}\nwrite_stall_ms = {}\n\
             in_flight_max = {}\nin_flight_max_mib = {}\n\n[outbound]\nallow_networks = {:?}\n\n",
            self.connections_max,
            self.head_max_bytes >> 10,
            self.headers_max,
            self.head_timeout_ms,
            self.idle_timeout_ms,
            self.body_stall_ms,
            self.body_slow_ms,
            self.webhook_body_ms,
            self.write_stall_ms,
            self.in_flight_max,
            self.in_flight_max_bytes >> 20,
            outbound.written,
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn allowing(networks: &str) -> Result<Config, super::ConfigError> {
        let given = ("KABAR__OUTBOUND__ALLOW_NETWORKS".to_owned(), networks.to_owned());
        Config::load(None, std::iter::once(given))
    }

    #[test]
    fn networks_are_read_whole_or_the_wrong_one_is_named() {
        assert!(allowing("").unwrap().outbound.allow_networks.is_empty());
        let config = allowing("10.20.0.0/16, 127.0.0.1/32").unwrap();
        assert!(config.outbound.allow_networks.hold("10.20.3.4".parse().unwrap()));
        assert!(config.shown().contains("allow_networks = \"10.20.0.0/16, 127.0.0.1/32\""));
        let error = allowing("10.20.0.0/16, intranet").unwrap_err().to_string();
        assert!(error.contains("outbound.allow_networks") && error.contains("`intranet` is none"), "{error}");
    }
}
