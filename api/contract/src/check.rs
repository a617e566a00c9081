//! Compares a value with the JSON schema of its type, so that a refusal names the field, the value and the range.
//!
//! Knows only the part of JSON Schema that `schemars` writes for the types of this crate.

use serde_json::Value;
use std::fmt;

/// One thing that is wrong with a document, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    path: String,
    sentence: String,
    unknown_field: bool,
}

impl Problem {
    /// A problem of the field at `path` (dotted); `sentence` goes on after the field's name.
    pub(crate) fn new(path: &str, sentence: impl fmt::Display) -> Self {
        Self {
            path: path.to_owned(),
            sentence: sentence.to_string(),
            unknown_field: false,
        }
    }

    /// Whether the field is one that the schema does not have.
    pub(crate) fn is_unknown_field(&self) -> bool {
        self.unknown_field
    }

    /// The field's dotted path, for instance `store.poolSize`; empty for the whole document.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "the file"
        } else {
            &self.path
        };
        write!(formatter, "{path} {}", self.sentence)
    }
}

/// Everything in `value` that `schema` does not allow.
pub(crate) fn problems(value: &Value, schema: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    compare("", value, schema, &mut found);
    found
}

fn compare(path: &str, value: &Value, schema: &Value, found: &mut Vec<Problem>) {
    if let Some(properties) = schema["properties"].as_object() {
        let Some(fields) = value.as_object() else {
            found.push(mismatch(path, value, "a mapping of fields"));
            return;
        };
        for (name, field) in fields {
            let below = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            match properties.get(name) {
                Some(schema) => compare(&below, field, schema, found),
                None => found.push(Problem {
                    unknown_field: true,
                    ..Problem::new(
                        &below,
                        format!("is unknown: expected one of {}", names(properties)),
                    )
                }),
            }
        }
    } else if let Some(choices) = choices(schema) {
        if !value.as_str().is_some_and(|value| choices.contains(&value)) {
            found.push(mismatch(
                path,
                value,
                &format!("one of {}", choices.join(", ")),
            ));
        }
    } else if has_type(schema, "integer") {
        let bound = |name| schema[name].as_i64().unwrap_or_default();
        let (minimum, maximum) = (bound("minimum"), bound("maximum"));
        let optional_and_absent = value.is_null() && has_type(schema, "null");
        if !optional_and_absent
            && !value
                .as_i64()
                .is_some_and(|value| (minimum..=maximum).contains(&value))
        {
            found.push(mismatch(
                path,
                value,
                &format!("an integer from {minimum} to {maximum}"),
            ));
        }
    } else if has_type(schema, "string") && !value.is_string() {
        found.push(mismatch(path, value, "a text"));
    }
}

fn mismatch(path: &str, value: &Value, expected: &str) -> Problem {
    Problem::new(path, format!("is {value}: expected {expected}"))
}

fn names(properties: &serde_json::Map<String, Value>) -> String {
    let mut names: Vec<&str> = properties.keys().map(String::as_str).collect();
    names.sort_unstable();
    names.join(", ")
}

fn has_type(schema: &Value, name: &str) -> bool {
    match &schema["type"] {
        Value::String(only) => only == name,
        Value::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    }
}

/// The allowed texts of an enumeration; `schemars` writes variants with documentation as `oneOf` of `const`.
fn choices(schema: &Value) -> Option<Vec<&str>> {
    let (list, variant): (&Value, fn(&Value) -> &Value) = if schema["enum"].is_array() {
        (&schema["enum"], |one| one)
    } else {
        (&schema["oneOf"], |one| &one["const"])
    };
    list.as_array()?
        .iter()
        .map(|one| variant(one).as_str())
        .collect()
}
