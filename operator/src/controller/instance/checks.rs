//! Rules between several fields. The schema has the same rules.

use super::defaults::Defaults;
use super::error::Error;
use crate::crd::{RecommendationServiceSpec, Tls, TlsMode};

/// Checks which fields may be set together.
pub(super) fn check(spec: &RecommendationServiceSpec) -> Result<(), Error> {
    exactly_one(
        "mysql",
        "external",
        spec.mysql.external.is_some(),
        "provisioned",
        spec.mysql.provisioned.is_some(),
    )?;
    if let Some(redis) = &spec.redis {
        exactly_one(
            "redis",
            "external",
            redis.external.is_some(),
            "managed",
            redis.managed.is_some(),
        )?;
    }
    only_named_authorities(spec)?;
    two_algorithms(spec)
}

/// Rejects an experiment with the algorithm that all users get: the pods would not start.
fn two_algorithms(spec: &RecommendationServiceSpec) -> Result<(), Error> {
    let recommendation = spec.recommendation.as_ref();
    let is_the_same = recommendation.is_some_and(|settings| {
        let experiment = settings.experiment.as_ref();
        experiment.is_some_and(|experiment| experiment.algorithm == settings.algorithm)
    });
    if is_the_same {
        return Err(Error::Field {
            field: "recommendation.experiment.algorithm",
            problem: "must be another one than recommendation.algorithm".to_owned(),
        });
    }
    Ok(())
}

fn exactly_one(
    field: &'static str,
    one: &str,
    has_one: bool,
    other: &str,
    has_other: bool,
) -> Result<(), Error> {
    if has_one == has_other {
        let problem = format!("needs exactly one of {one} and {other}");
        return Err(Error::Field { field, problem });
    }
    Ok(())
}

/// Rejects `VerifyCA` together with the system's authorities. `VerifyCA` does not compare names, so a process that trusts
/// these authorities would accept any certificate of theirs for the database too.
fn only_named_authorities(spec: &RecommendationServiceSpec) -> Result<(), Error> {
    let verifies_authority =
        |tls: Option<&Tls>| tls.is_some_and(|tls| tls.mode == TlsMode::VerifyCA);
    let provisioned = spec.mysql.provisioned.as_ref();
    if verifies_authority(provisioned.and_then(|mysql| mysql.tls.as_ref())) {
        return Err(Error::Field {
            field: "mysql.provisioned.tls.mode",
            problem: "must not be VerifyCA: use VerifyFull".to_owned(),
        });
    }
    let external = spec.mysql.external.as_ref();
    let redis = spec
        .redis
        .as_ref()
        .and_then(|redis| redis.external.as_ref());
    let trusts_all = redis
        .and_then(|redis| redis.tls.as_ref())
        .is_some_and(|tls| tls.enabled && tls.ca_secret_name.is_none());
    if trusts_all && verifies_authority(external.and_then(|mysql| mysql.tls.as_ref())) {
        return Err(Error::Field {
            field: "redis.external.tls.caSecretName",
            problem: "is needed beside mysql.external.tls.mode: VerifyCA".to_owned(),
        });
    }
    Ok(())
}

/// The image of the API, after checking that every image of the resource is allowed.
pub(super) fn image(
    spec: &RecommendationServiceSpec,
    defaults: &Defaults,
) -> Result<String, Error> {
    let image = spec.image.as_ref().unwrap_or(&defaults.api_image);
    let redis = spec.redis.as_ref();
    let redis = redis.and_then(|redis| redis.managed.as_ref());
    let redis = redis.map(|_| ("redis.managed", &defaults.redis_image));
    let provisioned = spec.mysql.provisioned.as_ref();
    let provision = provisioned.map(|_| ("mysql.provisioned", &defaults.api_image));
    let images = std::iter::once(("image", image)).chain(redis);
    for (field, image) in images.chain(provision) {
        if !defaults.allowed_images.allow(image) {
            let problem = format!(
                "would run the image {image:?}, which this operator does not allow: use one that matches {} (--allowed-images)",
                defaults.allowed_images
            );
            return Err(Error::Field { field, problem });
        }
    }
    Ok(image.clone())
}
