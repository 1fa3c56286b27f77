//! Words by which a person leaves or comes back, in Indonesian and English. The whole message must be one of
//! them; a sentence that merely holds the word is none.
//!
//! Not the consent itself and not the platform's own switch (`user_preferences`), which is kept apart: its
//! `resume` must not lift a typed STOP.

use serde::{Deserialize, Serialize};

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// No more messages that they did not ask for.
    OptOut,
    /// Messages again.
    OptIn,
}

/// Longer messages are conversation.
const LENGTH_MAX: usize = 80;

/// `cancel`, `batal` and `keluar` are missing on purpose: people answer them to orders and appointments.
const OPT_OUT: &[&str] = &[
    "stop",
    "stopall",
    "stop all",
    "unsubscribe",
    "unsub",
    "end",
    "quit",
    "opt out",
    "optout",
    "unreg",
    "remove me",
    "unsubscribe me",
    "unsubscribe all",
    "unsubscribe from all",
    "unsubscribe from promos",
    "cancel subscription",
    "stop messages",
    "stop messaging me",
    "stop texting me",
    "stop sending me messages",
    "stop promotion",
    "stop promotions",
    "stop promo",
    "stop promosi",
    "stop pesan",
    "stop kirim",
    "stop kirim pesan",
    "stop kirim promo",
    "stop wa",
    "stop chat",
    "stop broadcast",
    "stop langganan",
    "stop berlangganan",
    "stop iklan",
    "no more messages",
    "dont message me",
    "dont text me",
    "do not message me",
    "do not text me",
    "berhenti",
    "berhenti langganan",
    "berhenti berlangganan",
    "berhenti kirim",
    "berhenti kirim pesan",
    "berhenti kirim promo",
    "berhenti kirimi saya pesan",
    "berhenti mengirim pesan",
    "hentikan",
    "hentikan pesan",
    "hentikan promo",
    "hentikan promosi",
    "hentikan langganan",
    "batal langganan",
    "batal berlangganan",
    "batalkan langganan",
    "tidak mau langganan",
    "jangan kirim lagi",
    "jangan kirim pesan",
    "jangan kirim pesan lagi",
    "jangan kirim promo",
    "jangan kirim promo lagi",
    "jangan kirimi saya pesan",
    "jangan kirimi saya pesan lagi",
    "jangan wa lagi",
    "jangan wa saya",
    "jangan wa saya lagi",
    "jangan hubungi saya",
    "jangan hubungi saya lagi",
    "jangan chat lagi",
    "jangan chat saya lagi",
    "hapus nomor saya",
];

const OPT_IN: &[&str] = &[
    "start",
    "unstop",
    "subscribe",
    "resubscribe",
    "resume",
    "opt in",
    "optin",
    "reg",
    "start promo",
    "mulai",
    "mulai lagi",
    "mulai langganan",
    "lanjut",
    "lanjutkan",
    "lanjut langganan",
    "langganan",
    "langganan lagi",
    "berlangganan",
    "berlangganan lagi",
    "aktifkan lagi",
    "aktifkan langganan",
];

/// Words of courtesy before or after the wish.
const COURTESY: &[&str] = &[
    "please", "pls", "plz", "tolong", "tlg", "mohon", "ya", "yah", "dong", "deh", "aja", "saja", "kak",
    "kaka", "kakak", "min", "admin", "pak", "bu", "bapak", "ibu", "mas", "mba", "mbak", "sis", "gan", "bro",
    "sir", "thanks", "thx", "makasih", "trims", "hi", "hai", "halo", "hello", "sekarang", "now",
];

/// Reads a message as a wish; `None` when it is anything else. Case, punctuation, emoji, courtesy and drawn-out
/// letters ("stoppp") do not matter.
#[must_use]
pub fn read(text: &str) -> Option<Wish> {
    let trimmed = text.trim();
    if trimmed.len() > LENGTH_MAX * 4 || trimmed.chars().count() > LENGTH_MAX {
        return None;
    }
    let plain = plain(trimmed);
    let words: Vec<&str> = plain.split_whitespace().collect();
    if let Some(wish) = look_up(&words) {
        return Some(wish);
    }
    let short: Vec<String> = words.iter().map(|word| undrawn(word)).collect();
    look_up(&short.iter().map(String::as_str).collect::<Vec<_>>())
}

fn look_up(words: &[&str]) -> Option<Wish> {
    let is_wish = |word: &&str| !COURTESY.contains(word);
    let begin = words.iter().position(is_wish)?;
    let end = words.iter().rposition(is_wish)?;
    let phrase = words[begin..=end].join(" ");
    if OPT_OUT.contains(&phrase.as_str()) {
        Some(Wish::OptOut)
    } else if OPT_IN.contains(&phrase.as_str()) {
        Some(Wish::OptIn)
    } else {
        None
    }
}

