//! Changes on their way to the scheduler.

use super::stores::Service;
use crate::lease::Leadership;
use futures_util::stream::{self, Stream, StreamExt as _};
use std::collections::HashSet;

/// The changes, from the moment this operator leads. Until then, each changed resource is kept only once, even if it
/// changes often, because a standby can wait for months.
pub async fn once_leading(
    leadership: &Leadership,
    changes: impl Stream<Item = Service> + Send + 'static,
) -> impl Stream<Item = Service> + Send + 'static {
    let mut changes = Box::pin(changes);
    let mut kept = HashSet::new();
    loop {
        tokio::select! {
            biased;
            () = leadership.held() => break,
            change = changes.next() => match change {
                Some(service) => kept.insert(service),
                None => break,
            },
        };
    }
    stream::iter(kept).chain(changes)
}

#[cfg(test)]
mod tests {
    use super::once_leading;
    use crate::controller::stores::{Service, named};
    use crate::lease::Candidate;
    use futures_util::stream::{self, StreamExt as _};
    use http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use std::convert::Infallible;
    use std::future::pending;
    use tower::service_fn;

    #[tokio::test]
    async fn a_standby_queues_each_resource_once_until_it_leads() {
        let silent = service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>());
        let client = Client::new(silent, "default");
        let (_candidate, leadership) = Candidate::new(client, "operator", "lease", "test");
        let changes = (0..1000).map(|number| named(&format!("shop-{}", number % 3), "team"));
        // The stream ends, which happens at the end of the process.
        let kept = once_leading(&leadership, stream::iter(changes)).await;
        let mut kept: Vec<String> = kept.map(|service: Service| service.name).collect().await;
        kept.sort();
        assert_eq!(kept, ["shop-0", "shop-1", "shop-2"]);
    }
}
