//! Decides what keeps the sum of the pods' connections within the budget: the database server, by a limit of the account,
//! or the operator's plan.
//!
//! The server does so only if it counts every session of every pod, on one account, against a limit within the budget.
//! A session counts only if the account had a limit when the session was opened, and each account is counted
//! separately. So `Server` begins with a proof: a report of every pod about all its sessions. It ends at once when a
//! report contradicts the proof. A pod that does not answer for a while contradicts nothing. Its sessions were opened
//! under the limit, and it opens connections beyond its base only while the limit holds (`store.accountLimit`).

use std::fmt;
use std::str::FromStr;

/// What one pod reports about its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It has never connected, so it holds no session. Its first sessions will be opened under the limit that is valid
    /// then.
    Starting,
    /// It has connected, but reports no limit, because its image is too old.
    Unknown,
    /// The least strict limit over all its sessions.
    Limit {
        /// The account of all its sessions. `None`: they have different ones.
        account: Option<u64>,
        /// The limit; 0: a session has none.
        connections: u32,
    },
}

/// A pod of the Deployment, terminating or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Its name.
    pub name: String,
    /// Whether the pod has an address or is terminating. A pod that never had an address never ran, so it holds no
    /// session.
    pub has_run: bool,
    /// Its last report.
    pub report: Option<Report>,
}

/// Who created the account of the pods, and what is known about its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// The user. Only the pods' reports contain its limit.
    External,
    /// The operator. The value is the limit that a Job has set; `None`: no Job has ended yet.
    Provisioned(Option<u32>),
}

/// The input of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Whether the resource allows `Server`.
    pub is_allowed: bool,
    /// The pods' account.
    pub account: Account,
    /// Every pod that is alive.
    pub pods: &'a [Witness],
    /// The recorded decision.
    pub record: Option<Record>,
    /// Whether it is known without a report that pods of the wanted image hold only their base until they have work.
    pub is_elastic: bool,
    /// The connection budget.
    pub budget: u32,
}

/// What enforces the budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// The database server.
    Server {
        /// The account's limit; of a provisioned account, the budget.
        limit: u32,
    },
    /// The order of the operator's writes.
    Plan {
        /// Why not the server.
        why: Why,
    },
}

/// Why the server does not enforce the budget. `Display` is a part of a sentence that a person can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The resource does not allow it.
    Requested,
    /// The provisioned account does not exist yet.
    NoAccount,
    /// A session has no limit.
    NoLimit {
        /// The budget.
        budget: u32,
    },
    /// The account's limit exceeds the budget.
    AboveBudget {
        /// The limit.
        limit: u32,
        /// The budget.
        budget: u32,
    },
    /// The pods' sessions belong to different accounts, each with a limit of its own.
    SeveralAccounts,
    /// No pod has connected yet.
    NoReport,
    /// Pods that may hold sessions have not reported yet: their names.
    Unreported(Vec<String>),
    /// A pod's image does not report the limit.
    OldImage,
    /// The limit is too small for this mode, or for the pods that run.
    TooSmall {
        /// The limit.
        limit: u32,
    },
}

