//! The house rules as tests: every rule is run on the house itself, and every rule is broken on purpose in a small
//! workspace to see that it catches exactly that. Not a linter for style: that is rustfmt's and clippy's work.

mod arrows;
mod code;
mod confinement;
mod fixture;
mod layout;
mod limits;
mod marks;
mod papers;
mod siblings;
mod state;
mod tree;
mod workspace;

use tree::{Tree, Violation, house};

type Check = fn(&Tree) -> Vec<Violation>;

/// Every rule, under the name of its module.
const RULES: &[(&str, Check)] = &[
    ("arrows", arrows::check),
    ("confinement", confinement::check),
    ("workspace", workspace::check),
    ("limits", limits::check),
    ("layout", layout::check),
    ("siblings", siblings::check),
    ("marks", marks::check),
    ("state", state::check),
    ("papers", papers::check),
];

/// Fails with one line per violation: where, what, what to do.
fn keeps(check: Check) {
    let found = check(house());
    let lines: Vec<_> = found.iter().map(|violation| format!("\n  {violation}")).collect();
    assert!(found.is_empty(), "{} violation(s):{}\n", found.len(), lines.concat());
}

#[test]
fn the_clean_workspace_keeps_every_rule() {
    fixture::allowed(|_| ());
}

#[test]
fn the_house_keeps_its_arrows() {
    keeps(arrows::check);
}

#[test]
fn the_house_keeps_crates_in_their_rooms_and_the_engine_pure() {
    keeps(confinement::check);
}

#[test]
fn the_house_declares_every_dependency_and_lint_once() {
    keeps(workspace::check);
}

#[test]
fn the_house_keeps_files_and_functions_small() {
    keeps(limits::check);
}

#[test]
fn the_house_has_its_rooms_and_names_that_say_something() {
    keeps(layout::check);
}

#[test]
fn the_house_lets_siblings_meet_only_in_the_shard() {
    keeps(siblings::check);
}

#[test]
fn the_house_carries_no_mark_of_unfinished_work() {
    keeps(marks::check);
}

#[test]
fn the_house_has_no_static_state() {
    keeps(state::check);
}

#[test]
fn the_house_has_its_papers_and_no_path_of_one_machine() {
    keeps(papers::check);
}
