//! Checks that the demo data never change and are realistic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::catalogue::{CATEGORIES, Lifestyle};
use super::{Event, Person, SHOWN, USERS, person};

/// The whole data set, generated once for all tests.
static ALL_USERS: LazyLock<Vec<Person>> = LazyLock::new(|| USERS.map(person).collect());

fn events() -> impl Iterator<Item = &'static Event> {
    ALL_USERS
        .iter()
        .flat_map(|person| person.searches.iter().chain(&person.purchases))
}

/// How many of a thousand users satisfy `so`.
fn per_mille(so: impl Fn(&Person) -> bool) -> usize {
    ALL_USERS.iter().filter(|person| so(person)).count() * 1_000 / ALL_USERS.len()
}

/// How often each category occurs in the newest hundred rows.
fn counts(rows: &[Event]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    let newest = rows.iter().rev().take(100);
    for category in newest.filter_map(|event| event.category) {
        if !category.is_empty() {
            *counts.entry(category).or_default() += 1;
        }
    }
    counts
}

/// The categories that the classic rule recommends to a person, and those that remain to explore; in no particular order.
fn classic(person: &Person) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let tables = [counts(&person.searches), counts(&person.purchases)];
    let often = |category: &&str| tables.iter().any(|table| table.get(category) > Some(&1));
    tables
        .iter()
        .flat_map(BTreeMap::keys)
        .copied()
        .partition(often)
}

