//! Tuning files: the published schema, an independent validator of it, the program's own check and the type agree.

use jsonschema::Validator;
use reckon_contract::tables::{TableNames, Tables};
use reckon_contract::tuning::{Error, RateLimit, schema};
use reckon_contract::{Cidr, Tuning};
use serde_json::Value;
use std::sync::LazyLock;

static SCHEMA: LazyLock<Value> = LazyLock::new(schema);
static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    jsonschema::options()
        .with_format("cidr", |text: &str| text.parse::<Cidr>().is_ok())
        .should_validate_formats(true)
        .build(&SCHEMA)
        .expect("the schema is one")
});

/// Checks one input: the text of a file.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parsed = Tuning::parse(text);
    if let Ok(parsed) = &parsed {
        written_reads_back(&parsed.tuning);
    }
    let Some(mut document) = document(text) else {
        return assert!(parsed.is_err(), "what is no document was accepted");
    };
    let unknown = remove_unknown(&mut document, &SCHEMA);
    let by_program = document["writtenBy"].is_string();
    let allowed = VALIDATOR.is_valid(&document) && !has_fractions(&document);
    if !allowed || (unknown > 0 && !by_program) {
        return assert!(parsed.is_err(), "the schema does not allow it");
    }
    let typed: Tuning =
        serde_json::from_value(document).expect("the type takes what the schema allows");
    match parsed {
        Ok(parsed) => {
            assert!(!contradicts_itself(&typed), "a contradiction was accepted");
            assert!(parsed.tuning == typed && parsed.unknown.len() == unknown);
        }
        Err(error) => {
            assert!(matches!(error, Error::Invalid(_)));
            assert!(contradicts_itself(&typed), "the schema allows it: {error}");
        }
    }
}

/// The file as JSON; an empty one is an empty mapping.
fn document(text: &str) -> Option<Value> {
    let value: serde_yaml::Value = serde_yaml::from_str(text).ok()?;
    match serde_json::to_value(value).ok()? {
        Value::Null => Some(serde_json::json!({})),
        document => Some(document),
    }
}

/// Removes the fields that the schema does not name, and counts them.
fn remove_unknown(value: &mut Value, schema: &Value) -> usize {
    let (Some(fields), Some(known)) = (value.as_object_mut(), schema["properties"].as_object())
    else {
        return 0;
    };
    let count = fields.len();
    fields.retain(|name, _| known.contains_key(name));
    let removed = count - fields.len();
    let below = fields.iter_mut();
    removed
        + below
            .map(|(name, field)| remove_unknown(field, &known[name]))
            .sum::<usize>()
}

/// To JSON Schema, 3.0 is an integer; to YAML and to us, it is none.
fn has_fractions(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fractions),
        Value::Object(fields) => fields.values().any(has_fractions),
        _ => false,
    }
}

/// Values that are each within their range and do not fit together.
fn contradicts_itself(tuning: &Tuning) -> bool {
    let (server, store) = (&tuning.server, &tuning.store);
    let late = store.query_timeout_milliseconds > server.request_timeout_milliseconds;
    let base = store.min_pool_size.unwrap_or(store.pool_size);
    let too_few = tuning.events.enabled && store.pool_size.min(base) < 3;
    let above = |least: Option<u32>, greatest: Option<u32>| {
        least
            .zip(greatest)
            .is_some_and(|(least, greatest)| least > greatest)
    };
    late || too_few
        || above(store.min_pool_size, Some(store.pool_size))
        || above(store.min_account_limit, store.account_limit)
        || tuning.rate_limit.as_ref().is_some_and(limits_nothing)
        || have_contradictions(&tuning.tables)
        || tuning
            .recommendation
            .experiment
            .as_ref()
            .is_some_and(|experiment| experiment.algorithm == tuning.recommendation.algorithm)
}

fn limits_nothing(limit: &RateLimit) -> bool {
    let connections = limit.connections_per_client;
    limit.requests_per_second.is_none() && (connections.is_none() || limit.burst.is_some())
}

/// Whether there is no table, or one whose successful rows alone count and that has no column for this.
fn have_contradictions(tables: &Tables) -> bool {
    let is_absent = |names: &TableNames| names.table.as_deref() == Some("");
    let lacks_success = |names: &TableNames| {
        let named = names.success.as_deref();
        let has_column = named.map_or(names.table.is_none(), |name| !name.is_empty());
        names.only_successful && !has_column && !is_absent(names)
    };
    let both = [&tables.searches, &tables.purchases];
    both.into_iter().all(is_absent) || both.into_iter().any(lacks_success)
}

/// What was accepted is allowed by the schema as it is written, and reads back equal.
fn written_reads_back(tuning: &Tuning) {
    let written = serde_json::to_value(tuning).expect("plain settings always serialize");
    assert!(VALIDATOR.is_valid(&written), "{written}");
    let yaml = serde_yaml::to_string(tuning).expect("plain settings always serialize");
    let again = Tuning::parse(&yaml).expect("what was written is read");
    assert!(
        again.tuning == *tuning && again.unknown.is_empty(),
        "{yaml}"
    );
}
