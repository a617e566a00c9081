//! The distinct categories of some rows, without an allocation for each.

use super::entry::Entry;

/// Finds distinct categories; kept and used again.
pub(super) struct Distinct {
    /// The round in which each category was met last.
    met: Vec<u32>,
    round: u32,
    found: Vec<u32>,
}

impl Distinct {
    /// For categories below `count`.
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
            // After 4 billion rounds: what was met long ago must not look new.
            self.met.fill(0);
            self.round = 1;
        }
    }
}
