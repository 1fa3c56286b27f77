//! What `prove` is told on its command line, read by hand. Not what the node is told.

use super::scenes::Scene;
use super::{edge, events, leases, simulate};

/// How it is called.
const USAGE: &str =
    "usage: prove kill [--kills N] [--seed S] [--plant resend_ambiguous|ack_before_append|views_ahead]
                  [--cql HOST:PORT] [--json]
       prove kill --scene all|frozen|full-disk|read-only|damaged-segment|power-loss [--seed S]
                  [--plant lying_disk] [--cql HOST:PORT] [--json]
       prove faults [--seed S] [--json]
       prove plants [--kills N] [--seed S] [--cql HOST:PORT]
       prove outage [--seconds N] [--seed S] [--json]
       prove leases [--seeds N] [--seed S]
       prove edge [--cases N] [--seed S] [--tool PATH] [--json]
       prove simulate [--seeds N] [--seed S] [--plant NAME|all] [--json]
       prove events [--events N] [--kills N] [--seed S] [--reader-only] [--cql HOST:PORT] [--json]";
/// Kills of a whole proof.
const KILLS: u32 = 20;
/// Kills until a planted bug must have shown itself.
const KILLS_OF_A_PLANT: u32 = 8;
/// Events of the events proof, and kills meanwhile.
const EVENTS: u64 = 20_000;
const KILLS_OF_EVENTS: u32 = 5;
const KILLS_MAX: u32 = 1_000;
/// Seconds of an outage.
const SECONDS: u64 = 20;
const SECONDS_MAX: u64 = 600;
const SEEDS_MAX: u32 = 100_000;

/// What to prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// That kills lose and double nothing.
    Kill(Options),
    /// That what else befalls a node on its machine loses and doubles nothing.
    Scenes(Options, Vec<Scene>),
    /// That whatever the provider answers everything is delivered or explicitly failed.
    Faults {
        /// Of the people and the sandbox.
        seed: u64,
        /// Ends with one JSON object on stdout.
        json: bool,
    },
    /// That the kill proof finds planted bugs.
    Plants(Options),
    /// That a cluster that is killed or frozen under the node loses and doubles nothing.
    Outage(Options),
    /// That a reader of events that comes back with its place misses none, whatever kills the node.
    Events(Options),
    /// That no request makes the API fail or answer otherwise than it describes.
    Edge(edge::Options),
    /// That no promise breaks in simulated worlds.
    Simulate(simulate::Settings),
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
    /// The node remembers on this cluster instead of in a folder.
    pub cql: Option<String>,
    /// How long an outage lasts.
    pub seconds: u64,
    /// Events that are read at least.
    pub events: u64,
    /// No webhook subscription beside the reader.
    pub reader_only: bool,
}

impl Options {
    /// Nothing but a seed.
    pub(super) fn plain(seed: u64) -> Self {
        let (kills, seconds, events) = (KILLS, SECONDS, EVENTS);
        Self { kills, seed, plant: None, json: false, cql: None, seconds, events, reader_only: false }
    }
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
    /// Not in the node: the disk calls synced what is not. Only a power loss shows it.
    LyingDisk,
}

impl Plant {
    /// Every one.
    pub const ALL: [Self; 4] =
        [Self::ResendAmbiguous, Self::AckBeforeAppend, Self::ViewsAhead, Self::LyingDisk];

    /// Whether the node itself has the bug.
    #[must_use]
    pub fn is_in_node(self) -> bool {
        self != Self::LyingDisk
    }

    /// As the node's configuration calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ResendAmbiguous => "resend_ambiguous",
            Self::AckBeforeAppend => "ack_before_append",
            Self::ViewsAhead => "views_ahead",
            Self::LyingDisk => "lying_disk",
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
    let proof = arguments.next();
    let plants = match proof.as_deref() {
        Some("kill" | "outage" | "events") => false,
        Some("plants") => true,
        Some(other) => return read_apart(other, arguments).map_err(wrong),
        None => return Err(USAGE.to_owned()),
    };
    let of_events = proof.as_deref() == Some("events");
    let kills = match (plants, of_events) {
        (true, _) => KILLS_OF_A_PLANT,
        (_, true) => KILLS_OF_EVENTS,
        _ => KILLS,
    };
    let seed = rand::random::<u32>().into();
    let mut options = Options { kills, ..Options::plain(seed) };
    let outage = proof.as_deref() == Some("outage");
    let mut scenes = Vec::new();
    while let Some(name) = arguments.next() {
        if name == "--json" {
            options.json = true;
            continue;
        }
        if of_events && name == "--reader-only" {
            options.reader_only = true;
            continue;
        }
        let value =
            arguments.next().ok_or_else(|| wrong(format!("`{name}` needs a value, or is not known.")))?;
        let refused = || wrong(format!("`{name} {value}` is not possible."));
        match name.as_str() {
            "--seconds" if outage => {
                let seconds = value.parse().ok().filter(|n| (1..=SECONDS_MAX).contains(n));
                options.seconds = seconds.ok_or_else(refused)?;
            }
            "--events" if of_events => options.events = events::count(&value).map_err(|_| refused())?,
            "--cql" if !outage => options.cql = Some(value),
            "--kills" if !outage => {
                let kills = value.parse().ok().filter(|n| (1..=KILLS_MAX).contains(n));
                options.kills = kills.ok_or_else(refused)?;
            }
            "--seed" => options.seed = value.parse().map_err(|_| refused())?,
            "--scene" if proof.as_deref() == Some("kill") => {
                scenes.extend(Scene::named(&value).ok_or_else(refused)?);
            }
            "--plant" if !plants && !outage && !of_events => {
                let plant = Plant::ALL.into_iter().find(|p| p.name() == value);
                options.plant = Some(plant.ok_or_else(refused)?);
            }
            _ => return Err(refused()),
        }
    }
    if of_events {
        return Ok(Command::Events(options));
    }
    if options.plant.is_some_and(|plant| !plant.is_in_node()) && scenes != [Scene::PowerLoss] {
        return Err(wrong("Only a power loss shows what a disk that lies does.".to_owned()));
    }
    if !scenes.is_empty() {
        return Ok(Command::Scenes(options, scenes));
    }
    Ok(match (plants, outage) {
        (true, _) => Command::Plants(options),
        (_, true) => Command::Outage(options),
        _ => Command::Kill(options),
    })
}

