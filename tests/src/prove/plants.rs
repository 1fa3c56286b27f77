//! Three bugs planted in the node, one after the other: the kill proof must find each. A proof that stays green with
//! a known bug proves nothing.

use super::kill;
use super::options::{Options, Plant};
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
        let verdict = kill::run(&Options { plant: Some(plant), ..options.clone() }).await?;
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
