//! Cells of the CSV files that are given out: RFC 4180, and never a formula.

use kabar_actors::import::guard;

/// A cell that no spreadsheet runs.
pub(crate) fn cell(out: &mut String, text: &str) {
    quoted(out, guard(text), text);
}

/// RFC 4180: in quotes when it must be, quotes doubled.
pub(crate) fn quoted(out: &mut String, before: &str, text: &str) {
    if !text.contains([',', '"', '\r', '\n']) {
        out.push_str(before);
        out.push_str(text);
        return;
    }
    out.push('"');
    out.push_str(before);
    out.push_str(&text.replace('"', "\"\""));
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_when_it_must_be_and_never_a_formula() {
        for (text, written) in [
            ("Budi", "Budi"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("a\nb", "\"a\nb\""),
            ("=SUM(A1)", "'=SUM(A1)"),
            ("@a,b", "\"'@a,b\""),
        ] {
            let mut out = String::new();
            cell(&mut out, text);
            assert_eq!(out, written);
        }
    }
}
