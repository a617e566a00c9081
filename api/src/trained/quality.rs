//! The quality of answers on days that were not in the training of the evaluated model. It is an optional part of the
//! document.

use super::invalid::{Invalid, invalid};
use crate::model::Day;
use reckon_contract::tuning::Algorithm;
use serde::{Deserialize, Serialize};

/// The answers of both algorithms at a cut-off, compared with the users' purchases in the 14 days from the cut-off on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// First of the 14 days.
    #[serde(rename = "cut_off_day")]
    pub cut_off: Day,
    /// The recommended categories.
    pub recommended: ListQuality,
    /// The categories to explore; none if too few users bought something new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explore: Option<ListQuality>,
}

/// One list, with both algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListQuality {
    /// Number of users whose lists were compared.
    pub users: u64,
    /// The figures of `Classic`.
    #[serde(rename = "Classic")]
    pub classic: Figures,
    /// The figures of `NextBasket`.
    #[serde(rename = "NextBasket")]
    pub next_basket: Figures,
}

/// The figures of one list and algorithm, each from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Mean NDCG of the list (of 10 recommended categories, or 5 to explore).
    pub ndcg: f64,
    /// Half the width of its 95 % confidence interval over users.
    pub ndcg_half_width: f64,
    /// Part of the users who bought a category of their list.
    pub hit_rate: f64,
    /// Of the categories that were bought, the part that is in the list of at least one user.
    pub coverage: f64,
}

impl Quality {
    /// The lists that were compared, by name.
    pub fn lists(&self) -> impl Iterator<Item = (&'static str, &ListQuality)> {
        let explore = self.explore.as_ref().map(|list| ("explore", list));
        std::iter::once(("recommended", &self.recommended)).chain(explore)
    }

    pub(super) fn check(&self) -> Result<(), Invalid> {
        for (name, list) in self.lists() {
            list.check(name)?;
        }
        Ok(())
    }
}

impl ListQuality {
    /// The figures of each algorithm.
    #[must_use]
    pub fn algorithms(&self) -> [(Algorithm, &Figures); 2] {
        [
            (Algorithm::Classic, &self.classic),
            (Algorithm::NextBasket, &self.next_basket),
        ]
    }

    fn check(&self, list: &str) -> Result<(), Invalid> {
        if self.users == 0 {
            let field = format!("quality.{list}.users");
            return Err(invalid(field, self.users, "at least 1"));
        }
        for (algorithm, figures) in self.algorithms() {
            for (name, value) in figures.named() {
                if !(0.0..=1.0).contains(&value) {
                    let field = format!("quality.{list}.{}.{name}", algorithm.name());
                    return Err(invalid(field, value, "a number from 0 to 1"));
                }
            }
        }
        Ok(())
    }
}

impl Figures {
    fn named(&self) -> [(&'static str, f64); 4] {
        let Self {
            ndcg,
            ndcg_half_width,
            hit_rate,
            coverage,
        } = *self;
        [
            ("ndcg", ndcg),
            ("ndcg_half_width", ndcg_half_width),
            ("hit_rate", hit_rate),
            ("coverage", coverage),
        ]
    }
}
