//! Compares a value with the JSON schema of its type, so that an error names the field, the value and the allowed range.
//!
//! Supports only the part of JSON Schema that `schemars` writes for the types of this crate.

use crate::cidr::{self, Cidr};
use crate::tables;
use serde_json::Value;
use std::fmt;

/// One problem of a document, and what is expected instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    path: String,
    sentence: String,
    unknown_field: bool,
}

impl Problem {
    /// A problem of the field at `path` (dotted); `sentence` continues after the field's name.
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

/// All parts of `value` that `schema` does not allow.
pub(crate) fn problems(value: &Value, schema: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    compare("", value, schema, &mut found);
    found
}

/// A kind of value that a schema allows, as far as this module supports it.
enum Kind<'a> {
    Fields(&'a serde_json::Map<String, Value>),
    Choice(Vec<&'a str>),
    Integer { minimum: i64, maximum: i64 },
    Number { minimum: f64, maximum: f64 },
    Boolean,
    List(&'a Value),
    Text,
}

/// `None`: an unsupported kind. `Tuning` has none, which a test of its schema checks.
fn kind(schema: &Value) -> Option<Kind<'_>> {
    if let Some(properties) = schema["properties"].as_object() {
        Some(Kind::Fields(properties))
    } else if let Some(choices) = choices(schema) {
        Some(Kind::Choice(choices))
    } else if has_type(schema, "integer") {
        Some(Kind::Integer {
            minimum: schema["minimum"].as_i64()?,
            maximum: schema["maximum"].as_i64()?,
        })
    } else if has_type(schema, "number") {
        Some(Kind::Number {
            minimum: schema["minimum"].as_f64()?,
            maximum: schema["maximum"].as_f64()?,
        })
    } else if has_type(schema, "boolean") {
        Some(Kind::Boolean)
    } else if has_type(schema, "array") && schema["items"].is_object() {
        Some(Kind::List(&schema["items"]))
    } else if has_type(schema, "string") {
        Some(Kind::Text)
    } else {
        None
    }
}

fn compare(path: &str, value: &Value, schema: &Value, found: &mut Vec<Problem>) {
    if value.is_null() && has_type(schema, "null") {
        return;
    }
    match kind(schema) {
        Some(Kind::Fields(properties)) => {
            compare_fields(path, value, properties, found);
            missing_fields(path, value, schema, found);
        }
        Some(Kind::Choice(choices)) => {
            if !value.as_str().is_some_and(|value| choices.contains(&value)) {
                let expected = format!("one of {}", choices.join(", "));
                found.push(mismatch(path, value, &expected));
            }
        }
        Some(Kind::Integer { minimum, maximum }) => {
            let allowed = minimum..=maximum;
            if !value.as_i64().is_some_and(|value| allowed.contains(&value)) {
                let expected = format!("an integer from {minimum} to {maximum}");
                found.push(mismatch(path, value, &expected));
            }
        }
        Some(Kind::Number { minimum, maximum }) => {
            let allowed = minimum..=maximum;
            if !value.as_f64().is_some_and(|value| allowed.contains(&value)) {
                let expected = format!("a number from {minimum} to {maximum}");
                found.push(mismatch(path, value, &expected));
            }
        }
        Some(Kind::Boolean) => {
            if !value.is_boolean() {
                found.push(mismatch(path, value, "true or false"));
            }
        }
        Some(Kind::List(items)) => compare_list(path, value, (schema, items), found),
        Some(Kind::Text) => compare_text(path, value, schema, found),
        None => found.push(Problem::new(
            path,
            "has a schema that this program cannot check: leave the field out, and report this as a defect",
        )),
    }
}

fn compare_fields(
    path: &str,
    value: &Value,
    properties: &serde_json::Map<String, Value>,
    found: &mut Vec<Problem>,
) {
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
}

/// Reports the fields that a mapping must have and lacks.
fn missing_fields(path: &str, value: &Value, schema: &Value, found: &mut Vec<Problem>) {
    let Some(fields) = value.as_object() else {
        return;
    };
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            let sentence = format!("has no {name}: it is required");
            found.push(Problem::new(path, sentence));
        }
    }
}

fn compare_list(
    path: &str,
    value: &Value,
    (schema, item_schema): (&Value, &Value),
    found: &mut Vec<Problem>,
) {
    let Some(items) = value.as_array() else {
        found.push(mismatch(path, value, "a list"));
        return;
    };
    if let Some(most) = schema["maxItems"].as_u64()
        && items.len() as u64 > most
    {
        let sentence = format!("has {} items: expected at most {most}", items.len());
        found.push(Problem::new(path, sentence));
    }
    for (index, item) in items.iter().enumerate() {
        compare(&format!("{path}[{index}]"), item, item_schema, found);
    }
}

