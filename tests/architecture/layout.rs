//! Where things lie and what they are called: the top-level folders, and names that say nothing. Not about what is
//! in a file.

use std::collections::BTreeSet;

use crate::tree::{Tree, Violation, split};

const FOLDERS: &[&str] = &["actors", "api", "benches", "deploy", "engine", "schema", "tests"];
const VAGUE: &[&str] = &["common", "core", "helper", "helpers", "manager", "misc", "types", "util", "utils"];

const NESTED: &str = "the rooms are fixed: nest a crate inside the room it belongs to";
const NAME: &str = "name it after the noun it holds";

/// The folders are the rooms; no file, folder or module has a name that says nothing.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let expected: BTreeSet<_> = FOLDERS.iter().map(|name| (*name).to_owned()).collect();
    let mut found = Vec::new();
    for folder in tree.folders.difference(&expected) {
        found.push(Violation::new(folder, 1, format!("`{folder}` is a folder at the root"), NESTED));
    }
    for folder in expected.difference(&tree.folders) {
        found.push(Violation::new(folder, 1, format!("the room `{folder}` is missing"), NESTED));
    }
    let mut folders = BTreeSet::new();
    for (source, code) in tree.rust() {
        let (folder, stem) = split(&source.path);
        folders.extend(folder.split('/').scan(String::new(), |path, part| {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part);
            Some(path.clone())
        }));
        if VAGUE.contains(&stem) {
            found.push(Violation::new(&source.path, 1, format!("the file is called `{stem}`"), NAME));
        }
        for at in code.find(&["mod"]).filter(|at| code.text(at + 2) == "{") {
            let name = code.text(at + 1);
            if VAGUE.contains(&name) {
                let what = format!("the module is called `{name}`");
                found.push(Violation::new(&source.path, code.tokens[at].line, what, NAME));
            }
        }
    }
    for folder in folders {
        let (_, name) = split(&folder);
        if VAGUE.contains(&name) {
            found.push(Violation::new(&folder, 1, format!("the folder is called `{name}`"), NAME));
        }
    }
    found
}

mod tests {
    use crate::fixture::{allowed, caught};

    #[test]
    fn a_further_folder_at_the_root_is_caught() {
        caught(
            |f| _ = f.set("tools/list.txt", "one\n"),
            "layout",
            "tools:1",
            "`tools` is a folder at the root",
        );
        allowed(|f| _ = f.set("data/journal/1.log", "bytes\n").set(".github/note.txt", "hidden\n"));
    }

    #[test]
    fn a_missing_room_is_caught() {
        // The file itself belongs to the papers; without its only file the folder is gone too.
        let mut fixture = crate::fixture::Fixture::clean();
        fixture.remove("deploy/test");
        let found: Vec<_> = fixture.violations().into_iter().map(|(rule, v)| (rule, v.file)).collect();
        assert_eq!(found, [("layout", "deploy".to_owned()), ("papers", "deploy/test".to_owned())]);
    }

    #[test]
    fn a_name_that_says_nothing_is_caught() {
        let room = "//! A thing. Not another one.\n";
        caught(
            |f| _ = f.set("actors/src/utils.rs", room),
            "layout",
            "actors/src/utils.rs:1",
            "called `utils`",
        );
        caught(
            |f| _ = f.set("actors/src/manager/one.rs", room),
            "layout",
            "actors/src/manager:1",
            "the folder is called `manager`",
        );
        caught(
            |f| _ = f.append("actors/src/lib.rs", "mod helpers {}\n"),
            "layout",
            "actors/src/lib.rs:2",
            "the module is called `helpers`",
        );
    }
}
