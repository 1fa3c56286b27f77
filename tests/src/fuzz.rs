//! The fuzz targets: what must hold of any bytes that come from outside, one function a target. Each is called in three ways:
//! with every file of the saved corpus (`tests/fuzz/corpus`), with seeded mutations of it, both as ordinary tests, and by
//! cargo-fuzz with its own mutations where a nightly toolchain is (`tests/fuzz`). Not a proof that nothing else breaks them.
//!
//! A target panics when its promise breaks, and gives a number for the kind of outcome otherwise: inputs with a kind that was
//! not seen before are mutated further, which is what coverage is for a real fuzzer, only coarser.

mod contact_file;
mod frame;
mod graph;
mod mutation;
mod spintax;
mod template;
mod webhook;

pub use contact_file::contact_file;
pub use frame::frame;
pub use graph::graph;
pub use spintax::spintax;
pub use template::template;
pub use webhook::webhook;

use mutation::Mutator;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

/// Longest input of the seeded mutations.
const SIZE_MAX: usize = 2 * 1024;
/// Most inputs that are mutated further.
const POOL_MAX: usize = 2_000;

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder of the corpus.
    pub name: &'static str,
    /// Asserts what must hold of the bytes; gives the kind of outcome.
    pub run: fn(&[u8]) -> u64,
    /// What its inputs are made of, for mutations.
    pub words: &'static [&'static str],
    /// How many mutations are tried by the tests, in a few seconds.
    pub mutations: u32,
}

/// Every target.
pub const TARGETS: [Target; 6] = [
    Target { name: "template", run: template, words: template::WORDS, mutations: 20_000 },
    Target { name: "spintax", run: spintax, words: spintax::WORDS, mutations: 20_000 },
    Target { name: "contact_file", run: contact_file, words: contact_file::WORDS, mutations: 2_000 },
    Target { name: "webhook", run: webhook, words: webhook::WORDS, mutations: 20_000 },
    Target { name: "graph", run: graph, words: graph::WORDS, mutations: 20_000 },
    Target { name: "frame", run: frame, words: frame::WORDS, mutations: 20_000 },
];

/// What a run of mutations came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Inputs that were tried.
    pub runs: u32,
    /// Kinds of outcome among them and the corpus.
    pub kinds: usize,
}

impl Target {
    /// The saved inputs, in the order of their names.
    ///
    /// # Panics
    /// When the folder is not there: a target without a corpus proves nothing.
    #[must_use]
    pub fn corpus(&self) -> Vec<(String, Vec<u8>)> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(self.name);
        let list = std::fs::read_dir(&folder).expect("every target has a folder of saved inputs");
        let mut found: Vec<_> = list
            .map(|entry| {
                let entry = entry.expect("the folder can be listed");
                let bytes = std::fs::read(entry.path()).expect("a saved input can be read");
                (entry.file_name().to_string_lossy().into_owned(), bytes)
            })
            .collect();
        found.sort();
        found
    }

    /// Tries one input.
    ///
    /// # Panics
    /// When the promise breaks; `whose` and the input are printed before.
    pub fn try_one(&self, whose: &str, data: &[u8]) -> u64 {
        catch_unwind(AssertUnwindSafe(|| (self.run)(data))).unwrap_or_else(|cause| {
            eprintln!("{}: {whose} breaks it, {} bytes: b\"{}\"", self.name, data.len(), data.escape_ascii());
            resume_unwind(cause)
        })
    }

    /// Tries `count` mutations of the corpus; the same seed tries the same ones.
    ///
    /// # Panics
    /// When the promise breaks; the input is printed before.
    #[must_use]
    pub fn mutate(&self, seed: u64, count: u32) -> Figures {
        let mut mutator = Mutator::new(seed, self.words, SIZE_MAX);
        let mut pool: Vec<Vec<u8>> = self.corpus().into_iter().map(|(_, bytes)| bytes).collect();
        let mut kinds: HashSet<u64> = pool.iter().map(|bytes| self.try_one("a saved input", bytes)).collect();
        for nth in 0..count {
            let input = mutator.next(&pool);
            let kind = self.try_one(&format!("mutation {nth} of seed {seed}"), &input);
            if kinds.insert(kind) && pool.len() < POOL_MAX {
                pool.push(input);
            }
        }
        Figures { runs: count, kinds: kinds.len() }
    }
}

/// The number of a kind of outcome.
fn kind(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// A size as one of few: what differs only in its length is of one kind.
fn about(size: usize) -> u32 {
    usize::BITS - size.leading_zeros()
}

/// A message without the digits and quoted words that differ between inputs.
fn words_of(message: &str) -> String {
    let quoted = |(nth, part): (usize, &str)| if nth % 2 == 0 { part.to_owned() } else { String::new() };
    let text: String = message.split('`').enumerate().map(quoted).collect();
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 2_026;

    fn target(name: &str) -> Target {
        *TARGETS.iter().find(|target| target.name == name).unwrap()
    }

    /// The whole corpus and its mutations. `KABAR_FUZZ=N` tries N of them instead, from a seed of its own each time.
    fn keeps_its_promise(name: &str) {
        let target = target(name);
        let (mut seed, mut count) = (SEED, target.mutations);
        if let Some(wanted) = std::env::var("KABAR_FUZZ").ok().and_then(|n| n.parse().ok()) {
            (seed, count) = (rand::random(), wanted);
        }
        let corpus = target.corpus();
        assert!(corpus.len() >= 12, "{} inputs are saved", corpus.len());
        for (file, bytes) in &corpus {
            target.try_one(file, bytes);
        }
        let figures = target.mutate(seed, count);
        println!("{name}: {} saved, seed {seed}, {figures:?}", corpus.len());
        assert!(figures.kinds >= 10, "the mutations reach next to nothing: {figures:?}");
    }

    #[test]
    fn any_text_is_a_template_or_refused_with_its_place() {
        keeps_its_promise("template");
    }

    #[test]
    fn any_text_is_spintax_or_refused_with_its_place() {
        keeps_its_promise("spintax");
    }

    #[test]
    fn any_bytes_are_a_contact_file_whose_rows_add_up_or_are_refused() {
        keeps_its_promise("contact_file");
    }

    #[test]
    fn any_bytes_are_a_webhook_of_which_nothing_is_lost_or_are_refused() {
        keeps_its_promise("webhook");
    }

    #[test]
    fn any_answer_of_a_provider_is_understood_or_known_to_be_unclear() {
        keeps_its_promise("graph");
    }

    #[test]
    fn any_bytes_are_a_frame_that_reads_back_or_are_refused() {
        keeps_its_promise("frame");
    }

    #[test]
    fn every_folder_of_the_corpus_and_every_program_has_its_target() {
        let package = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let names = |folder: &str| {
            let list = std::fs::read_dir(package.join(folder)).unwrap();
            let name = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
            let mut names: Vec<String> = list.map(|entry| name(entry.unwrap().path())).collect();
            names.sort();
            names
        };
        let mut targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        targets.sort_unstable();
        assert_eq!(names("corpus"), targets);
        assert_eq!(names("fuzz_targets"), targets);
        let manifest = std::fs::read_to_string(package.join("Cargo.toml")).unwrap();
        for name in targets {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        }
    }

    #[test]
    fn the_same_seed_tries_the_same_inputs() {
        fn length(data: &[u8]) -> u64 {
            kind(data)
        }
        let target = Target { run: length, ..target("template") };
        assert_eq!(target.mutate(7, 200), target.mutate(7, 200));
        assert!(target.mutate(7, 200).kinds > 150, "the inputs differ");
    }
}
