//! Which algorithm a user gets while an experiment runs.
//!
//! `bucket(NAME, USER)` = the first 8 hexadecimal digits of SHA-256("NAME:USER"), as a number, modulo 100. Users whose bucket is
//! below the percentage are in the experiment. `docs/recommendations.md` promises this formula: it must not change.

use crate::model::UserId;
use reckon_contract::tuning::{Experiment, Recommendation};
use sha2::{Digest as _, Sha256};

/// The settings of all users, by group.
pub struct Assignment {
    control: Recommendation,
    experiment: Option<(Experiment, Recommendation)>,
}

/// The group of a user while an experiment runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Gets `recommendation.algorithm`.
    Control,
    /// Gets the algorithm of the experiment.
    Experiment,
}

impl Group {
    /// Its name in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Experiment => "experiment",
        }
    }
}

impl Assignment {
    /// The groups that these settings define.
    pub fn new(settings: &Recommendation) -> Self {
        let experiment = settings.experiment.as_ref().map(|experiment| {
            let settings = Recommendation {
                algorithm: experiment.algorithm,
                ..settings.clone()
            };
            (experiment.clone(), settings)
        });
        Self {
            control: settings.clone(),
            experiment,
        }
    }

    /// The user's group; none without an experiment.
    pub fn group(&self, user: &UserId) -> Option<Group> {
        let (experiment, _) = self.experiment.as_ref()?;
        let is_in = bucket(&experiment.name, user) < u32::from(experiment.percent);
        Some(if is_in {
            Group::Experiment
        } else {
            Group::Control
        })
    }

    /// The settings for the user, with the algorithm of the user's group.
    pub fn settings(&self, user: &UserId) -> &Recommendation {
        match (&self.experiment, self.group(user)) {
            (Some((_, settings)), Some(Group::Experiment)) => settings,
            _ => &self.control,
        }
    }

    /// The settings without a user.
    pub fn control(&self) -> &Recommendation {
        &self.control
    }
}

/// A number from 0 to 99 that depends on the experiment's name and the user's id only.
fn bucket(experiment: &str, user: &UserId) -> u32 {
    let digest = Sha256::digest(format!("{experiment}:{user}"));
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % 100
}

#[cfg(test)]
mod tests {
    use super::{Assignment, Group, bucket};
    use crate::model::UserId;
    use reckon_contract::tables::UserIdType;
    use reckon_contract::tuning::{Algorithm, Experiment, Recommendation};

    const TABLE: [(&str, &str, u32); 10] = [
        ("experiment", "0", 10),
        ("experiment", "1", 77),
        ("experiment", "2", 98),
        ("experiment", "123", 17),
        ("experiment", "-1", 30),
        ("experiment", "9223372036854775807", 85),
        ("experiment", "-9223372036854775808", 70),
        ("autumn 2026", "1", 55),
        ("autumn 2026", "123", 10),
        ("Größe", "1", 71),
    ];
    /// For the ids 1 to 10,000: a percentage, and the number of users in the group.
    const COUNTS: [(u8, usize); 5] = [(1, 99), (5, 495), (10, 1_027), (50, 5_047), (99, 9_917)];

    fn user(text: &str) -> UserId {
        UserId::parse(text, UserIdType::Integer).unwrap()
    }

    fn assignment(name: &str, percent: u8) -> Assignment {
        Assignment::new(&Recommendation {
            algorithm: Algorithm::Classic,
            experiment: Some(Experiment {
                name: name.to_owned(),
                algorithm: Algorithm::NextBasket,
                percent,
            }),
            ..Recommendation::default()
        })
    }

    /// Computed with `printf NAME:USER | sha256sum`.
    #[test]
    fn the_bucket_of_an_id_never_changes() {
        for (name, id, expected) in TABLE {
            assert_eq!(bucket(name, &user(id)), expected, "{name}:{id}");
        }
    }

    #[test]
    fn shares_are_those_of_the_percentage_and_another_name_draws_other_users() {
        let members = |name: &str, percent| -> Vec<bool> {
            let assignment = assignment(name, percent);
            let ids = (1..=10_000).map(|id: i64| user(&id.to_string()));
            ids.map(|id| assignment.group(&id) == Some(Group::Experiment))
                .collect()
        };
        let count = |members: &[bool]| members.iter().filter(|is_member| **is_member).count();
        for (percent, expected) in COUNTS {
            let members = members("experiment", percent);
            assert_eq!(count(&members), expected, "{percent} %");
            // The count is within four standard deviations of a random sample.
            let (share, least) = (f64::from(percent) / 100.0, f64::from(percent) * 100.0);
            let deviation = (10_000.0 * share * (1.0 - share)).sqrt();
            let drawn = f64::from(u32::try_from(expected).unwrap());
            assert!((drawn - least).abs() < 4.0 * deviation, "{percent} %");
        }
        let (one, other) = (members("experiment", 50), members("other", 50));
        let both: Vec<bool> = one
            .iter()
            .zip(&other)
            .map(|(one, other)| *one && *other)
            .collect();
        assert!((2300..2700).contains(&count(&both)), "{}", count(&both));
        // A greater percentage contains the users of a smaller one.
        let (small, great) = (members("experiment", 5), members("experiment", 20));
        assert!(
            small
                .iter()
                .zip(&great)
                .all(|(small, great)| !small || *great)
        );
    }

    #[test]
    fn a_users_settings_have_the_algorithm_of_the_group() {
        let assignment = assignment("experiment", 50);
        for id in 1..=100_i64 {
            let id = user(&id.to_string());
            let expected = match assignment.group(&id).unwrap() {
                Group::Control => Algorithm::Classic,
                Group::Experiment => Algorithm::NextBasket,
            };
            assert_eq!(assignment.settings(&id).algorithm, expected);
        }
        let without = Assignment::new(&Recommendation::default());
        assert_eq!(without.group(&user("1")), None);
        assert_eq!(without.settings(&user("1")), without.control());
    }
}
