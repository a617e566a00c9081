//! The routes, by name.

/// The routes as metrics name them: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// One user's recommendation.
    Recommend,
    /// Several users' recommendations.
    Batch,
    /// A recommendation for the events in the request.
    Session,
    /// Popular categories.
    Popular,
    /// Categories related to one.
    Related,
    /// Storing events.
    Events,
    /// Erasing a user.
    Users,
    /// Invalidation in its three forms.
    Invalidate,
    /// Warming.
    Warm,
    /// Health for humans.
    Health,
    /// Live figures.
    Stats,
    /// Documentation.
    Docs,
    /// No such route.
    Unmatched,
}

impl Route {
    /// Every route, in the order of their values.
    pub const ALL: [Self; 13] = [
        Self::Recommend,
        Self::Batch,
        Self::Session,
        Self::Popular,
        Self::Related,
        Self::Events,
        Self::Users,
        Self::Invalidate,
        Self::Warm,
        Self::Health,
        Self::Stats,
        Self::Docs,
        Self::Unmatched,
    ];

    /// The name of the route.
    #[must_use]
    pub fn template(self) -> &'static str {
        match self {
            Self::Recommend => "/recommend/{user_id}",
            Self::Batch => "/batch-recommend",
            Self::Session => "/recommend",
            Self::Popular => "/popular",
            Self::Related => "/related/{category}",
            Self::Events => "/events",
            Self::Users => "/users/{user_id}",
            Self::Invalidate => "/invalidate-cache",
            Self::Warm => "/warm-cache",
            Self::Health => reckon_contract::network::HEALTH,
            Self::Stats => "/stats",
            Self::Docs => "/docs",
            Self::Unmatched => "unmatched",
        }
    }

    /// The route of a path, as the router writes it. A path that is missing here is [`Self::Unmatched`], which always
    /// needs a key if keys are configured. So a new route requires a key until it is added here.
    pub(super) fn of(path: &str) -> Self {
        match path {
            "/recommend/{user_id}" => Self::Recommend,
            "/batch-recommend" => Self::Batch,
            "/recommend" => Self::Session,
            "/popular" => Self::Popular,
            "/related/{category}" => Self::Related,
            "/events" => Self::Events,
            "/users/{user_id}" => Self::Users,
            "/invalidate-cache" | "/invalidate-cache/{user_id}" | "/invalidate-cache/all" => {
                Self::Invalidate
            }
            "/warm-cache" => Self::Warm,
            reckon_contract::network::HEALTH => Self::Health,
            "/stats" => Self::Stats,
            "/docs" | "/docs/" | "/docs/{*rest}" | "/openapi.json" => Self::Docs,
            _ => Self::Unmatched,
        }
    }
}
