//! CSV files for `import`: what is accepted fits the table, and a file that is written from it reads back the same.
//!
//! Input: the table (1 byte), then the file.

use reckon_api::fuzzing::{Alphabet, Column, Ids, Length, TableLimits, Text, Times};
use reckon_api::fuzzing::{Error, Problem, Row, Rows, Table, Time};
use reckon_api::model::UserId;
use std::io::{self, Read};

/// Checks one input.
pub fn check(data: &[u8]) {
    let Some((&kind, file)) = data.split_first() else {
        return;
    };
    let (table, limits) = table(kind);
    let table = &table;
    let Some(read) = read(file, table, &limits) else {
        return;
    };
    let in_pieces = self::read(Pieces(file), table, &limits);
    assert!(
        in_pieces.as_ref() == Some(&read),
        "it depends on how the file arrives"
    );
    problems_have_places(&read.problems, file);
    for row in &read.rows {
        fits(row, &limits);
    }
    let written = write(&read.rows, table, &read.columns);
    let again = self::read(&written[..], table, &limits).expect("a file with a header");
    assert_eq!(again.problems, []);
    assert!(
        again.rows == read.rows,
        "{:?} became {:?}",
        read.rows,
        again.rows
    );
    for text in file.split(|byte| matches!(byte, b',' | b'\n' | b'\r' | b'"')) {
        if let Ok(text) = std::str::from_utf8(text) {
            time_is_what_jiff_reads(text);
        }
    }
}

/// What came of a file.
#[derive(Debug, PartialEq)]
struct Outcome {
    rows: Vec<Row>,
    problems: Vec<Problem>,
    columns: Vec<Column>,
    zoned: bool,
    cut_times: u64,
}

/// Tables of our own, and one with narrow columns.
fn table(kind: u8) -> (Table, TableLimits) {
    let narrow = Text {
        most: Some(Length::Bytes(4)),
        alphabet: Alphabet::Latin1,
        nullable: false,
    };
    match kind % 4 {
        0 => (Table::searches(), TableLimits::new_table()),
        1 => (Table::purchases(), TableLimits::new_file()),
        2 => (
            Table::searches(),
            TableLimits {
                id: Ids::Integers(0..=255),
                times: Times::Timestamp(3),
                text: None,
                category: narrow,
                success: Some(false),
                ..TableLimits::new_table()
            },
        ),
        _ => (
            Table::purchases(),
            TableLimits {
                times: Times::Date,
                text: Some(Text {
                    alphabet: Alphabet::Utf8Mb3,
                    ..narrow
                }),
                category: Text {
                    most: Some(Length::Characters(3)),
                    alphabet: Alphabet::Ascii,
                    nullable: true,
                },
                success: None,
                demanded: vec![Column::Category],
                id: Ids::Text {
                    text: narrow,
                    keeps_end: false,
                },
                ..TableLimits::new_table()
            },
        ),
    }
}

/// `None`: a file without a header that does.
fn read(input: impl Read, table: &Table, limits: &TableLimits) -> Option<Outcome> {
    let mut rows = match Rows::open(input, table, limits.clone(), &[]) {
        Ok(rows) => rows,
        Err(Error::Read(error)) => panic!("{error}"),
        Err(_) => return None,
    };
    let (mut good, mut problems) = (Vec::new(), Vec::new());
    while let Some(row) = rows.read().expect("memory can be read") {
        match row {
            Ok(row) => good.push(row),
            Err(wrong) => {
                assert!(!wrong.is_empty(), "a row is refused without a reason");
                problems.extend(wrong);
            }
        }
    }
    Some(Outcome {
        rows: good,
        problems,
        columns: rows.layout().columns(),
        zoned: rows.zoned(),
        cut_times: rows.cut_times(),
    })
}

/// Gives a file byte by byte.
struct Pieces<'a>(&'a [u8]);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

fn problems_have_places(problems: &[Problem], file: &[u8]) {
    let lines = file.split(|byte| *byte == b'\n').count() as u64;
    let mut last = 2;
    for Problem { line, .. } in problems {
        assert!(
            (last..=lines).contains(line),
            "line {line} after {last} of {lines}"
        );
        last = *line;
    }
}

