//! JSON as text in memory: a tree takes half a kilobyte for each pair of braces, its text a tenth of that.

use serde_json::Value;

/// Converts a tree to a string.
pub fn pack(value: &mut Value) {
    if !matches!(value, Value::Null | Value::String(_)) {
        let mut text = value.to_string();
        text.shrink_to_fit();
        *value = Value::String(text);
    }
}

/// Converts the string of [`pack`] back to a tree.
pub fn unpack(value: &mut Value) {
    if let Value::String(text) = value {
        *value = serde_json::from_str(text).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::{pack, unpack};
    use serde_json::{Value, json};

    #[test]
    fn packed_json_is_unchanged_after_unpacking() {
        for value in [
            Value::Null,
            json!({}),
            json!([1, "two"]),
            json!({"text": "a \"word\"", "list": [{"deep": null}], "number": 5, "yes": true}),
        ] {
            let mut kept = value.clone();
            pack(&mut kept);
            assert!(kept.is_null() || kept.is_string());
            unpack(&mut kept);
            assert_eq!(kept, value);
        }
    }

    #[test]
    fn a_text_that_is_not_packed_json_unpacks_to_null() {
        let mut value = json!("not a tree");
        pack(&mut value);
        unpack(&mut value);
        assert_eq!(value, Value::Null);
    }
}
