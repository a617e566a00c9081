//! The body of a request.

use super::request::{Invalid, MAX_EVENTS, parse};
use crate::model::UserId;
use crate::store::write::{Event, Kind};
use jiff::Timestamp;
use reckon_contract::Tuning;
use reckon_contract::tables::Tables;
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

fn read(body: &Value) -> Result<Vec<Event>, Invalid> {
    parse(body.to_string().as_bytes(), now(), &Tables::default())
}

fn sample() -> Value {
    json!({"id": "a", "type": "search", "user_id": 7, "category": "books"})
}

fn with(field: &str, value: Value) -> Value {
    let mut event = sample();
    event[field] = value;
    event
}

#[test]
fn one_event_or_an_array_is_read_and_a_missing_time_is_now() {
    let events = read(&sample()).unwrap();
    let expected = Event {
        id: "a".to_owned(),
        kind: Kind::Search,
        user: UserId::Integer(7),
        category: "books".to_owned(),
        text: None,
        time: now(),
    };
    assert_eq!(events, [expected]);
    let mut second = with("time", json!("2026-11-28T13:04:59.25+01:00"));
    second["type"] = json!("purchase");
    second["text"] = json!("");
    let events = read(&json!([sample(), second])).unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].time.to_string(), "2026-11-28T12:04:59.25Z");
    assert_eq!(
        (events[1].kind, events[1].text.as_deref()),
        (Kind::Purchase, Some(""))
    );
    assert_eq!(
        read(&json!(vec![sample(); MAX_EVENTS])).unwrap().len(),
        MAX_EVENTS
    );
}

#[test]
fn an_invalid_field_is_named_with_its_index() {
    for (field, value) in [
        ("id", json!("")),
        ("id", json!("x".repeat(65))),
        ("id", json!("a\u{7}")),
        ("id", json!(7)),
        ("type", json!("view")),
        ("type", json!(["search"])),
        ("user_id", json!("7")),
        ("user_id", json!(7.5)),
        ("user_id", json!(18_446_744_073_709_551_615.0)),
        ("user_id", json!(null)),
        ("category", json!("")),
        ("category", json!("ä".repeat(256))),
        ("category", json!("books ")),
        ("category", json!("a\nb")),
        ("category", json!({"name": "books"})),
        ("text", json!("x".repeat(256))),
        ("text", json!("a\0")),
        ("text", json!(true)),
        ("time", json!("2026-11-28")),
        ("time", json!("2026-11-28T10:30:00")),
        ("time", json!("2026-11-28T10:30:00.Z")),
        ("time", json!("2026-02-30T10:30:00Z")),
        ("time", json!("20261128T103000Z")),
        ("time", json!("2026-11-28T12:05:01Z")),
        ("time", json!("1969-12-31T23:59:59Z")),
        ("time", json!(1_764_000_000)),
    ] {
        let one = read(&with(field, value.clone())).unwrap_err();
        assert_eq!(one.name, field, "{value}");
        let second = read(&json!([sample(), with(field, value.clone())])).unwrap_err();
        assert_eq!(second.name, format!("events[1].{field}"), "{value}");
    }
    for field in ["id", "type", "user_id", "category"] {
        let mut event = sample();
        event.as_object_mut().unwrap().remove(field);
        let missing = read(&json!([event])).unwrap_err();
        assert_eq!(
            (missing.name, missing.value),
            (format!("events[0].{field}"), None)
        );
    }
}

#[test]
fn the_longest_values_are_valid() {
    for (field, value) in [
        ("id", json!("x".repeat(64))),
        ("user_id", json!(i64::MIN)),
        ("user_id", json!(u64::MAX)),
        ("user_id", json!(7.0)),
        ("category", json!("ä".repeat(255))),
        ("text", json!("\n".repeat(255))),
        ("time", json!("2026-11-28T12:05:00Z")),
        ("time", json!("1970-01-01T00:00:00Z")),
        ("time", json!("2026-11-28t10:30:00.123456789z")),
    ] {
        let read = read(&with(field, value.clone()));
        assert!(read.is_ok(), "{field} {value}: {read:?}");
    }
}

#[test]
fn a_body_that_is_not_a_list_of_events_is_an_error_with_its_position() {
    let error = |body: &[u8]| parse(body, now(), &Tables::default()).unwrap_err().expected;
    for (body, part) in [
        (&b""[..], "EOF"),
        (b"[]", "1 to 500 events, not 0"),
        (b"7", "expected an object or an array"),
        (b"{\"id\": \"\xFF\"}", "invalid unicode"),
        (b"[{\"id\": \"a\"", "events[0]"),
        (b"[{}] x", "trailing characters"),
        (b"[7]", "events[0]"),
        (b"[{\"id\": \"a\", \"id\": \"b\"}]", "duplicate field `id`"),
        (b"[{\"name\": \"a\"}]", "unknown field `name`"),
    ] {
        let error = error(body);
        assert!(error.contains(part), "{error}");
    }
    let many = json!(vec![sample(); MAX_EVENTS + 1]).to_string();
    assert!(error(many.as_bytes()).contains("more than 500 events"));
    let deep = "[".repeat(100_000);
    assert!(error(deep.as_bytes()).contains("events[0]"));
}

#[test]
fn a_mapping_decides_on_the_type_of_user_ids_and_on_the_types_of_events() {
    let yaml = "tables: {userId: Text, searches: {table: ''}}";
    let tables = Tuning::parse(yaml).unwrap().tuning.tables;
    let read = |event: &Value| parse(event.to_string().as_bytes(), now(), &tables);
    let mut purchase = with("user_id", json!("7"));
    assert_eq!(read(&purchase).unwrap_err().name, "type");
    purchase["type"] = json!("purchase");
    let text = UserId::Text("7".into());
    assert_eq!(read(&purchase).unwrap()[0].user, text);
    purchase["user_id"] = json!(7);
    assert_eq!(read(&purchase).unwrap_err().name, "user_id");
}
