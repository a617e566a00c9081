//! The single form of categories that count as one, if categories are folded.

use super::entry::Entry;
use crate::folding::key;
use foldhash::HashMap;
use std::cmp::Reverse;

/// The numbers of categories, each with the form that replaces it: the most frequent form, without blanks at the ends.
/// Of equally frequent forms, the first by name is used. The form of a category that consists only of blanks is empty.
pub(super) fn forms(names: &[(Box<str>, u32)], rows: &[(i64, Entry)]) -> Vec<(Box<str>, u32)> {
    let mut counts = vec![0_u64; names.len()];
    for category in rows.iter().filter_map(|(_, entry)| entry.category()) {
        counts[category as usize] += 1;
    }
    let mut forms: HashMap<String, HashMap<&str, u64>> = HashMap::default();
    for (name, number) in names {
        let counted = forms.entry(key(name)).or_default();
        *counted.entry(name.trim()).or_default() += counts[*number as usize];
    }
    let chosen = |name: &str| {
        let counted = forms.get(&key(name)).into_iter().flatten();
        let best = counted.max_by_key(|(form, count)| (**count, Reverse(**form)));
        best.map_or("", |(form, _)| form).into()
    };
    names
        .iter()
        .map(|(name, number)| (chosen(name), *number))
        .collect()
}
