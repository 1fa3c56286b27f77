//! Cells that a spreadsheet would take for a formula: an export writes an apostrophe before them, an import takes it
//! away again. Not for phone numbers, whose `+` must stay.

/// Signs a formula begins with.
const SIGNS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Whether the text, less leading apostrophes, begins like a formula. The apostrophes are looked through so that a
/// text which has one of its own comes back with it.
fn is_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(SIGNS)
}

/// The apostrophe that a cell with this text needs before it, or nothing.
#[must_use]
pub fn guard(text: &str) -> &'static str {
    if is_formula(text) { "'" } else { "" }
}

/// The text without the apostrophe of [`guard`].
pub(super) fn unguarded(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|text| is_formula(text)).unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarded_text_is_no_formula_and_comes_back_as_it_was() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+62", "'+62"),
            ("-", "'-"),
            ("@a", "'@a"),
            ("\ta", "'\ta"),
            ("'=1", "''=1"),
            ("'s Gravenhage", "'s Gravenhage"),
            ("Budi", "Budi"),
            ("", ""),
            ("'", "'"),
        ] {
            assert_eq!(format!("{}{text}", guard(text)), cell);
            assert_eq!(unguarded(cell), text, "{cell}");
        }
    }
}
