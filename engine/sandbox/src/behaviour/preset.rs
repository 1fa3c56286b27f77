//! The default behaviour and the named ones. Not what the knobs mean.

use super::{Behaviour, Delay, Escape, Faults, Integrity, UserIds};

impl Default for Faults {
    fn default() -> Self {
        Self {
            rate_429: 0.0,
            rate_500_graph: 0.0,
            graph_500_code: 131_016,
            rate_bare_502: 0.0,
            accepted_share: 0.5,
            rate_slow: 0.0,
            slow_ms: 5_000,
            rate_drop_after_accept: 0.0,
            rate_reset_before_accept: 0.0,
        }
    }
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            answer_ms: Delay::NONE,
            statuses: true,
            sent_ms: Delay::fixed(10),
            delivered_ms: Delay::fixed(50),
            read_ms: Delay::fixed(100),
            undeliverable: 0.0,
            fail_in_answer: 0.0,
            fail_in_answer_codes: vec![131_026, 131_009],
            missing_delivered: 0.0,
            no_read: 0.0,
            read_rate: 1.0,
            out_of_order: 0.0,
            duplicate: 0.0,
            status_before_answer: 0.0,
            reply_rate: 0.0,
            reply_delay: Delay::fixed(100),
            stop_rate: 0.0,
            webhook_batch_max: 20,
            webhook_linger_ms: 5,
            webhook_concurrency: 64,
            webhook_timeout_ms: 10_000,
            retry_schedule_ms: vec![0, 100, 250, 500, 1_000],
            escape: Escape::Unicode,
            throttle_status: 400,
            throttle_retry_after_s: 0,
            pair_limit: true,
            throughput_limit: true,
            burst_ms: 1_000,
            inbound_counts: true,
            enforce_window: false,
            user_ids: UserIds::Both,
            status_contacts: true,
            strict_templates: false,
            review_ms: 2_000,
            pause_after_sends: 3,
            management_limit_per_hour: 5_000,
            require_appsecret_proof: false,
            integrity: Integrity::default(),
            faults: Faults::default(),
        }
    }
}

impl Behaviour {
    /// For `kabar demo`: everything settles within about six seconds; some phones cannot be
    /// reached, some never show a read, a few answer, a few of those opt out.
    pub fn demo() -> Self {
        Self {
            answer_ms: Delay { min_ms: 1, p50_ms: 4, p99_ms: 25, max_ms: 60 },
            sent_ms: Delay { min_ms: 20, p50_ms: 45, p99_ms: 95, max_ms: 100 },
            delivered_ms: Delay { min_ms: 50, p50_ms: 300, p99_ms: 1_600, max_ms: 2_000 },
            read_ms: Delay { min_ms: 100, p50_ms: 800, p99_ms: 2_600, max_ms: 3_000 },
            undeliverable: 0.02,
            missing_delivered: 0.03,
            no_read: 0.2,
            read_rate: 0.75,
            out_of_order: 0.02,
            duplicate: 0.01,
            status_before_answer: 0.005,
            reply_rate: 0.05,
            reply_delay: Delay { min_ms: 200, p50_ms: 900, p99_ms: 2_800, max_ms: 3_000 },
            stop_rate: 0.2,
            webhook_batch_max: 50,
            webhook_linger_ms: 20,
            ..Self::default()
        }
    }

    /// For benches: no statuses, no delays, no limits, no faults.
    pub fn quiet() -> Self {
        Self {
            statuses: false,
            sent_ms: Delay::NONE,
            delivered_ms: Delay::NONE,
            read_ms: Delay::NONE,
            reply_delay: Delay::NONE,
            pair_limit: false,
            throughput_limit: false,
            inbound_counts: false,
            ..Self::default()
        }
    }

    /// Meta as it is in the field: slow answers, long tails, repetitions, missing steps, the
    /// 24-hour window and webhook pauses of minutes and hours.
    pub fn realistic() -> Self {
        Self {
            answer_ms: Delay { min_ms: 40, p50_ms: 150, p99_ms: 900, max_ms: 10_000 },
            sent_ms: Delay { min_ms: 50, p50_ms: 150, p99_ms: 500, max_ms: 2_000 },
            delivered_ms: Delay { min_ms: 200, p50_ms: 1_000, p99_ms: 60_000, max_ms: 14_400_000 },
            read_ms: Delay { min_ms: 1_000, p50_ms: 90_000, p99_ms: 3_600_000, max_ms: 14_400_000 },
            undeliverable: 0.02,
            fail_in_answer: 0.002,
            missing_delivered: 0.05,
            no_read: 0.2,
            read_rate: 0.75,
            out_of_order: 0.02,
            duplicate: 0.01,
            status_before_answer: 0.005,
            reply_rate: 0.05,
            reply_delay: Delay { min_ms: 2_000, p50_ms: 120_000, p99_ms: 3_600_000, max_ms: 14_400_000 },
            stop_rate: 0.1,
            webhook_linger_ms: 20,
            retry_schedule_ms: vec![0, 1_000, 5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000],
            enforce_window: true,
            faults: Faults {
                rate_429: 0.000_5,
                rate_500_graph: 0.000_5,
                rate_bare_502: 0.000_2,
                rate_slow: 0.001,
                slow_ms: 15_000,
                rate_drop_after_accept: 0.000_1,
                rate_reset_before_accept: 0.000_1,
                ..Faults::default()
            },
            ..Self::default()
        }
    }
}
