//! What `prove` is told on its command line, read by hand. Not what the node is told.

use super::leases;

/// How it is called.
const USAGE: &str = "usage: prove kill [--kills N] [--seed S] [--plant resend_ambiguous|ack_before_append|views_ahead] [--json]
       prove plants [--kills N] [--seed S]
       prove leases [--seeds N] [--seed S]";
/// Kills of a whole proof.
const KILLS: u32 = 20;
/// Kills until a planted bug must have shown itself.
const KILLS_OF_A_PLANT: u32 = 8;
const KILLS_MAX: u32 = 1_000;
const SEEDS_MAX: u32 = 100_000;

/// What to prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// That kills lose and double nothing.
    Kill(Options),
    /// That the kill proof finds planted bugs.
    Plants(Options),
    /// That leases keep stale owners out.
    Leases {
        /// The first simulation.
        seed: u64,
        /// How many.
        seeds: u32,
    },
}

/// How to prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Kills that count.
    pub kills: u32,
    /// Of the instants, the people and the sandbox.
    pub seed: u64,
    /// A bug in the node.
    pub plant: Option<Plant>,
    /// Ends with one JSON object on stdout.
    pub json: bool,
}

/// A bug that can be planted in the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// What may have been sent is sent again.
    ResendAmbiguous,
    /// Answers do not wait for the journal.
    AckBeforeAppend,
    /// Views are written before the journal.
    ViewsAhead,
}

impl Plant {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::ResendAmbiguous, Self::AckBeforeAppend, Self::ViewsAhead];

    /// As the node's configuration calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ResendAmbiguous => "resend_ambiguous",
            Self::AckBeforeAppend => "ack_before_append",
            Self::ViewsAhead => "views_ahead",
        }
    }
}

/// Reads the arguments behind the program's name.
///
/// # Errors
/// The usage, under a sentence that names what is wrong.
pub fn read(arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let wrong = |what: String| format!("{what}\n{USAGE}");
    let mut arguments = arguments;
    let plants = match arguments.next().as_deref() {
        Some("kill") => false,
        Some("plants") => true,
        Some("leases") => return read_leases(arguments).map_err(wrong),
        Some(other) => return Err(wrong(format!("`{other}` is no proof."))),
        None => return Err(USAGE.to_owned()),
    };
    let kills = if plants { KILLS_OF_A_PLANT } else { KILLS };
    let mut options = Options { kills, seed: rand::random::<u32>().into(), plant: None, json: false };
    while let Some(name) = arguments.next() {
        if name == "--json" {
            options.json = true;
            continue;
        }
        let value =
            arguments.next().ok_or_else(|| wrong(format!("`{name}` needs a value, or is not known.")))?;
        let refused = || wrong(format!("`{name} {value}` is not possible."));
        match name.as_str() {
            "--kills" => {
                let kills = value.parse().ok().filter(|n| (1..=KILLS_MAX).contains(n));
                options.kills = kills.ok_or_else(refused)?;
            }
            "--seed" => options.seed = value.parse().map_err(|_| refused())?,
            "--plant" if !plants => {
                let plant = Plant::ALL.into_iter().find(|p| p.name() == value);
                options.plant = Some(plant.ok_or_else(refused)?);
            }
            _ => return Err(refused()),
        }
    }
    Ok(if plants { Command::Plants(options) } else { Command::Kill(options) })
}

fn read_leases(mut arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let (mut seed, mut seeds) = (1, leases::SEEDS);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("`{name}` needs a value, or is not known."))?;
        let refused = || format!("`{name} {value}` is not possible.");
        match name.as_str() {
            "--seed" => seed = value.parse::<u32>().map_err(|_| refused())?.into(),
            "--seeds" => {
                let count = value.parse().ok().filter(|n| (1..=SEEDS_MAX).contains(n));
                seeds = count.ok_or_else(refused)?;
            }
            _ => return Err(refused()),
        }
    }
    Ok(Command::Leases { seed, seeds })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Command, String> {
        read(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_command_line_is_read_and_what_is_wrong_is_named() {
        let options = Options { kills: 3, seed: 9, plant: Some(Plant::ViewsAhead), json: true };
        assert_eq!(words("kill --kills 3 --seed 9 --plant views_ahead --json"), Ok(Command::Kill(options)));
        let Ok(Command::Kill(options)) = words("kill") else { panic!("the defaults") };
        assert_eq!((options.kills, options.plant, options.json), (20, None, false));
        assert_eq!(words("leases --seeds 3 --seed 9"), Ok(Command::Leases { seed: 9, seeds: 3 }));
        assert_eq!(words("leases"), Ok(Command::Leases { seed: 1, seeds: leases::SEEDS }));
        for wrong in [
            "",
            "live",
            "leases --seeds 0",
            "leases --kills 3",
            "kill --kills 0",
            "kill --kills",
            "kill --plant weeds",
            "kill --sed 1",
        ] {
            assert!(words(wrong).is_err_and(|text| text.contains("usage")), "{wrong}");
        }
    }
}