fn read_faults(mut arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let (mut seed, mut json) = (rand::random::<u32>().into(), false);
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--json" => json = true,
            "--seed" => {
                let value = arguments.next().and_then(|value| value.parse().ok());
                seed = value.ok_or_else(|| format!("`{name}` needs a number."))?;
            }
            _ => return Err(format!("`{name}` is not known.")),
        }
    }
    Ok(Command::Faults { seed, json })
}

/// What is told otherwise than the kill proof and its kin.
fn read_apart(proof: &str, arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    match proof {
        "edge" => edge::read(arguments).map(Command::Edge),
        "leases" => read_leases(arguments),
        "simulate" => read_simulate(arguments),
        "faults" => read_faults(arguments),
        other => Err(format!("`{other}` is no proof.")),
    }
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

fn read_simulate(mut arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut settings = simulate::Settings { seed: 1, seeds: simulate::SEEDS, plant: None, json: false };
    while let Some(name) = arguments.next() {
        if name == "--json" {
            settings.json = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("`{name}` needs a value, or is not known."))?;
        let refused = || format!("`{name} {value}` is not possible.");
        match name.as_str() {
            "--seed" => settings.seed = value.parse::<u32>().map_err(|_| refused())?.into(),
            "--seeds" => {
                let count = value.parse().ok().filter(|n| (1..=SEEDS_MAX).contains(n));
                settings.seeds = count.ok_or_else(refused)?;
            }
            "--plant" => {
                let known = value == "all" || simulate::PLANTS.iter().any(|(plant, _)| *plant == value);
                settings.plant = Some(value.clone()).filter(|_| known);
                settings.plant.as_ref().ok_or_else(refused)?;
            }
            _ => return Err(refused()),
        }
    }
    Ok(Command::Simulate(settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Command, String> {
        read(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_command_line_is_read_and_what_is_wrong_is_named() {
        let options = Options {
            kills: 3,
            seed: 9,
            plant: Some(Plant::ViewsAhead),
            json: true,
            cql: Some("127.0.0.9:9042".into()),
            seconds: SECONDS,
            events: EVENTS,
            reader_only: false,
        };
        let line = "kill --kills 3 --seed 9 --plant views_ahead --cql 127.0.0.9:9042 --json";
        assert_eq!(words(line), Ok(Command::Kill(options)));
        let Ok(Command::Outage(options)) = words("outage --seconds 5") else { panic!("an outage") };
        assert_eq!(options.seconds, 5);
        let Ok(Command::Events(options)) = words("events --events 7 --reader-only") else { panic!("events") };
        assert_eq!((options.events, options.kills, options.reader_only), (7, 5, true));
        let Ok(Command::Kill(options)) = words("kill") else { panic!("the defaults") };
        assert_eq!((options.kills, options.plant, options.json), (20, None, false));
        let Ok(Command::Scenes(options, scenes)) = words("kill --scene frozen --scene full-disk --json")
        else {
            panic!("scenes")
        };
        assert_eq!((options.json, scenes), (true, vec![Scene::Frozen, Scene::FullDisk]));
        let Ok(Command::Scenes(_, scenes)) = words("kill --scene all") else { panic!("all scenes") };
        assert_eq!(scenes, Scene::ALL);
        assert_eq!(words("faults --seed 4 --json"), Ok(Command::Faults { seed: 4, json: true }));
        assert_eq!(words("leases --seeds 3 --seed 9"), Ok(Command::Leases { seed: 9, seeds: 3 }));
        assert_eq!(words("leases"), Ok(Command::Leases { seed: 1, seeds: leases::SEEDS }));
        let Ok(Command::Edge(edge)) = words("edge --cases 2000 --seed 7 --json") else { panic!("the edge") };
        assert_eq!((edge.cases, edge.seed, edge.json, edge.tool), (2_000, 7, true, None));
        let settings = simulate::Settings { seed: 9, seeds: 3, plant: Some("all".into()), json: true };
        assert_eq!(words("simulate --seeds 3 --seed 9 --plant all --json"), Ok(Command::Simulate(settings)));
        for wrong in [
            "",
            "edge --cases 0",
            "edge --kills 1",
            "simulate --plant weeds",
            "simulate --seeds 0",
            "live",
            "leases --seeds 0",
            "leases --kills 3",
            "kill --kills 0",
            "kill --kills",
            "kill --plant weeds",
            "kill --sed 1",
            "outage --kills 2",
            "events --events 0",
            "kill --events 5",
            "kill --reader-only",
            "kill --scene flood",
            "kill --plant lying_disk",
            "plants --scene frozen",
            "faults --kills 3",
            "faults --seed",
        ] {
            assert!(words(wrong).is_err_and(|text| text.contains("usage")), "{wrong}");
        }
    }
}
