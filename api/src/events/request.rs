//! The body of `POST /events`: one event, or an array of them (pure).

use crate::model::{InvalidUserId, UserId};
use crate::store::write::{Event, Kind};
use jiff::{SignedDuration, Timestamp};
use reckon_contract::tables::{Tables, UserIdType};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use std::fmt;

/// Maximum number of events in a request.
pub const MAX_EVENTS: usize = 500;
/// Maximum length of an event's id, in bytes.
pub const ID_BYTES: usize = 64;
/// Maximum characters of a category and of a text.
pub const TEXT_CHARACTERS: usize = 255;
/// How far in the future an event may be.
const MAX_FUTURE: SignedDuration = SignedDuration::from_mins(5);

/// An invalid field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// `events[3].time`; `time` in a body that is one event. Empty: the body itself.
    pub name: String,
    /// Its value, if it is a string.
    pub value: Option<String>,
    /// What is expected.
    pub expected: String,
}

/// The events of `body` for `tables`; a missing time is `now`.
///
/// # Errors
/// The first invalid field.
pub fn parse(body: &[u8], now: Timestamp, tables: &Tables) -> Result<Vec<Event>, Invalid> {
    let Body { events, is_array } = serde_json::from_slice(body).map_err(|error| Invalid {
        name: String::new(),
        value: None,
        expected: format!("an event, or an array of 1 to {MAX_EVENTS} events, as JSON: {error}"),
    })?;
    if events.is_empty() {
        return Err(Invalid {
            name: String::new(),
            value: None,
            expected: format!("1 to {MAX_EVENTS} events, not 0"),
        });
    }
    let events = events.into_iter().enumerate().map(|(index, event)| {
        event.checked(now, tables).map_err(|invalid| Invalid {
            name: name(is_array.then_some(index), invalid.field),
            value: invalid.value,
            expected: invalid.expected,
        })
    });
    events.collect()
}

/// The name of a field in messages.
#[must_use]
pub fn name(index: Option<usize>, field: &str) -> String {
    match index {
        Some(index) => format!("events[{index}].{field}"),
        None => field.to_owned(),
    }
}

