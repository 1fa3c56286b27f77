//! The course of the campaign: asks Kabar's API again and again, shows a bar, and ends when nothing more will come
//! from either side.

use super::figures::count;
use super::stage::Stage;
use crate::exit::Failure;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How often the API is asked.
const TURN: Duration = Duration::from_millis(200);
/// Equal answers in a row, with nothing more to come, that end the watch.
const CALM: u32 = 4;
/// A campaign that has not moved for this long will not.
const STALLED: Duration = Duration::from_secs(90);
/// How often a line is written where there is no terminal for a bar.
const LINE: Duration = Duration::from_secs(2);

/// The campaign as the API shows it at the end, and how long it took from launch to its last recipient.
pub(super) async fn until_settled(stage: &Stage, campaign: &str) -> Result<(Value, Duration), Failure> {
    let path = format!("/v1/campaigns/{campaign}");
    let mut course = Course::begin();
    let mut turn = tokio::time::interval(TURN);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        let answer = stage.api.get(&path).await.map_err(|e| Failure::failed(e.to_string()))?;
        let over = stage.sandbox.stats().is_settled();
        if course.saw(answer, over) {
            let took = course.took();
            return Ok((course.last, took));
        }
        if course.moved.elapsed() > STALLED {
            course.bar.finish_and_clear();
            let state = course.last["state"].as_str().unwrap_or_default();
            return Err(Failure::failed(format!(
                "the campaign has not moved for {} s; it is `{state}` with {} waiting",
                STALLED.as_secs(),
                course.last["totals"]["waiting"]
            )));
        }
    }
}

struct Course {
    bar: ProgressBar,
    last: Value,
    begun: Instant,
    moved: Instant,
    written: Instant,
    finished: Option<Instant>,
    calm: u32,
}

impl Course {
    fn begin() -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("  {bar:32} {msg}");
        bar.set_style(style.expect("invariant: the template is written here"));
        let now = Instant::now();
        Self { bar, last: Value::Null, begun: now, moved: now, written: now, finished: None, calm: 0 }
    }

    /// Takes an answer; whether it was the last one.
    fn saw(&mut self, answer: Value, sandbox_is_over: bool) -> bool {
        if answer == self.last {
            self.calm += 1;
        } else {
            self.calm = 0;
            self.moved = Instant::now();
            self.last = answer;
        }
        let finished = matches!(self.last["state"].as_str(), Some("finished" | "cancelled"));
        if finished && self.finished.is_none() {
            self.finished = Some(Instant::now());
        }
        self.show();
        let over = finished && sandbox_is_over && self.calm >= CALM;
        if over {
            self.bar.finish_and_clear();
        }
        over
    }

    /// From the API's own moments; by our clock when it has told none.
    fn took(&self) -> Duration {
        let moment =
            |field: &str| self.last[field].as_str().and_then(kabar_engine::time::Timestamp::from_rfc3339);
        let told = moment("ended").zip(moment("launched")).map(|(end, begin)| end.since_ms(begin));
        let told = told.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        told.unwrap_or_else(|| self.finished.unwrap_or_else(Instant::now).duration_since(self.begun))
    }

    fn show(&mut self) {
        let totals = &self.last["totals"];
        let n = |field: &str| count(totals, field);
        let ended = n("sent") + n("failed") + n("expired") + n("unknown");
        let seconds = self.finished.unwrap_or_else(Instant::now).duration_since(self.begun).as_secs_f64();
        let rate = ended as f64 / seconds.max(0.001);
        let left = n("recipients").saturating_sub(ended);
        let eta = if left == 0 {
            "settling".to_owned()
        } else {
            format!("{:.0} s left", left as f64 / rate.max(1.0))
        };
        let text = format!(
            "sent {} · delivered {} · read {} · replied {} · failed {} · {rate:.0}/s · {eta}",
            n("sent"),
            n("delivered"),
            n("read"),
            n("replied"),
            n("failed"),
        );
        self.bar.set_length(n("recipients"));
        self.bar.set_position(ended);
        if !std::io::stderr().is_terminal() && self.written.elapsed() >= LINE {
            self.written = Instant::now();
            eprintln!("  {ended} of {} · {text}", n("recipients"));
        }
        self.bar.set_message(text);
    }
}
