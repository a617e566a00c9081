//! Trains a model from the rows of all users, in memory and without I/O.
//!
//! The shares and the take-up are counts; the related categories are EASE (Steck, "Embarrassingly Shallow Autoencoders
//! for Sparse Data", 2019). The same rows give the same model, in any order of reading. `docs/recommendations.md` has
//! the formulas.

mod builder;
mod dataset;
mod distinct;
mod entry;
mod forms;
mod inverse;
mod related;
mod shares;
mod take_up;
pub(crate) mod threads;
pub mod user;

pub use builder::Builder;
pub use dataset::Dataset;
pub(crate) use dataset::{UserRows, newer, older};
pub(crate) use entry::Entry;

use crate::model::Day;
use crate::trained::{Category, Invalid, MAX_CATEGORIES, TrainedModel};

/// Why no model can be trained.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are no purchases to train on.
    #[error("no purchase with a category before the day of the model")]
    NoPurchases,
    /// The users' purchases are so similar that rounding errors prevail.
    #[error("failed to compute the related categories: the matrix is not positive definite")]
    Singular,
    /// The result is not a valid model.
    #[error("the trained model is invalid")]
    Invalid(#[source] Invalid),
}

/// Trains a model on the rows of the days before `as_of`, rows without a valid date included; `created` in seconds since 1970.
///
/// The shares are those of the 60 days before `as_of`: pass the day after the newest data, and ignore rows with a date
/// in the future. If more than [`MAX_CATEGORIES`] categories were bought, those of the most baskets are used.
///
/// # Errors
/// Nothing was bought before `as_of`.
pub fn train(data: &Dataset, as_of: Day, created: u64) -> Result<TrainedModel, Error> {
    let chosen = shares::most_bought(data, as_of, MAX_CATEGORIES);
    if chosen.is_empty() {
        return Err(Error::NoPurchases);
    }
    let shares = shares::shares(data, as_of);
    let take_up = take_up::take_up(data, as_of);
    let related = related::related(data, as_of, &chosen).ok_or(Error::Singular)?;
    let categories = chosen.iter().zip(related).map(|(&number, related)| {
        let number = number as usize;
        Category {
            name: data.names()[number].clone(),
            share: shares[number],
            take_up: take_up[number],
            related,
        }
    });
    TrainedModel::new(created, as_of, used(data, as_of), categories.collect())
        .map_err(Error::Invalid)
}

/// The number of users and rows before `as_of`.
fn used(data: &Dataset, as_of: Day) -> (u64, u64) {
    let rows = data.all().map(|user| {
        (older(user.purchases, as_of).len() + older(user.searches, as_of).len()) as u64
    });
    rows.filter(|rows| *rows > 0)
        .fold((0, 0), |(users, all), rows| (users + 1, all + rows))
}

#[cfg(test)]
mod tests;
