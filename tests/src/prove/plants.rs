//! Three bugs planted in the node, one after the other: the kill proof must find each. A proof that stays green with
//! a known bug proves nothing.

use super::kill;
use super::options::{Options, Plant};
use anyhow::Result;

/// Plants every bug; whether each was found.
///
/// # Errors
/// A proof could not be made at all, which is not the same as a broken promise.
pub async fn run(options: &Options) -> Result<bool> {
    let mut all = true;
    for plant in Plant::ALL {
        let verdict = kill::run(&Options { plant: Some(plant), ..options.clone() }).await?;
        match verdict.broken.first() {
            Some(broken) => eprintln!("{}: found, as it should be: {broken}", plant.name()),
            None => {
                eprintln!("{}: NOT FOUND: the kill proof stayed green", plant.name());
                all = false;
            }
        }
    }
    Ok(all)
}