/// The table's columns hold the row.
fn fits(row: &Row, limits: &TableLimits) {
    match (&limits.id, &row.id) {
        (Ids::Integers(range), UserId::Integer(id)) => assert!(range.contains(&i128::from(*id))),
        (Ids::Text { text, keeps_end }, UserId::Text(id)) => {
            text_fits(id, text);
            assert!(*keeps_end || !id.ends_with(' '));
        }
        other => panic!("{other:?}"),
    }
    let midnight = if row.time.len() == 10 {
        " 00:00:00"
    } else {
        ""
    };
    let time =
        Time::parse(&format!("{}{midnight}", row.time)).expect("a time that was written is one");
    assert!(!time.zoned);
    assert_eq!(limits.times.text(&time), row.time);
    assert_eq!(limits.times.check(&time), Ok(()));
    if let Some(text) = &row.text {
        text_fits(
            text,
            &limits.text.expect("a text for a table without texts"),
        );
    }
    if let Some(category) = &row.category {
        text_fits(category, &limits.category);
    }
    assert!(row.success.is_none() || limits.success.is_some());
}

fn text_fits(text: &str, limits: &Text) {
    assert!(!text.is_empty() || !limits.nullable);
    match limits.most {
        Some(Length::Bytes(most)) => assert!(text.len() as u64 <= most),
        Some(Length::Characters(most)) => assert!(text.chars().count() as u64 <= most),
        None => {}
    }
    let is_in = |character: char| match limits.alphabet {
        Alphabet::Any => true,
        Alphabet::Utf8Mb3 => u32::from(character) <= 0xffff,
        Alphabet::Ascii => character.is_ascii(),
        // Windows-1252: the second half of Latin-1, and 27 characters where that has controls.
        Alphabet::Latin1 => {
            !matches!(u32::from(character), 0x80..=0x9f | 0x2123..) && character != '\u{fffd}'
        }
    };
    assert!(text.chars().all(is_in), "{text:?}");
}

/// A file of these rows with these columns, as any other program would write it.
fn write(rows: &[Row], table: &Table, columns: &[Column]) -> Vec<u8> {
    let mut file = csv::Writer::from_writer(Vec::new());
    let header = columns
        .iter()
        .map(|column| column.name(table).unwrap_or_default());
    file.write_record(header).expect("memory can be written");
    for row in rows {
        let midnight = if row.time.len() == 10 {
            " 00:00:00"
        } else {
            ""
        };
        let fields = columns.iter().map(|column| match column {
            Column::Id => row.id.to_string(),
            Column::Text => row.text.clone().unwrap_or_default(),
            Column::Time => format!("{}{midnight}", row.time),
            Column::Category => row.category.clone().unwrap_or_default(),
            Column::Success => row
                .success
                .map_or(String::new(), |success| u8::from(success).to_string()),
        });
        file.write_record(fields).expect("memory can be written");
    }
    file.into_inner().expect("memory can be written")
}

/// jiff's parser reads the same time, or none.
fn time_is_what_jiff_reads(text: &str) {
    let ours = Time::parse(text).map(|time| time.text(6));
    assert_eq!(ours, by_jiff(text), "{text:?}");
}

fn by_jiff(text: &str) -> Option<String> {
    let (form, rest) = text.split_at_checked(19)?;
    let is_digit = |place: usize| form.as_bytes()[place].is_ascii_digit();
    let has_form = (0..19).all(|place| match place {
        4 | 7 => form.as_bytes()[place] == b'-',
        10 => matches!(form.as_bytes()[place], b' ' | b'T'),
        13 | 16 => form.as_bytes()[place] == b':',
        _ => is_digit(place),
    });
    // jiff reads a leap second as the one before it.
    if !has_form || form.ends_with("60") {
        return None;
    }
    let local: jiff::civil::DateTime = form.parse().ok()?;
    let zone = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (fraction, zone) = rest.split_at(zone);
    let fraction = match fraction.strip_prefix('.') {
        Some(digits)
            if (1..=6).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            digits.trim_end_matches('0')
        }
        None if fraction.is_empty() => "",
        _ => return None,
    };
    let utc = local
        .checked_sub(jiff::Span::new().minutes(offset(zone)?))
        .ok()?;
    let is_held = |time: &jiff::civil::DateTime| (1000..=9999).contains(&time.year());
    if !is_held(&local) || !is_held(&utc) {
        return None;
    }
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!(
        "{}{point}{fraction}",
        utc.strftime("%Y-%m-%d %H:%M:%S")
    ))
}

/// Minutes ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone == "Z" {
        return Some(0);
    }
    let (sign, time) = zone.split_at_checked(1)?;
    let (hours, minutes) = time.split_once(':')?;
    let number = |digits: &str, most: i64| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: i64 = is_number.then(|| digits.parse().ok()).flatten()?;
        (number <= most).then_some(number)
    };
    let ahead = number(hours, 23)? * 60 + number(minutes, 59)?;
    match sign {
        "+" => Some(ahead),
        "-" => Some(-ahead),
        _ => None,
    }
}
