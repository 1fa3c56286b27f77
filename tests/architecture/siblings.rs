//! Sessions, conversations and campaigns never import each other; they meet in the shard. Holds in the engine and
//! in the actors, within one crate. Not about the arrows between crates.

use crate::code::{Code, is_ident};
use crate::tree::{Tree, Violation};

const SIBLINGS: &[&str] = &["session", "conversation", "campaign"];
const ROOMS: &[&str] = &["engine/src/", "actors/src/"];
const REMEDY: &str = "siblings meet in the shard: hand the value in, or let the shard ask the other one";

/// No sibling names another.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (source, code) in tree.rust() {
        let Some(sibling) = sibling_of(&source.path) else { continue };
        for (at, name) in imports(code) {
            if name != sibling && SIBLINGS.contains(&name) {
                let what = format!("`{sibling}` names `{name}`");
                found.push(Violation::new(&source.path, code.tokens[at].line, what, REMEDY));
            }
        }
    }
    found
}

/// The sibling a file belongs to: `engine/src/session.rs` and all below `engine/src/session/` are the session's.
fn sibling_of(path: &str) -> Option<&'static str> {
    let inside = ROOMS.iter().find_map(|room| path.strip_prefix(room))?;
    let module = inside.split(['/', '.']).next()?;
    SIBLINGS.iter().copied().find(|sibling| *sibling == module)
}

/// Names that directly follow `crate::`, `super::` or a longer chain of `super`, those in braces included.
fn imports(code: &Code) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for start in 0..code.tokens.len() {
        if !matches!(code.text(start), "crate" | "super") || code.text(start + 1) != "::" {
            continue;
        }
        let next = start + 2;
        if code.text(next) == "{" {
            let close = code.closing(next);
            let mut at = next + 1;
            let mut first = true;
            while at < close {
                if first && is_ident(code.text(at)) {
                    found.push((at, code.text(at)));
                }
                first = code.text(at) == ",";
                at = code.closing(at) + 1;
            }
        } else {
            found.push((next, code.text(next)));
        }
    }
    found
}

mod tests {
    use crate::fixture::{allowed, caught};

    #[test]
    fn a_sibling_that_imports_another_is_caught() {
        for (line, name) in [
            ("use crate::conversation::Window;", "conversation"),
            ("use super::campaign;", "campaign"),
            ("use crate::{id::Id, conversation::Window};", "conversation"),
            ("fn f() { let _ = crate::campaign::Part::new(); }", "campaign"),
            ("mod tests { use super::super::campaign::Part; }", "campaign"),
        ] {
            caught(
                |f| _ = f.append("engine/src/session.rs", &format!("{line}\n")),
                "siblings",
                "engine/src/session.rs:15",
                &format!("`session` names `{name}`"),
            );
        }
    }

    #[test]
    fn a_folder_belongs_to_its_sibling() {
        caught(
            |f| {
                _ = f.set(
                    "actors/src/campaign/part.rs",
                    "//! A part. Not a chunk.\nuse crate::session::Session;\n",
                )
            },
            "siblings",
            "actors/src/campaign/part.rs:2",
            "`campaign` names `session`",
        );
    }

    #[test]
    fn the_shard_may_name_them_all() {
        allowed(|f| {
            f.set(
                "actors/src/shard.rs",
                "//! A shard. Not a node.\nuse crate::{campaign, conversation, session};\n",
            );
            f.append("engine/src/session.rs", "use crate::session::name as own;\n");
        });
    }
}