impl Why {
    /// Whether the server's limit still bounds the pods.
    #[must_use]
    pub fn limit_holds(&self) -> bool {
        matches!(self, Self::Requested | Self::TooSmall { .. })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faster = |budget: u32| {
            format!(
                "ALTER USER ... WITH MAX_USER_CONNECTIONS {budget} on the server makes rollouts faster"
            )
        };
        match self {
            Self::Requested => f.write_str("spec.mysql.budgetEnforcement is Plan"),
            Self::NoAccount => f.write_str("the account does not exist yet"),
            Self::NoLimit { budget } => {
                write!(f, "the account has no limit; {}", faster(*budget))
            }
            Self::AboveBudget { limit, budget } => write!(
                f,
                "the account's limit of {limit} exceeds the budget; {}",
                faster(*budget)
            ),
            Self::SeveralAccounts => f.write_str(
                "the pods' sessions belong to several accounts, each with its own limit; use one account for all hosts",
            ),
            Self::NoReport => f.write_str("no pod has reported the account's limit yet"),
            Self::Unreported(pods) => {
                let named = &pods[..pods.len().min(NAMED)];
                write!(f, "waiting for pods to report the account's limit: {}", named.join(", "))?;
                match pods.len() - named.len() {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Self::OldImage => f.write_str("the pods' image is too old to report the account's limit"),
            Self::TooSmall { limit } => write!(
                f,
                "the account's limit of {limit} is too small to replace these pods"
            ),
        }
    }
}

/// How many pods without a report are named.
const NAMED: usize = 3;

/// Decides what enforces the budget, from the present evidence.
#[must_use]
pub fn enforcement(evidence: &Evidence<'_>) -> Enforcement {
    match decide(evidence) {
        Ok(limit) => Enforcement::Server { limit },
        Err(why) => Enforcement::Plan { why },
    }
}

fn decide(evidence: &Evidence<'_>) -> Result<u32, Why> {
    if !evidence.is_allowed {
        return Err(Why::Requested);
    }
    match evidence.account {
        Account::Provisioned(None) => Err(Why::NoAccount),
        Account::Provisioned(Some(_)) => provisioned(evidence),
        Account::External => external(evidence),
    }
}

/// The operator sets this limit itself, before the first pod starts, so no proof is required. Only a report of a
/// session without any limit contradicts the decision: the limit was removed by hand. A limit above the budget is no
/// contradiction, because the limit is lowered last when the budget is lowered, and a session reports the limit under
/// which it was opened.
fn provisioned(evidence: &Evidence<'_>) -> Result<u32, Why> {
    let budget = evidence.budget;
    if limits(evidence).any(|(_, limit)| limit == 0) {
        return Err(Why::NoLimit { budget });
    }
    let is_elastic =
        evidence.is_elastic || is_server(evidence) || limits(evidence).next().is_some();
    if is_elastic {
        Ok(budget)
    } else {
        Err(Why::OldImage)
    }
}

fn external(evidence: &Evidence<'_>) -> Result<u32, Why> {
    let budget = evidence.budget;
    let within = |limit: u32| match limit {
        0 => Err(Why::NoLimit { budget }),
        _ if limit > budget => Err(Why::AboveBudget { limit, budget }),
        _ => Ok(limit),
    };
    let mut accounts = limits(evidence).map(|(account, _)| account);
    let first = accounts.next();
    // Limits are checked before accounts: if no limit is set, the number of accounts does not matter.
    let reported: Vec<u32> = limits(evidence)
        .map(|(_, limit)| within(limit))
        .collect::<Result<_, _>>()?;
    if first == Some(None) || accounts.any(|account| Some(account) != first) {
        return Err(Why::SeveralAccounts);
    }
    let (least, greatest) = (reported.iter().min(), reported.iter().max());
    if let Some(Record::Server(recorded)) = evidence.record {
        // While a limit is being changed, sessions report different ones. The new limit counts once all report the same.
        let agreed = least.filter(|_| least == greatest).copied();
        return within(agreed.unwrap_or(recorded));
    }
    proof(evidence)?;
    least.copied().ok_or(Why::NoReport)
}

/// Whether every pod that may hold sessions has reported all of its sessions.
fn proof(evidence: &Evidence<'_>) -> Result<(), Why> {
    let pods = evidence.pods.iter();
    if pods.clone().any(|pod| pod.report == Some(Report::Unknown)) {
        return Err(Why::OldImage);
    }
    let missing: Vec<String> = pods
        .filter(|pod| pod.has_run && pod.report.is_none())
        .map(|pod| pod.name.clone())
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Why::Unreported(missing))
    }
}

fn is_server(evidence: &Evidence<'_>) -> bool {
    matches!(evidence.record, Some(Record::Server(_)))
}

/// The accounts and limits that pods report.
fn limits<'a>(evidence: &Evidence<'a>) -> impl Iterator<Item = (Option<u64>, u32)> + use<'a> {
    evidence.pods.iter().filter_map(|pod| match pod.report? {
        Report::Limit {
            account,
            connections,
        } => Some((account, connections)),
        Report::Starting | Report::Unknown => None,
    })
}

impl Enforcement {
    /// Whether the server enforces the budget.
    #[must_use]
    pub fn is_server(&self) -> bool {
        matches!(self, Self::Server { .. })
    }

