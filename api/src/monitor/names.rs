//! The names of the metrics that the monitor reads, as in the text format.

pub(super) const BUILD: &str = "reckon_build_info";
pub(super) const START_TIME: &str = "process_start_time_seconds";
pub(super) const RESIDENT_BYTES: &str = "process_resident_memory_bytes";

pub(super) const REQUESTS: &str = "reckon_http_requests_total";
pub(super) const IN_FLIGHT: &str = "reckon_http_requests_in_flight";
pub(super) const IN_FLIGHT_LIMIT: &str = "reckon_http_requests_in_flight_limit";
pub(super) const CLIENTS: &str = "reckon_http_connections";
pub(super) const CLIENTS_LIMIT: &str = "reckon_http_connections_limit";
pub(super) const REJECTIONS: &str = "reckon_http_rejections_total";

pub(super) const RECOMMENDATIONS: &str = "reckon_recommendations_total";
pub(super) const LOOKUPS: &str = "reckon_cache_lookups_total";
pub(super) const MEMORY_ENTRIES: &str = "reckon_memory_cache_entries";
pub(super) const MEMORY_BYTES: &str = "reckon_memory_cache_bytes";
pub(super) const MEMORY_LIMIT_BYTES: &str = "reckon_memory_cache_limit_bytes";
pub(super) const SHARED_CONNECTED: &str = "reckon_shared_cache_connected";

pub(super) const STORE_UP: &str = "reckon_store_up";
pub(super) const STORE_CONNECTIONS: &str = "reckon_store_connections";
pub(super) const STORE_LIMIT: &str = "reckon_store_connections_limit";

/// Histograms, without the suffix of their series.
pub(super) const REQUEST_SECONDS: &str = "reckon_http_request_duration_seconds";
pub(super) const STATEMENT_SECONDS: &str = "reckon_store_statement_duration_seconds";
pub(super) const SHARED_SECONDS: &str = "reckon_shared_cache_operation_duration_seconds";
