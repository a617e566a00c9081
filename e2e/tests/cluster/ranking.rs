//! Which ranking computed the clients' answers, while the algorithm was changed and a model was trained.

use super::SOON;
use reckon_e2e::cluster::Cluster;
use reckon_e2e::load::{Answers, Load};
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

/// Number of users. Each is requested once a second.
const USERS: u32 = 100;
const REQUESTS_PER_SECOND: u32 = 100;
/// The length of a period in which nothing changes.
const SETTLED: Duration = Duration::from_secs(4);
const CHANGES: &str = "changes";

/// Clients that keep the answers.
pub fn load(cluster: &Cluster, service: &str) -> Load {
    Load::start_for(cluster, service, REQUESTS_PER_SECOND, USERS)
}

/// A period with the answers of one ranking, without changes.
pub fn settled(load: &Load, ranking: Ranking) {
    load.period(ranking.name());
    sleep(SETTLED);
    load.period(CHANGES);
}

/// The possible rankings of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranking {
    OwnHistory,
    Classic,
    Model,
}

impl Ranking {
    const ALL: [Self; 3] = [Self::OwnHistory, Self::Classic, Self::Model];

    fn name(self) -> &'static str {
        match self {
            Self::OwnHistory => "NextBasket without a model",
            Self::Classic => "Classic",
            Self::Model => "NextBasket with a model",
        }
    }

    /// The ranking that an answer names.
    fn of(answer: &str) -> Self {
        match (
            answer.contains("\"algorithm\""),
            answer.contains("\"model\""),
        ) {
            (true, false) => Self::OwnHistory,
            (false, false) => Self::Classic,
            (_, true) => Self::Model,
        }
    }
}

/// A run of the `CronJob` that publishes a model.
pub fn train(cluster: &Cluster, service: &str) {
    cluster.eventually(SOON, "the training is scheduled", || {
        let get = format!("get cronjob {service}-train");
        cluster.try_kubectl(&get).is_ok()
    });
    cluster.kubectl(&format!("create job now --from=cronjob/{service}-train"));
    cluster.kubectl("wait job/now --for=condition=Complete --timeout=90s");
    let published = cluster.mysql("SELECT COUNT(*) FROM shop.reckon_model");
    assert_eq!(published.trim(), "1");
    cluster.kubectl("delete job now");
}

/// Each settled period had one answer for each user, and each answer during the changes is one of these.
pub fn each_answer_is_of_one_ranking(mut kept: BTreeMap<String, Answers>) {
    let changes = kept.remove(CHANGES).unwrap();
    for ranking in Ranking::ALL {
        let answers = &kept[ranking.name()];
        assert_eq!(answers.len(), USERS as usize, "{ranking:?}");
        for (user, bodies) in answers {
            assert_eq!(bodies.len(), 1, "{ranking:?}, user {user}: {bodies:#?}");
            assert_eq!(Ranking::of(&bodies[0]), ranking, "{bodies:#?}");
        }
    }
    let mut users = BTreeMap::<&str, u32>::new();
    for (user, bodies) in &changes {
        for body in bodies {
            let ranking = Ranking::of(body);
            assert_eq!(*body, kept[ranking.name()][user][0], "{ranking:?}");
            *users.entry(ranking.name()).or_default() += 1;
        }
    }
    eprintln!("        users by ranking during the changes: {users:?}");
}
