//! `kabar demo`: the main job, seen working. A simulated WhatsApp and a Kabar in one process, a contact file, one
//! campaign, and at the end a table whose numbers add up and agree with what WhatsApp says it got. Everything goes
//! through Kabar's own HTTP API.

mod audience;
mod check;
mod figures;
mod generator;
mod places;
mod report;
mod stage;
mod watch;

pub use figures::Figures;
pub use generator::{Expected, Generator, ROWS_MAX, SHIPPED_ROWS, SHIPPED_SEED};

use crate::exit::Failure;
use audience::Audience;
use stage::Stage;
use std::path::PathBuf;

/// The contact file that is shipped: made by [`Generator`].
pub const SHIPPED: &[u8] = include_bytes!("../data/contacts.csv");

/// What a demo is asked for.
#[derive(Debug, Clone)]
pub struct Demo {
    /// A contact file instead of the shipped one.
    pub contacts: Option<PathBuf>,
    /// Which column holds the phone number; `None`: guessed.
    pub phone_column: Option<String>,
    /// Which column holds the name; `None`: guessed.
    pub name_column: Option<String>,
    /// Two letters: where numbers without a country code belong.
    pub region: String,
    /// Rows to generate instead of the shipped file.
    pub rows: Option<u64>,
    /// Of the generated contacts and of the simulated WhatsApp.
    pub seed: u64,
    /// A folder to work in; `None`: a temporary one.
    pub data: Option<PathBuf>,
    /// Stay up at the end.
    pub keep: bool,
    /// Print one JSON object last.
    pub json: bool,
}

impl Default for Demo {
    fn default() -> Self {
        Self {
            contacts: None,
            phone_column: None,
            name_column: None,
            region: "ID".to_owned(),
            rows: None,
            seed: SHIPPED_SEED,
            data: None,
            keep: false,
            json: false,
        }
    }
}

impl Demo {
    /// Runs it and tells people on the way: the table on stdout, with `json` on stderr and one object last on stdout.
    /// With `keep` it returns on Ctrl-C.
    ///
    /// # Errors
    /// [`Failure`]: exit code 2 for a file, column or audience that cannot be used, 1 for everything else, numbers
    /// that do not agree among it.
    pub async fn run(&self) -> Result<(), Failure> {
        let audience = Audience::open(self).await?;
        let stage = Stage::set(self).await?;
        eprintln!("{}", stage.introduction(audience.title()));
        let acted = tokio::select! {
            acted = self.act(&stage, audience) => acted,
            _ = tokio::signal::ctrl_c() => Err(Failure::failed("interrupted")),
        };
        let outcome = match acted {
            Ok((figures, last, differences)) => self.tell(&stage, &figures, &last, &differences).await,
            Err(failure) => Err(failure),
        };
        stage.strike().await;
        outcome
    }

    /// Runs it without a word on stdout and without staying up; the figures, and what does not agree in them.
    ///
    /// # Errors
    /// As [`Demo::run`], but for numbers that do not agree.
    pub async fn figures(&self) -> Result<(Figures, Vec<String>), Failure> {
        let audience = Audience::open(self).await?;
        let stage = Stage::set(self).await?;
        let outcome = self.act(&stage, audience).await;
        stage.strike().await;
        outcome.map(|(figures, _, differences)| (figures, differences))
    }

    async fn act(
        &self,
        stage: &Stage,
        audience: Audience,
    ) -> Result<(Figures, serde_json::Value, Vec<String>), Failure> {
        let import = audience.import(self, stage).await?;
        let campaign = stage.launch(&import).await?;
        let (last, took) = watch::until_settled(stage, &campaign).await?;
        let figures = Figures::read(&import, &last, took, &stage.sandbox.stats());
        if figures.recipients == 0 {
            return Err(audience::nobody(&figures));
        }
        let differences = check::differences(&figures, &last, &check::Seen::of(&stage.sandbox));
        Ok((figures, last, differences))
    }

    async fn tell(
        &self,
        stage: &Stage,
        figures: &Figures,
        last: &serde_json::Value,
        differences: &[String],
    ) -> Result<(), Failure> {
        let table = report::table(figures, last, differences);
        if self.json {
            eprint!("{table}");
            println!("{}", figures.json());
        } else {
            print!("{table}");
        }
        if let Some(difference) = differences.first() {
            return Err(Failure::failed(format!("the numbers do not agree: {difference}")));
        }
        if self.keep {
            eprint!("{}", report::stay(stage, last));
            // A signal that cannot be waited for ends the demo as if it had come.
            let _ = tokio::signal::ctrl_c().await;
        } else if !self.json {
            print!("{}", report::next());
        }
        Ok(())
    }
}
