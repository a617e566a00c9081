//! The parts that all operations of the OpenAPI description have in common: keys, and the responses to rejected
//! requests.

use super::route::Route;
use crate::model::{UserId, user_id};
use reckon_contract::tables::UserIdType;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Header, OpenApi, Ref};
use utoipa::{PartialSchema as _, ToSchema as _};

/// Name of the security scheme.
const KEY: &str = "key";

/// Describes which operations need a key, and the responses to missing keys, exceeded rate limits, requests that are too
/// large, and overload. If `writes_are_open`, no operation needs a key.
pub fn add_refusals(description: &mut OpenApi, writes_are_open: bool) {
    let mut scheme = Http::new(HttpAuthScheme::Bearer);
    scheme.description = Some(
        "One of the service's keys. Where the service runs without keys, programs on the same machine need none on a \
         loopback address."
            .to_owned(),
    );
    let components = description.components.get_or_insert_default();
    components.add_security_scheme(KEY, SecurityScheme::Http(scheme));
    for (path, item) in &mut description.paths.paths {
        let is_open = path == reckon_contract::network::HEALTH;
        for (operation, mutates) in operations(item) {
            let mutates = mutates && path != Route::Session.template();
            limited(operation);
            bounded(operation);
            if mutates || !is_open {
                keyed(operation, mutates, writes_are_open);
            }
        }
    }
}

/// Describes user ids of this type.
pub fn set_user_ids(description: &mut OpenApi, ids: UserIdType) {
    let components = description.components.get_or_insert_default();
    let schema = user_id::schema(ids);
    components.schemas.insert(UserId::name().into(), schema);
}

/// Every operation of a path, and whether it changes anything.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&mut Operation, bool)> {
    let reads = [&mut item.get, &mut item.head].map(|operation| (operation, false));
    let writes = [
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ]
    .map(|operation| (operation, true));
    let all = reads.into_iter().chain(writes);
    all.filter_map(|(operation, mutates)| Some((operation.as_mut()?, mutates)))
}

fn keyed(operation: &mut Operation, mutates: bool, writes_are_open: bool) {
    let needs_key = SecurityRequirement::new(KEY, [] as [&str; 0]);
    let when = if mutates {
        ""
    } else {
        " (only if reads need a key)"
    };
    operation.security = Some(if mutates && !writes_are_open {
        vec![needs_key]
    } else {
        // A key is optional: reads are open unless `auth.reads` is on.
        vec![SecurityRequirement::default(), needs_key]
    });
    answer(
        operation,
        "401",
        problem(format!("The API key is missing or invalid{when}"))
            .header("WWW-Authenticate", text("How to send a key (RFC 6750)"))
            .build(),
    );
    let closed = format!(
        "An API key is required and none is configured, or, on a loopback address, the request came through a proxy or from a web \
         page{when}"
    );
    answer(operation, "403", problem(closed).build());
}

fn limited(operation: &mut Operation) {
    let response = problem("Rate limit exceeded, or too many connections from this client".to_owned())
        .header("Retry-After", text("Seconds"))
        .header(
            "RateLimit",
            text("Remaining requests, and seconds until more are allowed (draft-ietf-httpapi-ratelimit-headers-10)"),
        )
        .header("RateLimit-Policy", text("The limit of this client"))
        .build();
    answer(operation, "429", response);
}

fn bounded(operation: &mut Operation) {
    let long = "The path and query are too long".to_owned();
    answer(operation, "414", problem(long).build());
    let large = ResponseBuilder::new().description("The request's head is too large");
    answer(operation, "431", large.build());
    let failed = "Internal server error".to_owned();
    answer(operation, "500", problem(failed).build());
    if !operation.responses.responses.contains_key("503") {
        let crowded =
            "Too many requests are in flight, or too many connections are open".to_owned();
        let response = problem(crowded).header("Retry-After", text("Seconds"));
        answer(operation, "503", response.build());
    }
}

fn answer(operation: &mut Operation, status: &str, response: Response) {
    let responses = &mut operation.responses.responses;
    responses.insert(status.to_owned(), response.into());
}

fn problem(description: String) -> ResponseBuilder {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content)
}

fn text(description: &str) -> Header {
    let mut header = Header::new(String::schema());
    header.description = Some(description.to_owned());
    header
}
