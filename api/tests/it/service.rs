//! The service in this process, over any store, used without a socket.

use axum::response::Response;
use http::Request;
use http_body_util::BodyExt;
use reckon_api::cache::generation::Generations;
use reckon_api::cache::shared::{Address, Identity, SharedCache};
use reckon_api::http::access::Access;
use reckon_api::http::{App, Phase, edge::Edge, router};
use reckon_api::{loader::Loader, metrics::Metrics, rate_limit::RateLimit};
use reckon_api::{recommend::Recommender, store::Store, trained::FollowedModel};
use reckon_contract::Tuning;
use std::net::{IpAddr, Ipv4Addr};
use std::{sync::Arc, time::Duration, time::Instant};
use tokio::sync::watch;

pub struct Service {
    edge: Edge,
    pub recommender: Arc<Recommender>,
    pub metrics: Arc<Metrics>,
}

pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Service {
    pub fn over<S: Store>(store: S, tuning: Tuning) -> Self {
        Self::with(None, store, tuning, Access::Open, None)
    }

    /// A service that looks for a newly published model once each `period`, at a probe.
    pub fn following<S: Store>(store: S, tuning: Tuning, period: Duration) -> Self {
        Self::with(None, store, tuning, Access::Open, Some(period))
    }

    pub fn guarded<S: Store>(store: S, tuning: Tuning, access: Access) -> Self {
        Self::with(None, store, tuning, access, None)
    }

    /// A service with the shared cache at `redis`, in which it meets others of the same `name`.
    pub fn sharing<S: Store>(redis: Option<(Address, &str)>, store: S, tuning: Tuning) -> Self {
        Self::with(redis, store, tuning, Access::Open, None)
    }

    fn with<S: Store>(
        redis: Option<(Address, &str)>,
        store: S,
        tuning: Tuning,
        access: Access,
        period: Option<Duration>,
    ) -> Self {
        let metrics = Arc::new(Metrics::new(&tuning));
        let length = tuning.recommendation.rows_read();
        let loader = Loader::start(
            store,
            &tuning.store,
            length,
            Arc::clone(&metrics.loader),
            period.map(|period| FollowedModel {
                current: Arc::clone(&metrics.models),
                period,
            }),
        );
        let generations = Arc::new(Generations::default());
        let memory = metrics.cache.memory_cache(&tuning.cache.memory);
        let shared = redis.map(|(address, name)| {
            let identity = Identity::new(Some(name), "", &tuning);
            let (generations, memory) = (Arc::clone(&generations), memory.clone());
            SharedCache::start(
                address,
                identity,
                tuning.cache.shared.timeout(),
                Arc::clone(&metrics.shared),
                move |what| {
                    generations.apply(&what);
                    memory.remove(&what);
                },
            )
        });
        let recommender = Arc::new(Recommender::new(
            loader,
            shared,
            (generations, memory),
            &tuning,
            Arc::clone(&metrics.cache),
            Arc::clone(&metrics.models),
        ));
        let access_log = tuning.server.access_log;
        let most_in_flight = tuning.server.max_requests_in_flight;
        let rate_limit = tuning.rate_limit.as_ref().map(RateLimit::new);
        let app = Arc::new(App {
            recommender: Arc::clone(&recommender),
            events: None,
            metrics: Arc::clone(&metrics.http),
            tuning,
            access,
            freshness: None,
            started: Instant::now(),
        });
        let (_, phase) = watch::channel(Phase::Serving);
        let edge = Edge::new(
            router(Arc::clone(&app)),
            Arc::clone(&metrics.http),
            most_in_flight,
            phase,
        )
        .answering_directly(app)
        .logging(access_log)
        .limited(rate_limit);
        Self {
            edge,
            recommender,
            metrics,
        }
    }

    pub async fn send_request(&self, method: &str, path: &str) -> Answer {
        self.send(
            Request::builder()
                .method(method)
                .uri(path)
                .body(())
                .unwrap(),
        )
        .await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send_request("GET", path).await
    }

    pub async fn send(&self, request: Request<()>) -> Answer {
        self.send_from(Ipv4Addr::LOCALHOST.into(), request).await
    }

    pub async fn send_from(&self, peer: IpAddr, request: Request<()>) -> Answer {
        let response: Response = self.edge.answer(request, peer).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}
