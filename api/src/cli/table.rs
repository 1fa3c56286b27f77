//! Answers of the API for people: a page as a table, one thing as lines of `name  value`. Not for machines: they take
//! the JSON.

use serde_json::Value;
use std::fmt::Write;

/// The answer in words; `columns` are what of a page's things is shown.
pub(super) fn written(answer: &Value, columns: &[&str]) -> String {
    match answer["data"].as_array() {
        Some(things) => page(things, columns),
        None => thing(answer),
    }
}

/// A value without what could move the cursor.
pub(super) fn text(value: &Value) -> String {
    let raw = match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    // What a stranger wrote must not move the cursor.
    raw.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn page(things: &[Value], columns: &[&str]) -> String {
    let head: Vec<String> = columns.iter().map(|column| column.to_uppercase()).collect();
    let rows = things.iter().map(|thing| columns.iter().map(|column| text(&thing[*column])).collect());
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
    out
}

fn thing(thing: &Value) -> String {
    let mut lines = Vec::new();
    flatten("", thing, &mut lines);
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    lines.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

fn flatten(name: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (field, value) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(&format!("{name}{dot}{field}"), value, lines);
            }
        }
        value => lines.push((name.to_owned(), text(value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_is_a_table_and_a_thing_its_fields() {
        let answer = json!({"data": [{"id": "a", "name": "Ana"}, {"id": "bb", "name": null}], "next": null});
        assert_eq!(written(&answer, &["id", "name"]), "ID  NAME\na   Ana\nbb  –\n");
        let answer = json!({"id": "x", "totals": {"sent": 2}});
        assert_eq!(written(&answer, &[]), "id           x\ntotals.sent  2\n");
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(written(&json!({"name": "a\u{1b}[2Jb"}), &[]), "name  a [2Jb\n");
    }
}