struct Body {
    events: Vec<Sent>,
    is_array: bool,
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Body, A::Error> {
        let event = Sent::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Body {
            events: vec![event],
            is_array: false,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Body, A::Error> {
        let mut events = Vec::new();
        loop {
            let index = events.len();
            let next = sequence.next_element::<Sent>();
            let next =
                next.map_err(|error| A::Error::custom(format!("events[{index}]: {error}")))?;
            let Some(event) = next else {
                return Ok(Body {
                    events,
                    is_array: true,
                });
            };
            if index == MAX_EVENTS {
                return Err(A::Error::custom(format!("more than {MAX_EVENTS} events")));
            }
            events.push(event);
        }
    }
}

/// An event as it was sent. Every field takes any value, so that an error names the field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    id: Option<Value>,
    #[serde(rename = "type")]
    kind: Option<Value>,
    user_id: Option<Value>,
    category: Option<Value>,
    text: Option<Value>,
    time: Option<Value>,
}

/// A value of JSON.
#[derive(Debug)]
enum Value {
    Text(String),
    /// An integer, in decimal digits.
    Integer(String),
    Other,
}

struct InvalidField {
    field: &'static str,
    value: Option<String>,
    expected: String,
}

impl Sent {
    fn checked(self, now: Timestamp, tables: &Tables) -> Result<Event, InvalidField> {
        let ids = tables.user_id;
        let kind = required(
            "type",
            self.kind,
            "`search` or `purchase`",
            |kind| match kind.text()? {
                "search" => Some(Kind::Search),
                "purchase" => Some(Kind::Purchase),
                _ => None,
            },
        )?;
        if kind.of(tables).is_none() {
            let setting = match kind {
                Kind::Search => "searches",
                Kind::Purchase => "purchases",
            };
            return Err(InvalidField {
                field: "type",
                value: None,
                expected: format!(
                    "another type, because the setting `tables.{setting}` names no table"
                ),
            });
        }
        Ok(Event {
            id: required("id", self.id, ID, |id| {
                let id = id.text()?;
                let is_valid = (1..=ID_BYTES).contains(&id.len()) && !has_control(id);
                is_valid.then(|| id.to_owned())
            })?,
            kind,
            user: required("user_id", self.user_id, &expected_user(ids), |id| {
                user(id, ids)
            })?,
            category: required("category", self.category, CATEGORY, |category| {
                let category = category.text()?;
                let is_valid = !category.is_empty() && !has_control(category) && fits(category);
                is_valid.then(|| category.to_owned())
            })?,
            text: optional("text", self.text, TEXT, |text| {
                let text = text.text()?;
                (fits(text) && !text.contains('\0')).then(|| text.to_owned())
            })?,
            time: optional("time", self.time, TIME, |time| time_of(time.text()?, now))?
                .unwrap_or(now),
        })
    }
}

const ID: &str = "a string of 1 to 64 bytes without control characters";
const CATEGORY: &str =
    "a string of 1 to 255 characters without control characters and without a space at the end";
const TEXT: &str = "a string of at most 255 characters without NUL and without a space at the end";
const TIME: &str =
    "a time as in RFC 3339, such as 2026-11-28T10:30:00Z, from 1970 to 5 minutes in the future";

fn user(value: &Value, ids: UserIdType) -> Option<UserId> {
    match (value, ids) {
        (Value::Integer(id), UserIdType::Integer) | (Value::Text(id), UserIdType::Text) => {
            UserId::parse(id, ids).ok()
        }
        _ => None,
    }
}

fn expected_user(ids: UserIdType) -> String {
    let expected = InvalidUserId::of(ids).to_string();
    expected.trim_start_matches("expected ").to_owned()
}

/// Databases cut spaces at the end of a text that is too long for its column, and do not report it.
fn fits(text: &str) -> bool {
    text.chars().count() <= TEXT_CHARACTERS && !text.ends_with(' ')
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// A time with an offset from UTC. The parser accepts more forms than RFC 3339.
fn time_of(text: &str, now: Timestamp) -> Option<Timestamp> {
    let (fixed, rest) = text.as_bytes().split_at_checked(19)?;
    let separators = [4, 7, 10, 13, 16].map(|place| fixed[place]);
    let is_fixed = matches!(separators, [b'-', b'-', b'T' | b't' | b' ', b':', b':']);
    let fraction = match rest {
        [b'.', digits @ ..] => 1 + digits.iter().take_while(|it| it.is_ascii_digit()).count(),
        _ => 0,
    };
    let is_offset = matches!(
        &rest[fraction..],
        [b'Z' | b'z'] | [b'+' | b'-', _, _, b':', _, _]
    );
    if !is_fixed || !is_offset || fraction == 1 {
        return None;
    }
    let time: Timestamp = text.parse().ok()?;
    let is_near = time >= Timestamp::UNIX_EPOCH && time <= now.checked_add(MAX_FUTURE).ok()?;
    is_near.then_some(time)
}

fn required<T>(
    field: &'static str,
    value: Option<Value>,
    expected: &str,
    check: impl FnOnce(&Value) -> Option<T>,
) -> Result<T, InvalidField> {
    let checked = optional(field, value, expected, check)?;
    checked.ok_or_else(|| InvalidField {
        field,
        value: None,
        expected: expected.to_owned(),
    })
}

fn optional<T>(
    field: &'static str,
    value: Option<Value>,
    expected: &str,
    check: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, InvalidField> {
    let Some(value) = value else {
        return Ok(None);
    };
    let checked = check(&value);
    if checked.is_some() {
        return Ok(checked);
    }
    Err(InvalidField {
        field,
        value: Some(match value {
            Value::Text(text) => text,
            Value::Integer(digits) => digits,
            Value::Other => "a value of another type".to_owned(),
        }),
        expected: expected.to_owned(),
    })
}

impl Value {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Integer(_) | Self::Other => None,
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number.to_string()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Integer(number.to_string()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        // In JSON, 7.0 is an integer. It is written without an exponent. Beyond 2^53, its digits may differ from those
        // that the client sent.
        let is_exact = number.abs() < 9e15 && number.fract().abs() < f64::MIN_POSITIVE;
        Ok(if is_exact {
            Value::Integer(format!("{number:.0}"))
        } else {
            Value::Other
        })
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}