/// Small letters and digits; an apostrophe is nothing, everything else a space.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() {
            plain.extend(full_width(c).to_lowercase());
        } else if !matches!(c, '\'' | '\u{2019}' | '\u{200b}'..='\u{200f}' | '\u{fe0f}') {
            plain.push(' ');
        }
    }
    plain
}

/// `ＳＴＯＰ` as some keyboards write it.
fn full_width(c: char) -> char {
    match c {
        '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' => {
            char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c)
        }
        _ => c,
    }
}

/// A letter that stands three times or more stands once.
fn undrawn(word: &str) -> String {
    let letters: Vec<char> = word.chars().collect();
    let runs = letters.chunk_by(|a, b| a == b);
    runs.flat_map(|run| run.iter().take(if run.len() > 2 { 1 } else { run.len() })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn these_leave() {
        for text in [
            "STOP",
            "stop",
            " Stop. ",
            "STOP!!!",
            "\"STOP\"",
            "*STOP*",
            "stop 🙏",
            "🛑 stop 🛑",
            "Stoppp",
            "ＳＴＯＰ",
            "stop ya kak",
            "Tolong stop dong",
            "please stop",
            "STOP PROMO",
            "Stop promotions",
            "UNSUBSCRIBE",
            "Unsubscribe from promos",
            "UNREG",
            "opt-out",
            "Opt out",
            "END",
            "quit",
            "BERHENTI",
            "Berhenti ya",
            "berhenti langganan",
            "berhenti\nberlangganan",
            "jangan kirim lagi!!",
            "Jangan kirim pesan lagi ya min 🙏🙏",
            "jangan hubungi saya lagi",
            "Don't text me",
            "Don\u{2019}t message me, please",
            "hentikan promosi",
            "hapus nomor saya",
        ] {
            assert_eq!(read(text), Some(Wish::OptOut), "{text}");
        }
    }

    #[test]
    fn these_come_back() {
        for text in
            ["START", "start!", "Mulai", "mulai lagi ya", "LANJUT", "unstop", "Opt-in", "subscribe 😀"]
        {
            assert_eq!(read(text), Some(Wish::OptIn), "{text}");
        }
    }

    #[test]
    fn these_are_conversation() {
        for text in [
            "",
            " ",
            "🙏",
            "ya",
            "tolong kak",
            "jangan berhenti ya",
            "kapan bus berhenti di halte?",
            "don't stop",
            "never stop sending",
            "jangan stop dong",
            "stop by the shop tomorrow",
            "non stop",
            "stopwatch",
            "the end",
            "weekend",
            "cancel",
            "batal",
            "batal pesan",
            "keluar",
            "kirim lagi",
            "saya mau mulai dari awal",
            "lanjut besok ya kak meetingnya",
            "bagaimana cara berhenti langganan",
            "stop 2",
            "start time?",
            "jangan kirim ke alamat lama, kirim lagi ke rumah",
            "kirim promo lagi dong",
            "s top",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&format!("stop {}", "!".repeat(100))), None);
    }

    #[test]
    fn no_phrase_begins_or_ends_with_courtesy_or_means_both() {
        for phrase in OPT_OUT.iter().chain(OPT_IN) {
            assert!(read(phrase).is_some(), "{phrase} cannot be reached");
            assert_eq!(plain(phrase), *phrase);
        }
        assert!(OPT_OUT.iter().all(|phrase| !OPT_IN.contains(phrase)));
    }

    proptest! {
        #[test]
        fn decoration_changes_no_wish(
            before in "[ .!*_🙏😀\n]{0,6}", after in "[ .!?*_🙏❤️\n]{0,6}", phrase in 0..OPT_OUT.len(), shout: bool,
        ) {
            let phrase = if shout { OPT_OUT[phrase].to_uppercase() } else { OPT_OUT[phrase].to_owned() };
            prop_assert_eq!(read(&format!("{before}{phrase}{after}")), Some(Wish::OptOut));
        }

        #[test]
        fn another_word_makes_it_conversation(word in "[b-z]{5,9}x", phrase in 0..OPT_OUT.len()) {
            let phrase = OPT_OUT[phrase];
            prop_assert_eq!(read(&format!("{word} {phrase}")), None);
            prop_assert_eq!(read(&format!("{phrase} {word}")), None);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,100}") {
            let _ = read(&text);
        }
    }
}
