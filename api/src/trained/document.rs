//! The model as text, and the rules for a valid text.

use super::invalid::{Invalid, MAX_BYTES, invalid};
use super::model::{Category, TrainedModel, tag};
use super::quality::Quality;
use crate::model::Day;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

/// Maximum number of categories.
pub const MAX_CATEGORIES: usize = 2000;
/// Maximum number of related categories of one category.
pub const MAX_RELATED: usize = 100;
/// Greatest size of a category's name in bytes.
const MAX_NAME: usize = 1024;
/// Greatest absolute value of a weight.
const MAX_WEIGHT: f32 = 1000.0;
const FORMAT: &str = "1";

impl TrainedModel {
    /// A model of `categories`, trained on the data of the days before `as_of`; `created` in seconds since 1970.
    ///
    /// # Errors
    /// A value is outside the range that the document format allows.
    pub fn new(
        created: u64,
        as_of: Day,
        (users, rows): (u64, u64),
        mut categories: Vec<Category>,
    ) -> Result<Self, Invalid> {
        order(&mut categories);
        Document::of(created, as_of, (users, rows), &categories).written()
    }

    /// The same model with these figures, under a new version.
    ///
    /// # Errors
    /// A figure is outside the range that the document format allows.
    pub fn with_quality(self, quality: Option<Quality>) -> Result<Self, Invalid> {
        let mut document = Document::from(&self);
        document.quality = quality;
        document.written()
    }

    /// Reads a document.
    ///
    /// # Errors
    /// The document is damaged or has another format, or a value is outside the range that the format allows.
    pub fn parse(document: &[u8]) -> Result<Self, Invalid> {
        let (json, checksum) = parse(document)?;
        let document: Result<Document, _> = serde_json::from_slice(json);
        let document = document.map_err(|error| Invalid::Json(error.to_string()))?;
        document.checked(&checksum)
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> Vec<u8> {
        Document::from(self).text()
    }
}

/// The document of the same model with other figures. Its other fields are copied byte for byte, because decimal
/// fractions may change when they are read and written again.
///
/// # Errors
/// The document is damaged or has another format, or it would be invalid.
pub fn with_quality(document: &[u8], quality: &Quality) -> Result<Vec<u8>, Invalid> {
    let (json, _) = parse(document)?;
    let unreadable = |error: serde_json::Error| Invalid::Json(error.to_string());
    let mut fields: BTreeMap<&str, &RawValue> = serde_json::from_slice(json).map_err(unreadable)?;
    let quality = serde_json::value::to_raw_value(quality).map_err(unreadable)?;
    fields.insert("quality", &quality);
    let document = signed(&serde_json::to_vec(&fields).map_err(unreadable)?);
    TrainedModel::parse(&document)?;
    Ok(document)
}

/// The JSON. Further fields are ignored, so that a newer program may add some.
#[derive(Serialize, Deserialize)]
struct Document {
    created: u64,
    as_of_day: Day,
    users: u64,
    rows: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quality: Option<Quality>,
    categories: Vec<DocumentCategory>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentCategory {
    name: Box<str>,
    share: f64,
    take_up: f64,
    related: Vec<(u32, f32)>,
}

/// Orders `categories` by share, greatest first, then by name. The positions in `related` are changed accordingly.
fn order(categories: &mut [Category]) {
    let mut sorted: Vec<usize> = (0..categories.len()).collect();
    sorted.sort_by(|&left, &right| {
        let (left, right) = (&categories[left], &categories[right]);
        let by_share = right.share.total_cmp(&left.share);
        by_share.then_with(|| left.name.cmp(&right.name))
    });
    let mut position = vec![0_u32; categories.len()];
    for (new, &old) in (0..).zip(&sorted) {
        position[old] = new;
    }
    for category in categories.iter_mut() {
        for (other, _) in &mut category.related {
            // A position outside the list is left unchanged; the check rejects it.
            *other = position.get(*other as usize).copied().unwrap_or(*other);
        }
    }
    categories.sort_by(|left, right| {
        let by_share = right.share.total_cmp(&left.share);
        by_share.then_with(|| left.name.cmp(&right.name))
    });
}

/// The JSON and its checksum. The checksum is computed from the original text, because decimal fractions may change
/// when they are read and written again.
fn parse(text: &[u8]) -> Result<(&[u8], String), Invalid> {
    if text.len() > MAX_BYTES {
        return Err(Invalid::Size(text.len()));
    }
    let end = text.iter().position(|&byte| byte == b'\n');
    let (header, json) = text.split_at(end.ok_or(Invalid::Header)?);
    let header = str::from_utf8(header).map_err(|_| Invalid::Header)?;
    let described = header
        .strip_prefix("reckon-model ")
        .ok_or(Invalid::Header)?;
    let (format, checksum) = described.split_once(' ').ok_or(Invalid::Header)?;
    if format != FORMAT {
        return Err(Invalid::Format(format.chars().take(20).collect()));
    }
    let json = &json[1..];
    let computed = digest(json);
    if checksum != format!("sha256:{computed}") {
        return Err(Invalid::Checksum);
    }
    Ok((json, computed))
}

/// SHA-256 as 64 hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let mut hexadecimal = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        write!(hexadecimal, "{byte:02x}").expect("a String takes any text");
    }
    hexadecimal
}

