//! The resource: the fields that a user writes, and the status that the operator writes. `kubectl explain` prints the
//! descriptions. Ranges are here or in the contract, and are part of the schema. The code checks the values that it
//! relies on again (`controller::instance`), since an older schema may still be installed.

mod connections;
mod schema;
mod shape;
mod spec;
mod status;
mod training;

pub(crate) use connections::mysql_port;
pub use connections::{
    BudgetEnforcement, Credentials, ExternalMysql, ExternalRedis, ManagedRedis, Migrate, Mysql,
    ProvisionedMysql, Redis, RedisTls, RedisTlsMode, Tls, TlsMode,
};
pub use schema::{crd, yaml};
pub use shape::{
    Auth, Autoscaling, Cache, Disabled, MemoryCache, NetworkPolicy, Pod, Service, ServiceType,
    SharedCache,
};
pub use spec::{RecommendationService, RecommendationServiceSpec};
pub use status::{
    CONDITION_REASONS, CONDITION_TYPES, EnforcementStatus, RecommendationServiceStatus,
    TuningStatus, known_reason,
};
pub use training::Training;
