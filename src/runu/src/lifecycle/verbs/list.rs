//! `list`: runu's containers, beside those that runc has under the same root.

use serde_json::Value;

use crate::cli::Format;
use crate::exit;
use crate::lifecycle::store::Store;
use crate::lifecycle::unikernel::Unikernel;
use crate::lifecycle::verbs::state::State;

/// One container as `list --format json` shows it: runu's and runc's have the
/// same fields.
pub type Row = Value;

/// runu's containers under the store's root.
pub fn rows(store: &Store) -> Vec<Row> {
    let states = store.entries().into_iter().filter_map(|entry| {
        // One that is being made or deleted just now is not listed.
        let unikernel = Unikernel::load(store, &entry.id).ok()?;
        serde_json::to_value(State::of(&unikernel)).ok()
    });
    states.collect()
}

/// Prints containers as runc does.
pub fn print(rows: &[Row], format: Format, quiet: bool) {
    let text = |row: &Row, key: &str| match &row[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    if quiet {
        rows.iter().for_each(|row| exit::say(&text(row, "id")));
    } else if format == Format::Json {
        exit::say(&Value::from(rows.to_vec()).to_string());
    } else {
        let titles = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
        let keys = ["id", "pid", "status", "bundle", "created", "owner"];
        let body = rows.iter().map(|row| keys.map(|key| text(row, key)));
        let head = std::iter::once(titles.map(str::to_owned));
        exit::say(table(head.chain(body).collect()).trim_end());
    }
}

/// Columns of at least 12, three blanks between them, as runc's table has them.
fn table(lines: Vec<[String; 6]>) -> String {
    let mut out = String::new();
    let width = |column: usize| {
        let longest = lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0);
        (longest + 3).max(12)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    for line in &lines {
        for (text, width) in line[..5].iter().zip(widths) {
            out += &format!("{text:width$}");
        }
        out += &line[5];
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let line = |id: &str| [id, "1", "running", "/b", "now", "root"].map(str::to_owned);
        let text = table(vec![line("a"), line("a-long-container-id")]);
        let mut starts = text.lines().map(|l| l.find("1").unwrap());
        assert_eq!(starts.next(), starts.next());
    }
}
