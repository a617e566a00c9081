//! The requests to the API server, by its own counters.

use kube::Client;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// After this time without a write, no change is in progress. It is longer than the pauses between the steps of a plan.
const QUIET: Duration = Duration::from_secs(5);

/// Requests by verb and resource.
pub type Requests = BTreeMap<(String, String), u64>;

/// The requests since the server started, without dry runs, which write nothing, and without Leases, which are renewed
/// all the time.
pub async fn counted(client: &Client) -> Requests {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let text = client.request_text(request).await.unwrap();
    let mut requests = Requests::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("apiserver_request_total{") else {
            continue;
        };
        let (labels, count) = rest.rsplit_once("} ").unwrap();
        if labels.contains("dry_run=\"All\"") {
            continue;
        }
        let label = |name: &str| {
            let (_, rest) = labels.split_once(&format!("{name}=\"")).unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        let key = (label(",verb"), label(",resource"));
        if key.1 != "leases" {
            *requests.entry(key).or_default() += count.parse::<u64>().unwrap();
        }
    }
    requests
}

/// The requests since `before`.
pub fn since(before: &Requests, now: &Requests) -> Requests {
    now.iter()
        .map(|(key, count)| (key.clone(), count - before.get(key).unwrap_or(&0)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// The number of writes among them.
pub fn writes(requests: &Requests) -> u64 {
    const WRITES: [&str; 6] = [
        "POST",
        "PUT",
        "PATCH",
        "APPLY",
        "DELETE",
        "DELETECOLLECTION",
    ];
    let writes = requests
        .iter()
        .filter(|((verb, _), _)| WRITES.contains(&verb.as_str()));
    writes.map(|(_, count)| count).sum()
}

/// Waits until nothing has been written for [`QUIET`].
pub async fn quiet(client: &Client) {
    let mut last: (Requests, Instant) = (counted(client).await, Instant::now());
    while last.1.elapsed() < QUIET {
        let now = counted(client).await;
        if writes(&since(&last.0, &now)) > 0 {
            last = (now, Instant::now());
        }
        sleep(QUIET / 10).await;
    }
}