/// The JSON after a first line with its checksum.
fn signed(json: &[u8]) -> Vec<u8> {
    let header = format!("reckon-model {FORMAT} sha256:{}\n", digest(json));
    [header.as_bytes(), json].concat()
}

impl From<&TrainedModel> for Document {
    fn from(model: &TrainedModel) -> Self {
        let counts = (model.users, model.rows);
        Self {
            quality: model.quality,
            ..Self::of(model.created, model.as_of, counts, &model.categories)
        }
    }
}

impl Document {
    fn of(
        created: u64,
        as_of_day: Day,
        (users, rows): (u64, u64),
        categories: &[Category],
    ) -> Self {
        let categories = categories.iter().map(|category| DocumentCategory {
            name: category.name.clone(),
            share: category.share,
            take_up: category.take_up,
            related: category.related.clone(),
        });
        Self {
            created,
            as_of_day,
            users,
            rows,
            quality: None,
            categories: categories.collect(),
        }
    }

    fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and strings always serialize")
    }

    fn text(&self) -> Vec<u8> {
        signed(&self.json())
    }

    /// The model of this document, with its version from the written text.
    fn written(self) -> Result<TrainedModel, Invalid> {
        let checksum = digest(&self.json());
        self.checked(&checksum)
    }

    fn checked(self, checksum: &str) -> Result<TrainedModel, Invalid> {
        let count = self.categories.len();
        if !(1..=MAX_CATEGORIES).contains(&count) {
            let expected = format!("1 to {MAX_CATEGORIES} categories");
            return Err(invalid("categories", count, expected));
        }
        for (position, category) in self.categories.iter().enumerate() {
            category.check(position, count)?;
        }
        for (position, pair) in self.categories.windows(2).enumerate() {
            let by_share = pair[1].share.total_cmp(&pair[0].share);
            if by_share
                .then_with(|| pair[0].name.cmp(&pair[1].name))
                .is_ge()
            {
                let field = format!("categories[{}].name", position + 1);
                let expected = "distinct names, ordered by share (greatest first), then by name";
                return Err(invalid(field, format!("{:?}", pair[1].name), expected));
            }
        }
        if let Some(quality) = &self.quality {
            quality.check()?;
        }
        let version = format!("{}-{}", self.created, &checksum[..12]);
        let categories: Vec<Category> = self.categories.into_iter().map(Category::from).collect();
        let names = categories.iter().map(|category| category.name.clone());
        let index: foldhash::HashMap<Box<str>, u32> = names.zip(0..).collect();
        if index.len() < count {
            return Err(invalid("categories", "a repeated name", "distinct names"));
        }
        Ok(TrainedModel {
            tag: tag(&version),
            version,
            created: self.created,
            as_of: self.as_of_day,
            users: self.users,
            rows: self.rows,
            quality: self.quality,
            categories,
            index,
            folded: OnceLock::new(),
        })
    }
}

impl DocumentCategory {
    fn check(&self, position: usize, count: usize) -> Result<(), Invalid> {
        let field = |name: &str| format!("categories[{position}].{name}");
        if !(1..=MAX_NAME).contains(&self.name.len()) {
            let value = format!("{} bytes long", self.name.len());
            let expected = format!("1 to {MAX_NAME} bytes");
            return Err(invalid(field("name"), value, expected));
        }
        for (name, value) in [("share", self.share), ("take_up", self.take_up)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(invalid(field(name), value, "a number from 0 to 1"));
            }
        }
        if self.related.len() > MAX_RELATED {
            let expected = format!("at most {MAX_RELATED} pairs");
            return Err(invalid(field("related"), self.related.len(), expected));
        }
        for &(other, weight) in &self.related {
            if other as usize >= count || other as usize == position {
                let expected = format!("positions of other categories, below {count}");
                return Err(invalid(field("related"), other, expected));
            }
            if !(-MAX_WEIGHT..=MAX_WEIGHT).contains(&weight) {
                let expected = format!("weights from -{MAX_WEIGHT} to {MAX_WEIGHT}");
                return Err(invalid(field("related"), weight, expected));
            }
        }
        Ok(())
    }
}

