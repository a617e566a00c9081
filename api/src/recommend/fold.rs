//! Rewrites categories: all forms that count as one category become one form.

use crate::folding::key;
use crate::model::{Categories, History};
use crate::scoring::Selection;
use crate::trained::TrainedModel;
use foldhash::{HashMap, HashSet};
use reckon_contract::tuning::{Algorithm, Recommendation};

/// [`fold`] with the model that the algorithm uses; `None` if the settings do not fold categories.
pub(super) fn folded(
    history: &History,
    selection: &Selection,
    model: Option<&TrainedModel>,
    settings: &Recommendation,
) -> Option<(History, Selection)> {
    // `Classic` does not use the model.
    let model = model.filter(|_| settings.algorithm != Algorithm::Classic);
    settings
        .fold_categories
        .then(|| fold(history, selection, model))
}

/// The history and the selection with one form of each category. This is the form in the model. If the model lacks the
/// category, or there is no model, it is the form in the newest purchase, otherwise in the newest search; the last two
/// without blanks at the ends. A category that consists only of blanks counts as no category. The number of rows does
/// not change.
///
/// If the model has several forms of a category, the most popular one counts, and the selection excludes the others.
#[must_use]
fn fold(
    history: &History,
    selection: &Selection,
    model: Option<&TrainedModel>,
) -> (History, Selection) {
    let mut forms = Forms {
        model,
        by_key: HashMap::default(),
        known: HashMap::default(),
    };
    let purchases = forms.of_all(&history.purchases);
    let searches = forms.of_all(&history.searches);
    let selection = Selection {
        limit: selection.limit,
        exclude: forms.excluded(&selection.exclude),
    };
    let history = History {
        searches,
        purchases,
    };
    (history, selection)
}

/// The forms of categories.
struct Forms<'a> {
    model: Option<&'a TrainedModel>,
    by_key: HashMap<String, &'a str>,
    /// The form for each text that has occurred so far.
    known: HashMap<&'a str, &'a str>,
}

impl<'a> Forms<'a> {
    fn of_all(&mut self, categories: &'a Categories) -> Categories {
        categories.map(|category| self.of(category))
    }

    fn of(&mut self, category: &'a str) -> &'a str {
        if let Some(form) = self.known.get(category) {
            return form;
        }
        let key = key(category);
        let first = || {
            let of_model = self.model.and_then(|model| model.folded(&key));
            of_model.unwrap_or(category.trim())
        };
        let form = match self.by_key.get(&key) {
            Some(form) => form,
            None => first(),
        };
        self.by_key.insert(key, form);
        self.known.insert(category, form);
        form
    }

    fn excluded(&self, names: &HashSet<String>) -> HashSet<String> {
        let form = |name: &String| {
            let key = key(name);
            let form = self.by_key.get(&key).copied();
            let form = form.or_else(|| self.model.and_then(|model| model.folded(&key)));
            form.map_or_else(|| name.clone(), str::to_owned)
        };
        let others = self.model.into_iter().flat_map(TrainedModel::other_forms);
        names
            .iter()
            .map(form)
            .chain(others.map(str::to_owned))
            .collect()
    }
}

#[cfg(test)]
mod tests;
