//! The times of the training, as a cron schedule.

use sha2::{Digest as _, Sha256};

/// The fields of a schedule, with their least and greatest number.
const FIELDS: [(&str, u32, u32); 5] = [
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 6),
];

/// Once a day in the hour after 3:00. The minute follows from the resource's namespace and name, so that resources on the same
/// server do not all train at the same time.
pub(super) fn daily(namespace: &str, name: &str) -> String {
    let digest = Sha256::digest(format!("{namespace}/{name}"));
    // 0 to 59, evenly: 65536 values and a remainder of 16.
    let minute = u16::from_be_bytes([digest[0], digest[1]]) % 60;
    format!("{minute} 3 * * *")
}

/// Checks a schedule.
///
/// # Errors
/// Which field is invalid, and what is allowed.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    let fields: Vec<&str> = schedule.split(' ').collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "is {schedule:?}: expected five fields with one space between them, as in \"30 2 * * *\""
        ));
    }
    for (field, (name, least, most)) in fields.iter().zip(FIELDS) {
        if !field.split(',').all(|item| is_item(item, least, most)) {
            return Err(format!(
                "is {schedule:?}: the {name} {field:?} is invalid: expected \"*\", numbers from {least} to {most}, or ranges of \
                 them, separated by \",\", each with an optional step as in \"*/2\""
            ));
        }
    }
    Ok(())
}

/// Whether an item of a field is `*`, a number or a range, with an optional step.
fn is_item(item: &str, least: u32, most: u32) -> bool {
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, number(step)),
        None => (item, Some(1)),
    };
    let is_range = match range.split_once('-') {
        _ if range == "*" => true,
        Some((from, to)) => match (number(from), number(to)) {
            (Some(from), Some(to)) => least <= from && from <= to && to <= most,
            _ => false,
        },
        None => number(range).is_some_and(|number| (least..=most).contains(&number)),
    };
    is_range && step.is_some_and(|step| step > 0)
}

fn number(text: &str) -> Option<u32> {
    let is_short = (1..=2).contains(&text.len());
    let is_number = is_short && text.bytes().all(|letter| letter.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{check, daily};

    #[test]
    fn a_schedule_is_five_fields_of_numbers_in_their_ranges() {
        for schedule in [
            "0 3 * * *",
            "*/15 * * * *",
            "30 2 * * 1-5",
            "0,30 0-23/2 1,15-31/7 01-12 0,6",
            "59 23 31 12 6",
        ] {
            assert_eq!(check(schedule), Ok(()), "{schedule}");
        }
        for (schedule, words) in [
            ("@daily", "five fields"),
            ("0 3 * *", "five fields"),
            ("0  3 * * *", "five fields"),
            ("0 3 * * * *", "five fields"),
            ("60 3 * * *", "the minute \"60\""),
            ("0 24 * * *", "the hour \"24\""),
            ("0 3 0 * *", "the day of month \"0\""),
            ("0 3 * JAN *", "the month \"JAN\""),
            ("0 3 * * 7", "numbers from 0 to 6"),
            ("50-10 3 * * *", "the minute \"50-10\""),
            ("*/0 3 * * *", "the minute \"*/0\""),
            (", 3 * * *", "the minute \",\""),
            ("0 3 * * +1", "the day of week"),
            ("000 3 * * *", "the minute \"000\""),
        ] {
            let problem = check(schedule).unwrap_err();
            assert!(problem.contains(words), "{schedule}: {problem}");
        }
    }

    #[test]
    fn the_usual_time_is_the_resources_own_and_valid() {
        assert_eq!(daily("shop", "tiny"), daily("shop", "tiny"));
        let names = ["a", "b", "c", "d", "e", "f"];
        let times: std::collections::BTreeSet<String> =
            names.iter().map(|name| daily("shop", name)).collect();
        assert!(times.len() > 1, "{times:?}");
        for time in times {
            assert_eq!(check(&time), Ok(()));
            assert!(time.ends_with(" 3 * * *"), "{time}");
        }
    }
}
