//! The rows of a statement for several users.

use crate::model::{Day, History};

/// The statement has no such branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of branch {0}, which was not asked")]
pub struct UnknownBranch(i64);

/// Adds a row to the history of its user. Half of `branch` is the position of the user; even branches are searches.
///
/// # Errors
/// `branch` is not one of the statement's.
pub fn add_row(
    branch: i64,
    category: Option<&[u8]>,
    day: Option<i64>,
    histories: &mut [History],
) -> Result<(), UnknownBranch> {
    let category = category.map(String::from_utf8_lossy);
    let day = day.and_then(|day| i32::try_from(day).ok()).map(Day);
    let position = usize::try_from(branch).map(|branch| branch / 2).ok();
    let history = position.and_then(|position| histories.get_mut(position));
    let history = history.ok_or(UnknownBranch(branch))?;
    let column = if branch % 2 == 0 {
        &mut history.searches
    } else {
        &mut history.purchases
    };
    column.push(category.as_deref(), day);
    Ok(())
}
