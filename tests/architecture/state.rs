//! No state that outlives a node: several nodes run in one process. Statics that change, thread locals and ractor's
//! process-wide names are all forbidden in the rooms of the product. Not about state that a node owns.

use crate::code::Code;
use crate::tree::{Source, Tree, Violation};

const ROOMS: &[&str] = &["actors/", "api/", "engine/", "schema/"];
/// Types that make a static changeable, beside all that begin with `Atomic`.
const CHANGING: &[&str] = &[
    "Cell",
    "DashMap",
    "DashSet",
    "LazyCell",
    "LazyLock",
    "Mutex",
    "OnceCell",
    "OnceLock",
    "RefCell",
    "RwLock",
    "UnsafeCell",
];
const MACROS: &[&str] = &["lazy_static", "once_cell", "thread_local"];
/// Read-only tables that are built on first use and never change: file, name of the static, reason.
const TABLES: &[(&str, &str, &str)] = &[];

const REMEDY: &str =
    "hand it in from the node; a read-only table is listed in tests/architecture/state.rs with its reason";
const NAMES: &str = "names belong to the node's directory; ractor's registry and groups are one per process";

/// Nothing static changes, and no actor has a process-wide name.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (source, code) in tree.rust() {
        let product = ROOMS.iter().any(|room| source.path.starts_with(room));
        if product {
            found.extend(statics(source, code).into_iter().filter(|v| !tree.is_test(source, v.line)));
        }
        found.extend(process_wide_names(source, code));
    }
    found
}

fn statics(source: &Source, code: &Code) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, token) in code.tokens.iter().enumerate() {
        let violation = |what: String| Violation::new(&source.path, token.line, what, REMEDY);
        if MACROS.contains(&token.text.as_str()) {
            found.push(violation(format!("`{}` is static state", token.text)));
        }
        if token.text != "static" {
            continue;
        }
        let name = code.text(at + 1);
        if name == "mut" {
            found.push(violation("`static mut` is static state".to_owned()));
        } else if code.text(at + 2) == ":" && !is_table(&source.path, name) {
            let kind =
                code.tokens[at + 3..].iter().take_while(|token| !matches!(token.text.as_str(), "=" | ";"));
            let changing = kind.map(|token| token.text.as_str()).find(|text| is_changing(text));
            found.extend(changing.map(|kind| violation(format!("`static {name}` is a {kind}"))));
        }
    }
    found
}

fn is_changing(name: &str) -> bool {
    CHANGING.contains(&name) || name.starts_with("Atomic")
}

fn is_table(path: &str, name: &str) -> bool {
    TABLES.iter().any(|(file, table, _)| *file == path && *table == name)
}

fn process_wide_names(source: &Source, code: &Code) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, token) in code.tokens.iter().enumerate() {
        let what = match token.text.as_str() {
            "ractor" if code.text(at + 1) == "::" => {
                let end = if code.text(at + 2) == "{" { code.closing(at + 2) } else { at + 3 };
                (at + 2..end).map(|at| code.text(at)).find(|name| matches!(*name, "registry" | "pg"))
            }
            "where_is" if code.text(at + 1) == "(" => Some("where_is"),
            "spawn" | "spawn_linked" if code.reads(at + 1, &["(", "Some", "("]) => Some("a name at spawn"),
            _ => None,
        };
        found.extend(what.map(|what| {
            Violation::new(&source.path, token.line, format!("{what} is a process-wide name"), NAMES)
        }));
    }
    found
}

mod tests {
    use crate::fixture::{allowed, caught};

    fn caught_in_lib(line: &str, words: &str) {
        let path = "actors/src/lib.rs";
        caught(|f| _ = f.append(path, &format!("{line}\n")), "state", "actors/src/lib.rs:2", words);
    }

    #[test]
    fn a_static_that_changes_is_caught() {
        caught_in_lib("static mut COUNT: u64 = 0;", "`static mut`");
        caught_in_lib("static COUNT: AtomicU64 = AtomicU64::new(0);", "`static COUNT` is a AtomicU64");
        caught_in_lib("static ALL: Mutex<Vec<u8>> = Mutex::new(Vec::new());", "is a Mutex");
        caught_in_lib("fn f() { static ONE: std::sync::OnceLock<u8> = OnceLock::new(); }", "is a OnceLock");
        caught_in_lib("static MAP: LazyLock<DashMap<u8, u8>> = LazyLock::new(new);", "is a LazyLock");
        caught_in_lib("lazy_static! {}", "`lazy_static`");
        caught_in_lib("thread_local! {}", "`thread_local`");
        caught_in_lib("use once_cell::sync::Lazy;", "`once_cell`");
    }

    #[test]
    fn a_constant_table_and_a_static_of_tests_are_no_violation() {
        allowed(|f| {
            f.append("engine/src/lib.rs", "static WORDS: [&'static str; 1] = [\"STOP\"];\n");
            f.append("tests/src/lib.rs", "static HOUSE: OnceLock<u8> = OnceLock::new();\n");
            f.append(
                "schema/src/lib.rs",
                "#[cfg(test)]\nmod tests {\n    static HOUSE: OnceLock<u8> = OnceLock::new();\n}\n",
            );
        });
    }

    #[test]
    fn a_process_wide_name_is_caught() {
        caught_in_lib("use ractor::registry;", "registry");
        caught_in_lib("use ractor::{Actor, pg};", "pg");
        caught_in_lib("fn f() { ActorRef::where_is(name); }", "where_is");
        caught_in_lib("fn f() { Actor::spawn(Some(name), A, ()); }", "a name at spawn");
        allowed(|f| {
            _ = f.append("actors/src/lib.rs", "fn f() { Actor::spawn(None, A, ()); ractor::spawn(); }\n")
        });
    }
}
