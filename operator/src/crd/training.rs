//! The training of the model of `NextBasket`: its schedule, resources and login.

use super::connections::Credentials;
use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A regular expression for a list of items whose numbers have the form `$number`.
macro_rules! list {
    ($number:literal) => {
        concat!(item!($number), "(,", item!($number), ")*")
    };
}

macro_rules! item {
    ($number:literal) => {
        concat!("([*]|", $number, "(-", $number, ")?)(/[1-9][0-9]?)?")
    };
}

/// The form of [`Training::schedule`]: in each field a list of `*`, numbers or ranges, each with an optional step.
/// `controller::instance` checks that the end of a range is not before its beginning.
const SCHEDULE: &str = concat!(
    "!has(self.schedule) || self.schedule.matches('^",
    list!("[0-5]?[0-9]"),
    " ",
    list!("([01]?[0-9]|2[0-3])"),
    " ",
    list!("(0?[1-9]|[12][0-9]|3[01])"),
    " ",
    list!("(0?[1-9]|1[0-2])"),
    " ",
    list!("[0-6]"),
    "$')"
);

/// Trains the model of `NextBasket` regularly, in a pod of its own, and publishes it in the database. The pods load a new
/// model within a minute, without a restart. While this is set, one connection of the budget is kept free for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(SCHEDULE)
    .message("training.schedule must have five fields of numbers, '*', ',', '-' and '/': minute (0-59), hour (0-23), day of month (1-31), month (1-12) and day of week (0-6, 0 is Sunday), as in '30 2 * * *'"))]
pub struct Training {
    /// When to train, in UTC: five fields (minute, hour, day of month, month, day of week) of numbers, `*`, `,`, `-` and `/`.
    /// `30 2 * * 1-5` is 2:30 from Monday to Friday. A run is skipped while the previous one is still running. Default: once
    /// a day between 3:00 and 3:59; the minute follows from namespace and name, so that several resources do not train at
    /// the same time.
    #[schemars(length(min = 9, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// While true, no training starts. Its connection stays reserved. Default false.
    #[serde(default)]
    pub suspend: bool,
    /// CPU and memory of the training. Default: requests of 250m and 512Mi, a memory limit of 512Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Seconds after which a training that has not finished is stopped and counts as failed. Default 1800.
    #[schemars(range(min = 60, max = 86_400))]
    #[serde(default = "deadline_seconds")]
    pub deadline_seconds: u32,
    /// Login that reads the two tables and writes the table `reckon_model`. Default: with `mysql.provisioned`, a separate
    /// account that the operator creates; with `mysql.external`, its user, which then needs the INSERT and DELETE privileges
    /// on `reckon_model` too. Without them each training fails, and the pods continue to serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}

fn deadline_seconds() -> u32 {
    1800
}
