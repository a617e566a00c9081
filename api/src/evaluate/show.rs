//! The answers of single users, to be judged by a person.

use crate::evaluation::{TARGET_DAYS, date};
use crate::model::{Day, History, UserId};
use crate::scoring::{Scored, Selection, Term, recommend};
use crate::trained::TrainedModel;
use crate::training::{Dataset, UserRows, newer, older, train, user::number};
use anyhow::{Context as _, bail};
use foldhash::HashSet;
use reckon_contract::tuning::{Algorithm, Recommendation};

/// Number of newest rows that are printed.
const ROWS: usize = 20;

/// Prints, for each user: the newest rows before `day`, and the answers of both algorithms. Categories that were bought
/// in the 14 days from `day` on have a star.
pub(super) fn show(
    data: &Dataset,
    day: Day,
    settings: &Recommendation,
    users: &[UserId],
) -> anyhow::Result<()> {
    let model = train(data, day, 0).context("failed to train a model")?;
    for user in users {
        let Some(position) = data.find(number(user)) else {
            bail!("user {user} has no rows");
        };
        one(data, day, settings, &model, (user, data.user(position)));
    }
    Ok(())
}

fn one(
    data: &Dataset,
    day: Day,
    settings: &Recommendation,
    model: &TrainedModel,
    (id, user): (&UserId, UserRows<'_>),
) {
    let until = Day(day.0 + TARGET_DAYS);
    let later = newer(older(user.purchases, until), day);
    let bought: HashSet<&str> = later.iter().filter_map(|row| data.name(*row)).collect();
    let rows = older(user.purchases, day);
    println!(
        "User {}: {} purchases before {}, {} categories in the 14 days from then on",
        id,
        rows.len(),
        date::text(day),
        bought.len()
    );
    println!("  newest purchases: {}", newest(data, user, day));
    for algorithm in [Algorithm::Classic, Algorithm::NextBasket] {
        let settings = Recommendation {
            algorithm,
            ..settings.clone()
        };
        let history = data.history(user, day, settings.history_length() as usize);
        answer(&history, model, &settings, &bought);
    }
    println!();
}

fn newest(data: &Dataset, user: UserRows<'_>, day: Day) -> String {
    let rows = older(user.purchases, day).iter().take(ROWS);
    let mut text: Vec<String> = Vec::new();
    let mut last = None;
    for row in rows {
        let name = data.name(*row).unwrap_or("-");
        if last == Some(row.day()) {
            text.push(name.to_owned());
        } else {
            let when = row.day().map_or("undated".to_owned(), date::text);
            text.push(format!("[{when}] {name}"));
            last = Some(row.day());
        }
    }
    text.join(", ")
}

fn answer(
    history: &History,
    model: &TrainedModel,
    settings: &Recommendation,
    bought: &HashSet<&str>,
) {
    let answer = recommend(history, Some(model), settings, &Selection::default());
    for (title, list) in [
        ("recommended", &answer.recommended),
        ("explore", &answer.explore),
    ] {
        let found = list
            .iter()
            .filter(|scored| bought.contains(scored.category()));
        let (found, all) = (found.count(), list.len());
        println!(
            "  {:?}, {title}: {found} of {all} bought",
            settings.algorithm
        );
        for scored in list {
            let mark = if bought.contains(scored.category()) {
                '*'
            } else {
                ' '
            };
            println!(
                "  {mark} {:6.3} {:32} {}",
                scored.total(),
                scored.category(),
                explanation(scored)
            );
        }
    }
}

/// The greatest three terms, in words.
fn explanation(scored: &Scored<'_>) -> String {
    let mut terms = scored.terms();
    terms.sort_by(|left, right| right.1.total_cmp(&left.1));
    let terms = terms.into_iter().take(3).map(|(term, value)| {
        let words = match term {
            Term::SearchRows(rows) => format!("searches: {rows}"),
            Term::PurchaseRows(rows) => format!("purchases: {rows}"),
            Term::ShoppingDays { days, of } => format!("on {days} of {of} shopping days"),
            Term::SearchDays(days) => format!("days with searches: {days}"),
            Term::Popularity(share) => format!("in {:.0} % of all baskets", share * 100.0),
            Term::Related(category) => format!("because of {category}"),
            Term::TakeUp(share) => format!("{:.1} % of users began to buy it", share * 100.0),
            Term::BoughtBefore(days) => format!("days long ago: {days}"),
        };
        format!("{words}: {value:.3}")
    });
    terms.collect::<Vec<_>>().join("; ")
}
