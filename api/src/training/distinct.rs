//! The distinct categories of some rows, without an allocation for each.

use super::entry::Entry;

/// Finds distinct categories; reused for many lists of rows.
pub(super) struct Distinct {
    /// The last round in which each category occurred.
    met: Vec<u32>,
    round: u32,
    found: Vec<u32>,
}

impl Distinct {
    /// A finder for categories with numbers below `count`.
    pub(super) fn new(count: usize) -> Self {
        Self {
            met: vec![0; count],
            round: 0,
            found: Vec::new(),
        }
    }

    /// The categories of `rows`, each once.
    pub(super) fn of(&mut self, rows: &[Entry]) -> &[u32] {
        self.start();
        for category in rows.iter().filter_map(|row| row.category()) {
            if self.met[category as usize] != self.round {
                self.met[category as usize] = self.round;
                self.found.push(category);
            }
        }
        &self.found
    }

    /// Whether the last `rows` contain a category.
    pub(super) fn contains(&self, category: u32) -> bool {
        self.met[category as usize] == self.round
    }

    fn start(&mut self) {
        self.found.clear();
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            // After 4 billion rounds, categories of an old round must not count as those of the current one.
            self.met.fill(0);
            self.round = 1;
        }
    }
}