fn compare_text(path: &str, value: &Value, schema: &Value, found: &mut Vec<Problem>) {
    let Some(text) = value.as_str() else {
        found.push(mismatch(path, value, "a text"));
        return;
    };
    if schema["format"] == cidr::FORMAT
        && let Err(error) = text.parse::<Cidr>()
    {
        found.push(Problem::new(path, format!("is {value}: {error}")));
    }
    let length = text.chars().count() as u64;
    let least = schema["minLength"].as_u64().unwrap_or(0);
    if let Some(most) = schema["maxLength"].as_u64()
        && !(least..=most).contains(&length)
    {
        let expected = format!("{least} to {most} characters");
        found.push(mismatch(path, value, &expected));
    }
    if schema["pattern"] == tables::NAME_PATTERN && !tables::is_name(text) {
        found.push(mismatch(
            path,
            value,
            "a name without backticks and control characters",
        ));
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

/// The allowed strings of an enumeration; `schemars` writes variants with documentation as `oneOf` of `const`.
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

#[cfg(test)]
mod tests {
    use super::{Kind, kind, problems};
    use serde_json::{Value, json};

    fn found(value: &Value, schema: &Value) -> Vec<String> {
        let problems = problems(value, &json!({"properties": {"a": schema}}));
        problems.iter().map(ToString::to_string).collect()
    }

    /// The paths below `schema` that are not checked.
    fn unchecked(path: &str, schema: &Value) -> Vec<String> {
        match kind(schema) {
            Some(Kind::Fields(properties)) => properties
                .iter()
                .flat_map(|(name, schema)| unchecked(&format!("{path}.{name}"), schema))
                .collect(),
            Some(Kind::List(items)) => unchecked(&format!("{path}[]"), items),
            Some(_) => Vec::new(),
            None => vec![format!("{path}: {schema}")],
        }
    }

    #[test]
    fn every_field_of_the_tuning_has_a_schema_that_is_checked() {
        let unchecked = unchecked("", &crate::tuning::schema());
        assert!(unchecked.is_empty(), "{}", unchecked.join("\n"));
    }

    #[test]
    fn a_value_whose_schema_cannot_be_checked_is_rejected() {
        for schema in [
            json!({"type": "number"}),
            json!({"type": "integer", "minimum": 0}),
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"type": "array"}),
            json!({"anyOf": [{"type": "boolean"}, {"type": "string"}]}),
            json!(true),
        ] {
            let found = found(&json!({"a": 1}), &schema);
            assert_eq!(found.len(), 1, "{schema}");
            assert!(found[0].starts_with("a has a schema that"), "{found:?}");
        }
    }

    #[test]
    fn an_optional_section_may_be_null_and_is_checked_otherwise() {
        let schema = json!({
            "type": ["object", "null"],
            "properties": {"b": {"type": "integer", "minimum": 1, "maximum": 2}}
        });
        assert!(found(&json!({"a": null}), &schema).is_empty());
        assert!(found(&json!({"a": {"b": 1}}), &schema).is_empty());
        assert_eq!(
            found(&json!({"a": {"b": 3}}), &schema),
            ["a.b is 3: expected an integer from 1 to 2"]
        );
        assert_eq!(
            found(&json!({"a": 3}), &schema),
            ["a is 3: expected a mapping of fields"]
        );
    }

    #[test]
    fn a_number_may_have_decimals_and_has_bounds() {
        let schema = json!({"type": "number", "minimum": 0.5, "maximum": 1.0});
        for allowed in [json!(0.5), json!(0.95), json!(1)] {
            assert!(found(&json!({"a": allowed}), &schema).is_empty());
        }
        for (wrong, shown) in [
            (json!(1.01), "1.01"),
            (json!(0), "0"),
            (json!("0.7"), "\"0.7\""),
        ] {
            assert_eq!(
                found(&json!({"a": wrong}), &schema),
                [format!("a is {shown}: expected a number from 0.5 to 1")]
            );
        }
    }

    #[test]
    fn items_of_a_list_are_named_by_their_index() {
        let schema =
            json!({"type": "array", "maxItems": 3, "items": {"type": "string", "format": "cidr"}});
        assert!(found(&json!({"a": []}), &schema).is_empty());
        assert_eq!(
            found(&json!({"a": ["10.0.0.0/8", "10.0.0.1", 7]}), &schema),
            [
                "a[1] is \"10.0.0.1\": expected a block of addresses such as 10.0.0.0/8 or 2001:db8::/32",
                "a[2] is 7: expected a text"
            ]
        );
        assert_eq!(
            found(&json!({"a": "10.0.0.0/8"}), &schema),
            ["a is \"10.0.0.0/8\": expected a list"]
        );
        assert_eq!(
            found(&json!({"a": vec!["::/0"; 4]}), &schema),
            ["a has 4 items: expected at most 3"]
        );
    }

    #[test]
    fn a_switch_is_true_or_false() {
        let schema = json!({"type": "boolean"});
        assert!(found(&json!({"a": true}), &schema).is_empty());
        assert_eq!(
            found(&json!({"a": "yes"}), &schema),
            ["a is \"yes\": expected true or false"]
        );
    }
}
