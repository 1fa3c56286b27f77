//! Three bugs planted in the node and one in its disk, one after the other: the kill proof and its power loss must find
//! each. A proof that stays green with
//! a known bug proves nothing.

use super::kill;
use super::options::{Options, Plant};
use super::scenes::{self, Scene};
use anyhow::Result;

/// Broken promises that are shown of each.
const SHOWN: usize = 3;

/// Plants every bug; whether each was found.
///
/// # Errors
/// A proof could not be made at all, which is not the same as a broken promise.
pub async fn run(options: &Options) -> Result<bool> {
    let mut all = true;
    for plant in Plant::ALL {
        let options = Options { plant: Some(plant), ..options.clone() };
        let verdict = match plant {
            // A kill takes nothing from a disk.
            Plant::LyingDisk if options.cql.is_some() => continue,
            Plant::LyingDisk => Box::pin(scenes::play(Scene::PowerLoss, &options)).await?.0,
            _ => Box::pin(kill::run(&options)).await?,
        };
        let name = plant.name();
        verdict.broken.iter().take(SHOWN).for_each(|broken| eprintln!("{name}: {broken}"));
        if verdict.holds() {
            eprintln!("{name}: NOT FOUND: the kill proof stayed green");
            all = false;
        } else {
            eprintln!("{name}: found, as it should be ({} promises broke)", verdict.broken.len());
        }
    }
    Ok(all)
}