#[test]
fn the_data_set_never_changes() {
    // FNV-1a over every field: a change here changes the data of every user of the demo; note it in the CHANGELOG.
    let mut checksum = 0xCBF2_9CE4_8422_2325_u64;
    let mut add = |text: &str| {
        for byte in text.bytes().chain([0xFF]) {
            checksum = (checksum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    };
    for event in events() {
        add(&event.user_id.to_string());
        add(&event.text);
        add(&event.at);
        add(event.category.unwrap_or("\0"));
        add(if event.success { "1" } else { "0" });
    }
    assert_eq!(
        (events().count(), checksum),
        (286_529, 1_379_663_376_010_345_407)
    );
}

#[test]
fn only_demo_users_have_a_history() {
    for id in [i64::MIN, -1, 0, USERS.end() + 1, i64::MAX] {
        assert_eq!(person(id), Person::default());
    }
}

#[test]
fn every_row_fits_its_table() {
    let names: BTreeSet<&str> = CATEGORIES.iter().map(|category| category.name).collect();
    for (id, person) in USERS.zip(&*ALL_USERS) {
        for event in person.searches.iter().chain(&person.purchases) {
            assert_eq!(event.user_id, id);
            assert!(!event.text.is_empty() && event.text.len() < 100);
            let known = |name: &str| name.is_empty() || names.contains(name);
            assert!(event.category.is_none_or(known), "{event:?}");
        }
    }
}

#[test]
fn times_are_dates_of_2025_in_order() {
    for rows in ALL_USERS.iter().flat_map(|p| [&p.searches, &p.purchases]) {
        assert!(rows.is_sorted_by_key(|event| &event.at));
    }
    for event in events() {
        let numbers: Vec<usize> = event
            .at
            .split(['-', ' ', ':'])
            .map(|part| part.parse().expect("a number"))
            .collect();
        let [year, month, day, hour, minute, second] = numbers[..] else {
            panic!("{event:?}");
        };
        let days = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1];
        assert!(year == 2025 && (1..=days).contains(&day), "{event:?}");
        assert!(hour < 24 && minute < 60 && second < 60, "{event:?}");
        assert_eq!(event.at.len(), "2025-01-01 00:00:00".len());
    }
}

#[test]
fn few_events_happen_at_night() {
    let night = events().filter(|event| (" 01".." 06").contains(&&event.at[10..13]));
    assert!(night.count() * 100 < events().count());
}

#[test]
fn a_few_users_have_no_history_and_some_only_searches_or_purchases() {
    let absent = per_mille(|p| p.searches.is_empty() && p.purchases.is_empty());
    let looking = per_mille(|p| !p.searches.is_empty() && p.purchases.is_empty());
    let buying = per_mille(|p| p.searches.is_empty() && !p.purchases.is_empty());
    assert!((40..60).contains(&absent), "{absent}");
    assert!((100..350).contains(&looking), "{looking}");
    assert!((20..70).contains(&buying), "{buying}");
}

#[test]
fn many_users_have_few_rows_and_some_more_than_a_hundred_in_a_table() {
    let seldom = per_mille(|p| p.searches.len() + p.purchases.len() <= 10);
    assert!((350..600).contains(&seldom), "{seldom}");
    let searching = per_mille(|p| p.searches.len() > 100);
    assert!((100..300).contains(&searching), "{searching}");
    assert!(ALL_USERS.iter().any(|p| p.purchases.len() > 100));
}

#[test]
fn a_few_rows_lack_a_category_or_success() {
    let share = |so: fn(&Event) -> bool| events().filter(|e| so(e)).count() * 1_000;
    let few = events().count() * 2..events().count() * 40;
    assert!(few.contains(&share(|event| event.category.is_none())));
    assert!(few.contains(&share(|event| event.category == Some(""))));
    assert!(few.contains(&share(|event| !event.success)));
}

#[test]
fn most_pairs_of_users_share_no_favourite_and_some_share_several() {
    // The three most frequent categories of each regular, and how many of them two regulars share.
    let favourites: Vec<BTreeSet<&str>> = ALL_USERS
        .iter()
        .filter(|person| person.searches.len() > 30)
        .map(|person| {
            let mut met: Vec<_> = counts(&person.searches).into_iter().collect();
            met.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
            met.into_iter().take(3).map(|(name, _)| name).collect()
        })
        .collect();
    let shared = |distance: usize| favourites.iter().zip(favourites.iter().skip(distance));
    let mut pairs = [0; 4];
    for (one, other) in (1..20).flat_map(shared) {
        pairs[one.intersection(other).count()] += 1;
    }
    let all: usize = pairs.iter().sum();
    assert!(
        pairs[0] * 2 > all,
        "most pairs have nothing in common: {pairs:?}"
    );
    assert!(pairs[2] + pairs[3] > all / 100, "some are alike: {pairs:?}");
}

#[test]
fn popular_categories_lead_and_every_category_occurs() {
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for name in events().filter_map(|event| event.category) {
        *met.entry(name).or_default() += 1;
    }
    let all = events().count();
    assert!(
        CATEGORIES.iter().all(|c| met[c.name] > all / 200),
        "{met:?}"
    );
    assert!(met["Clothing"] > all / 20, "{met:?}");
}

#[test]
fn the_users_of_the_examples_have_full_recommendations() {
    for id in SHOWN {
        let (recommended, explore) = classic(&person(id));
        assert!(recommended.len() >= 4, "{id}: {recommended:?}");
        assert!(explore.len() >= 3, "{id}: {explore:?}");
    }
}

#[test]
fn the_catalogue_is_complete() {
    let names: BTreeSet<&str> = CATEGORIES.iter().map(|category| category.name).collect();
    assert_eq!(names.len(), CATEGORIES.len());
    for category in CATEGORIES {
        let words = [category.details, category.wishes, category.options];
        assert!(words.iter().all(|words| !words.is_empty()), "{category:?}");
        let items: BTreeSet<_> = category.items.iter().collect();
        assert_eq!(items.len(), 12, "{}", category.name);
        // Shorter items could not be misspelt; non-ASCII ones would be cut within a character.
        assert!(items.iter().all(|item| item.is_ascii() && item.len() > 2));
    }
    for lifestyle in Lifestyle::ALL {
        let liked = CATEGORIES
            .iter()
            .filter(|c| c.lifestyles.contains(lifestyle));
        assert!(liked.count() >= 2, "{lifestyle:?}");
    }
}