    /// The record for the next write of the Deployment. `is_larger`: a pod has a greater pool than planned, or can
    /// still be created with one.
    #[must_use]
    pub fn record(&self, before: Option<Record>, is_larger: bool) -> Option<Record> {
        match (self, before) {
            (Self::Server { limit }, _) => Some(Record::Server(*limit)),
            (Self::Plan { .. }, None) => None,
            (Self::Plan { .. }, Some(Record::Server(limit) | Record::Leaving(limit)))
                if is_larger =>
            {
                Some(Record::Leaving(limit))
            }
            (Self::Plan { .. }, Some(_)) => Some(Record::Plan),
        }
    }
}

/// The decision as recorded in the Deployment, so that another operator continues with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// `server:40`: the server enforces the budget, with this limit.
    Server(u32),
    /// `leaving:40`: the server still enforces the budget, until all pods have planned pools. A return to `Server`
    /// needs a new proof.
    Leaving(u32),
    /// `plan`: a plan enforces the budget, and the server did so earlier. The pods hold only their base until they have
    /// work.
    Plan,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(limit) => write!(f, "server:{limit}"),
            Self::Leaving(limit) => write!(f, "leaving:{limit}"),
            Self::Plan => f.write_str("plan"),
        }
    }
}

/// The text is not a [`Record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRecord;

impl FromStr for Record {
    type Err = InvalidRecord;

