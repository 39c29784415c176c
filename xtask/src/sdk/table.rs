//! What the clients did, side by side.

use std::collections::BTreeMap;
use std::fmt;

/// A row for each check, a column for each client.
#[derive(Debug, Default)]
pub(super) struct Table {
    clients: Vec<String>,
    checks: Vec<String>,
    /// By check and client, each by its place: what was seen in all modes.
    cells: BTreeMap<(usize, usize), Vec<String>>,
}

impl Table {
    /// Adds results: lines of check, client, and what was seen, with tabs between. The mode after the last comma of a
    /// check is left out, and of what was seen the waits, so that all modes of most checks are one and the same.
    pub(super) fn read(&mut self, results: &str) {
        for line in results.lines() {
            let mut fields = line.split('\t');
            let (Some(check), Some(client), Some(seen)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let check = check.rsplit_once(", ").map_or(check, |(check, _)| check);
            let at = (place(&mut self.checks, check), place(&mut self.clients, client));
            place(self.cells.entry(at).or_default(), &without_waits(seen));
        }
    }

    fn cell(&self, check: usize, client: usize) -> String {
        self.cells.get(&(check, client)).map_or_else(|| "-".to_owned(), |seen| seen.join(" / "))
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let head = std::iter::once(String::new()).chain(self.clients.iter().cloned()).collect();
        let row = |(at, check): (usize, &String)| {
            let cells = (0..self.clients.len()).map(|client| self.cell(at, client));
            std::iter::once(check.clone()).chain(cells).collect()
        };
        std::iter::once(head).chain(self.checks.iter().enumerate().map(row)).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..=self.clients.len()).map(width).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Where a text stands, after adding it if it is new.
fn place(texts: &mut Vec<String>, text: &str) -> usize {
    texts.iter().position(|known| known == text).unwrap_or_else(|| {
        texts.push(text.to_owned());
        texts.len() - 1
    })
}

fn without_waits(seen: &str) -> String {
    seen.split(", ").filter(|part| !part.ends_with(" s")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_one_cell_and_a_client_without_a_check_has_a_dash() {
        let mut table = Table::default();
        table.read("it waits, plain\ta 1\tBusy, 2 tries, 1.0 s\nit waits, stream\ta 1\tBusy, 2 tries, 1.1 s\n");
        table.read("it waits, plain\tb 22\tBusy, 3 tries\nit goes, plain\tb 22\tok\nit goes, stream\tb 22\tFAILED\n");
        let expected = [
            "          a 1            b 22",
            "it waits  Busy, 2 tries  Busy, 3 tries",
            "it goes   -              ok / FAILED",
        ];
        assert_eq!(table.to_string().lines().collect::<Vec<_>>(), expected);
    }
}
