//! The simulation tried on itself: it is calm where nothing is broken, tells a story twice, and finds every planted bug.

use super::*;

#[test]
fn no_promise_is_broken_in_the_first_seeds() {
    let proof = simulate((1, 12), Plant::None, false);
    proof.tell();
    assert!(proof.holds(), "{}", proof.json());
    let calls: usize = proof.stories.values().map(|story| story.calls).sum();
    assert!(calls > 1_000, "{calls} calls: nothing was simulated");
}

#[test]
fn a_seed_tells_the_same_story_twice_and_another_one_another() {
    let digest = |seed| tell(seed, Plant::None).digest;
    let once = digest(3);
    assert_eq!(once, digest(3));
    assert_ne!(once, digest(4));
}

/// Those that show after hours of a world's time: half a minute each in a debug build. `prove simulate --plant all`, a step of
/// `deploy/test`, finds them as well.
const LATE: [&str; 2] = ["lost_wakeup", "total_from_older_row"];

#[test]
fn planted_bugs_are_found() {
    for (name, plant) in PLANTS.into_iter().filter(|(name, _)| !LATE.contains(name)) {
        let proof = simulate((1, SEEDS), plant, true);
        assert!(!proof.holds(), "{name} was not found in {SEEDS} seeds");
        eprintln!("{name}: {} seeds, {:.1} s", proof.stories.len(), proof.seconds);
    }
}