impl From<DocumentCategory> for Category {
    fn from(category: DocumentCategory) -> Self {
        Self {
            name: category.name,
            share: category.share,
            take_up: category.take_up,
            related: category.related,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Invalid, digest, with_quality};
    use crate::model::Day;
    use crate::trained::{Category, Figures, ListQuality, Quality, TrainedModel};

    fn category(name: &str, share: f64, related: &[(u32, f32)]) -> Category {
        Category {
            name: name.into(),
            share,
            take_up: 0.25,
            related: related.to_vec(),
        }
    }

    fn model(categories: Vec<Category>) -> Result<TrainedModel, Invalid> {
        TrainedModel::new(1_700_000_000, Day(739_000), (2, 3), categories)
    }

    fn signed(json: &str) -> Vec<u8> {
        format!("reckon-model 1 sha256:{}\n{json}", digest(json.as_bytes())).into_bytes()
    }

    #[test]
    fn a_document_reads_back_as_the_same_model() {
        let categories = vec![
            category("toys", 0.1, &[(1, 0.5)]),
            category("books", 0.5, &[(0, -0.25), (2, 0.125)]),
            category("music", 0.1, &[]),
        ];
        let written = model(categories).unwrap();
        let read = TrainedModel::parse(&written.document()).unwrap();
        assert_eq!(read.categories(), written.categories());
        assert_eq!(read.version(), written.version());
        assert_eq!(read.tag(), written.tag());
        assert_eq!(
            (read.as_of(), read.users(), read.rows()),
            (Day(739_000), 2, 3)
        );
        // Categories are ordered by share, then by name. The positions of related categories change accordingly.
        let names: Vec<&str> = read.categories().iter().map(|one| &*one.name).collect();
        assert_eq!(names, ["books", "music", "toys"]);
        assert_eq!(read.categories()[0].related, [(2, -0.25), (1, 0.125)]);
        assert_eq!(read.categories()[2].related, [(0, 0.5)]);
        assert_eq!(read.position("toys"), Some(2));
        assert_eq!(read.position("cars"), None);
    }

    #[test]
    fn the_version_is_that_of_the_document_as_it_was_written() {
        for number in 1..2000_u32 {
            let share = f64::from(number) / 2003.0;
            let written = model(vec![category("books", share, &[])]).unwrap();
            let read = TrainedModel::parse(&written.document()).unwrap();
            assert_eq!(read.version(), written.version(), "{share}");
        }
    }

    #[test]
    fn a_damaged_or_truncated_document_is_an_error() {
        let document = model(vec![category("books", 0.5, &[])]).unwrap().document();
        for position in 0..document.len() {
            let mut damaged = document.clone();
            damaged[position] ^= 1;
            assert!(TrainedModel::parse(&damaged).is_err(), "{position}");
            assert!(
                TrainedModel::parse(&document[..position]).is_err(),
                "{position}"
            );
        }
    }

    fn quality(ndcg: f64) -> Quality {
        let figures = Figures {
            ndcg,
            ndcg_half_width: 0.01,
            hit_rate: 0.75,
            coverage: 0.5,
        };
        let list = ListQuality {
            users: 60,
            classic: Figures::default(),
            next_basket: figures,
        };
        Quality {
            cut_off: Day(738_986),
            recommended: list,
            explore: None,
        }
    }

    #[test]
    fn figures_are_part_of_the_document_and_may_be_missing() {
        let plain = model(vec![category("books", 0.5, &[])]).unwrap();
        let text = String::from_utf8(plain.document()).unwrap();
        assert!(!text.contains("quality"), "{text}");
        let measured = plain.clone().with_quality(Some(quality(0.6))).unwrap();
        let read = TrainedModel::parse(&measured.document()).unwrap();
        assert_eq!(read.quality(), Some(&quality(0.6)));
        assert_eq!(read.version(), measured.version());
        assert_ne!(read.version(), plain.version());
        assert_eq!(read.categories(), plain.categories());
    }

    #[test]
    fn other_figures_leave_the_rest_of_a_document_as_it_was_written() {
        // A document of another program: another order and other spaces, an unknown field, and digits that change when
        // they are read and written again.
        let json = r#"{ "rows":3, "users":2, "as_of_day":1, "created":7, "origin": {"a" :1},
            "categories":[{"name":"a","share":0.30000000000000004441,"take_up":0.0,"related":[]}]}"#;
        let first = with_quality(&signed(json), &quality(0.5)).unwrap();
        let second = with_quality(&first, &quality(0.6)).unwrap();
        let text = str::from_utf8(&second).unwrap();
        for part in ["0.30000000000000004441", r#""origin":{"a" :1}"#] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(text.matches("\"quality\"").count(), 1, "{text}");
        let read = TrainedModel::parse(&second).unwrap();
        assert_eq!(read.quality(), Some(&quality(0.6)));
        assert_eq!((read.created(), read.users(), read.rows()), (7, 2, 3));
        assert_eq!(with_quality(b"poison", &quality(0.5)), Err(Invalid::Header));
    }

    #[test]
    fn fields_of_a_newer_program_are_ignored_and_invalid_figures_are_named() {
        let parse = |quality: &str| {
            let json = format!(
                r#"{{"created":1,"as_of_day":1,"users":1,"rows":1,"quality":{quality},"news":[1],
                "categories":[{{"name":"a","share":0.5,"take_up":0,"related":[]}}]}}"#
            );
            TrainedModel::parse(&signed(&json)).map_err(|error| error.to_string())
        };
        let figures = |ndcg: &str| {
            format!(
                r#"{{"ndcg":{ndcg},"ndcg_half_width":0.01,"hit_rate":0.5,"coverage":1,"mrr":2}}"#
            )
        };
        let list = |users: u32, ndcg: &str| {
            let figures = figures(ndcg);
            format!(
                r#"{{"cut_off_day":5,"basket":3,
                "recommended":{{"users":{users},"Classic":{figures},"NextBasket":{figures},"Later":{figures}}}}}"#
            )
        };
        let read = parse(&list(50, "0.25")).unwrap();
        let measured = read.quality().unwrap().recommended;
        assert_eq!((measured.users, measured.classic.ndcg), (50, 0.25));
        for (quality, message) in [
            (
                list(50, "1.5"),
                "quality.recommended.Classic.ndcg is 1.5: expected a number from 0 to 1",
            ),
            (
                list(0, "0.5"),
                "quality.recommended.users is 0: expected at least 1",
            ),
        ] {
            assert_eq!(parse(&quality).unwrap_err(), message);
        }
        assert!(parse("{}").unwrap_err().contains("cut_off_day"));
        assert!(parse("null").unwrap().quality().is_none());
    }

    #[test]
    fn a_future_format_is_named() {
        let error = TrainedModel::parse(b"reckon-model 2 sha256:00\n{}").unwrap_err();
        assert_eq!(error, Invalid::Format("2".to_owned()));
    }

    #[test]
    fn invalid_values_are_errors_that_name_the_field() {
        for (category_json, message) in [
            (
                r#"{"name":"","share":0,"take_up":0,"related":[]}"#,
                "categories[0].name is 0 bytes long: expected 1 to 1024 bytes",
            ),
            (
                r#"{"name":"a","share":1.5,"take_up":0,"related":[]}"#,
                "categories[0].share is 1.5: expected a number from 0 to 1",
            ),
            (
                r#"{"name":"a","share":0,"take_up":-1,"related":[]}"#,
                "categories[0].take_up is -1: expected a number from 0 to 1",
            ),
            (
                r#"{"name":"a","share":0,"take_up":0,"related":[[0,1]]}"#,
                "categories[0].related is 0: expected positions of other categories, below 1",
            ),
            (
                r#"{"name":"a","share":0,"take_up":0,"related":[[7,1]]}"#,
                "categories[0].related is 7: expected positions of other categories, below 1",
            ),
        ] {
            let json = format!(
                r#"{{"created":1,"as_of_day":1,"users":1,"rows":1,"categories":[{category_json}]}}"#
            );
            let error = TrainedModel::parse(&signed(&json)).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        let repeated = [category("a", 0.5, &[]), category("a", 0.5, &[])];
        assert!(model(repeated.to_vec()).is_err());
        assert!(model(Vec::new()).is_err());
        let unordered = r#"{"created":1,"as_of_day":1,"users":1,"rows":1,"categories":[{"name":"b","share":0.1,"take_up":0,"related":[]},{"name":"a","share":0.2,"take_up":0,"related":[]}]}"#;
        assert!(TrainedModel::parse(&signed(unordered)).is_err());
    }
}