    fn from_str(text: &str) -> Result<Self, InvalidRecord> {
        let number = |text: &str| text.parse().map_err(|_| InvalidRecord);
        match text.split_once(':') {
            None if text == "plan" => Ok(Self::Plan),
            Some(("server", limit)) => number(limit).map(Self::Server),
            Some(("leaving", limit)) => number(limit).map(Self::Leaving),
            _ => Err(InvalidRecord),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Account, Enforcement, Evidence, Record, Report, Why, Witness, enforcement};

    const BUDGET: u32 = 40;

    fn pod(report: Option<Report>) -> Witness {
        Witness {
            name: "a".to_owned(),
            has_run: true,
            report,
        }
    }

    fn reports(account: u64, connections: u32) -> Witness {
        pod(Some(Report::Limit {
            account: Some(account),
            connections,
        }))
    }

    fn pending() -> Witness {
        Witness {
            has_run: false,
            ..pod(None)
        }
    }

    fn external(record: Option<Record>, pods: &[Witness]) -> Enforcement {
        enforcement(&Evidence {
            is_allowed: true,
            account: Account::External,
            pods,
            record,
            is_elastic: true,
            budget: BUDGET,
        })
    }

    fn server(limit: u32) -> Enforcement {
        Enforcement::Server { limit }
    }

    fn plan(why: Why) -> Enforcement {
        Enforcement::Plan { why }
    }

    #[test]
    fn the_server_enforces_once_every_pod_has_proved_a_limit_within_the_budget() {
        let starting = || pod(Some(Report::Starting));
        let several = pod(Some(Report::Limit {
            account: None,
            connections: 40,
        }));
        let missing = Why::Unreported(vec!["a".to_owned()]);
        let cases = [
            (vec![], plan(Why::NoReport)),
            (vec![starting()], plan(Why::NoReport)),
            (vec![reports(1, 40)], server(40)),
            // A limit below the budget counts instead of the budget; of several limits, the smallest counts.
            (vec![reports(1, 40), reports(1, 30)], server(30)),
            // Neither of these pods holds a session.
            (vec![reports(1, 40), starting(), pending()], server(40)),
            // The pod may hold sessions that are older than the limit.
            (vec![reports(1, 40), pod(None)], plan(missing)),
            (
                vec![reports(1, 40), pod(Some(Report::Unknown))],
                plan(Why::OldImage),
            ),
            (
                vec![reports(1, 40), reports(2, 40)],
                plan(Why::SeveralAccounts),
            ),
            (vec![reports(1, 40), several], plan(Why::SeveralAccounts)),
            (
                vec![reports(1, 40), reports(1, 0)],
                plan(Why::NoLimit { budget: 40 }),
            ),
            (
                vec![reports(1, 40), reports(1, 41)],
                plan(Why::AboveBudget {
                    limit: 41,
                    budget: 40,
                }),
            ),
        ];
        for (pods, expected) in cases {
            // A service that has left `Server`, or is leaving it, needs the same proof again.
            for record in [None, Some(Record::Plan), Some(Record::Leaving(40))] {
                assert_eq!(external(record, &pods), expected, "{pods:?} {record:?}");
            }
        }
    }

    #[test]
    fn silent_pods_do_not_end_server_mode_and_contradictions_end_it_at_once() {
        let record = Some(Record::Server(30));
        let silent = [pod(None), pod(Some(Report::Unknown)), pending()];
        assert_eq!(external(record, &silent), server(30));
        assert_eq!(external(record, &[]), server(30));
        // The limit was changed within the budget. It counts once all pods report the same.
        assert_eq!(
            external(record, &[reports(1, 40), reports(1, 30)]),
            server(30)
        );
        assert_eq!(external(record, &[reports(1, 40), pod(None)]), server(40));
        let no_limit = plan(Why::NoLimit { budget: BUDGET });
        assert_eq!(external(record, &[reports(1, 30), reports(1, 0)]), no_limit);
        let above = plan(Why::AboveBudget {
            limit: 50,
            budget: BUDGET,
        });
        assert_eq!(external(record, &[reports(1, 50)]), above);
        // The budget was lowered. It counts independently of the reports.
        assert_eq!(external(Some(Record::Server(50)), &[]), above);
        let several = plan(Why::SeveralAccounts);
        assert_eq!(external(record, &[reports(1, 30), reports(2, 30)]), several);
    }

    #[test]
    fn a_provisioned_account_needs_no_proof_but_an_elastic_image() {
        let decide = |fence, record, is_elastic, pods: &[Witness]| {
            enforcement(&Evidence {
                is_allowed: true,
                account: Account::Provisioned(fence),
                pods,
                record,
                is_elastic,
                budget: BUDGET,
            })
        };
        assert_eq!(decide(None, None, true, &[]), plan(Why::NoAccount));
        assert_eq!(decide(Some(37), None, true, &[]), server(40));
        assert_eq!(decide(Some(37), None, true, &[pod(None)]), server(40));
        // A pinned image may be older, so a pod with it has to report.
        assert_eq!(
            decide(Some(37), None, false, &[pod(None)]),
            plan(Why::OldImage)
        );
        assert_eq!(decide(Some(37), None, false, &[reports(1, 37)]), server(40));
        let recorded = Some(Record::Server(40));
        assert_eq!(decide(Some(37), recorded, false, &[]), server(40));
        // The fence is lowered last.
        assert_eq!(
            decide(Some(77), recorded, true, &[reports(1, 77)]),
            server(40)
        );
        let no_limit = plan(Why::NoLimit { budget: BUDGET });
        assert_eq!(decide(Some(37), recorded, true, &[reports(1, 0)]), no_limit);
    }

    #[test]
    fn a_resource_can_disable_server_enforcement() {
        for account in [Account::External, Account::Provisioned(Some(37))] {
            let decision = enforcement(&Evidence {
                is_allowed: false,
                account,
                pods: &[reports(1, 40)],
                record: Some(Record::Server(40)),
                is_elastic: true,
                budget: BUDGET,
            });
            assert_eq!(decision, plan(Why::Requested));
        }
    }

    #[test]
    fn a_record_follows_the_decision_and_is_read_as_it_was_written() {
        let requested = plan(Why::Requested);
        assert_eq!(requested.record(None, true), None);
        let cases = [
            (server(40), None, Record::Server(40)),
            (server(40), Some(Record::Plan), Record::Server(40)),
            (
                requested.clone(),
                Some(Record::Server(40)),
                Record::Leaving(40),
            ),
            (
                requested.clone(),
                Some(Record::Leaving(40)),
                Record::Leaving(40),
            ),
            (requested.clone(), Some(Record::Plan), Record::Plan),
        ];
        for (decision, before, expected) in cases {
            assert_eq!(decision.record(before, true), Some(expected));
            assert_eq!(expected.to_string().parse(), Ok(expected));
        }
        // No pod has a greater pool than planned any more.
        let left = requested.record(Some(Record::Leaving(40)), false);
        assert_eq!(left, Some(Record::Plan));
        for text in [
            "",
            "server",
            "server:",
            "server:-1",
            "plan:3",
            "elsewhere:4",
        ] {
            assert!(text.parse::<Record>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_reason_names_a_few_pods() {
        let names = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        assert_eq!(
            Why::Unreported(names).to_string(),
            "waiting for pods to report the account's limit: a, b, c and 2 more"
        );
        assert_eq!(
            Why::NoLimit { budget: 40 }.to_string(),
            "the account has no limit; ALTER USER ... WITH MAX_USER_CONNECTIONS 40 on the server makes rollouts faster"
        );
    }
}
