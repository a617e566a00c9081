use super::{Error, Row, Rows};
use crate::import::columns::{Alphabet, Ids, Length, TableLimits, Text};
use crate::model::UserId;
use reckon_contract::tables::Table;
use std::io::Read as _;

fn rows(file: &[u8]) -> (Vec<Row>, Vec<String>) {
    rows_of(file, TableLimits::new_table())
}

fn rows_of(file: &[u8], limits: TableLimits) -> (Vec<Row>, Vec<String>) {
    let mut rows = Rows::open(file, &Table::searches(), limits, &[]).unwrap();
    let (mut good, mut problems) = (Vec::new(), Vec::new());
    while let Some(row) = rows.read().unwrap() {
        match row {
            Ok(row) => good.push(row),
            Err(wrong) => problems.extend(wrong.iter().map(ToString::to_string)),
        }
    }
    (good, problems)
}

/// The problems of rows under a header of all columns.
fn problems(rows: &str) -> Vec<String> {
    let file = format!("id,search,searched_at,category,SUCCESS\n{rows}");
    self::rows(file.as_bytes()).1
}

fn error(file: &[u8]) -> Error {
    Rows::open(file, &Table::searches(), TableLimits::new_table(), &[])
        .err()
        .unwrap()
}

#[test]
fn a_file_is_parsed_according_to_rfc_4180() {
    let file = "\u{feff}id,search,searched_at,category,SUCCESS\r\n\
        7,\"a \"\"b\"\", c\r\nd\",2025-01-01T10:00:00,Bücher,1\r\n\
        -8,,2025-01-02 00:00:00.000,,\r\n\
        007,plain 5\" disk,2025-01-02 00:00:00,x,FALSE";
    let (rows, problems) = rows(file.as_bytes());
    assert_eq!(problems, [""; 0]);
    let row = |id, text: Option<&str>, time: &str, category: Option<&str>, success| Row {
        id: UserId::Integer(id),
        text: text.map(str::to_owned),
        time: time.to_owned(),
        category: category.map(str::to_owned),
        success,
    };
    assert_eq!(
        rows,
        [
            row(
                7,
                Some("a \"b\", c\r\nd"),
                "2025-01-01 10:00:00",
                Some("Bücher"),
                Some(true)
            ),
            row(-8, None, "2025-01-02 00:00:00", None, None),
            row(
                7,
                Some("plain 5\" disk"),
                "2025-01-02 00:00:00",
                Some("x"),
                Some(false)
            ),
        ]
    );
}

#[test]
fn absent_columns_are_null() {
    let (rows, problems) = rows(b"searched_at,id\n2025-01-01 00:00:00,1\n");
    assert_eq!(problems, [""; 0]);
    assert_eq!(
        (&rows[0].text, &rows[0].category, rows[0].success),
        (&None, &None, None)
    );
}

#[test]
fn each_invalid_value_is_reported_with_its_position_and_the_expected_form() {
    let long = "x".repeat(256);
    let found = problems(&format!(
        "1,a,2025-01-01 00:00:00,c,1\n\
         ,\"two\nlines\",2025-02-30 00:00:00,c,yes\n\
         1.5,a,2025-01-01 00:00:00,c,1\n\
         \n\
         1,{long},2025-01-01 00:00:00,c,1\n\
         1,a,2025-01-01 00:00:00,c\n\
         1,a,2025-01-01 00:00:00,c,1,\n"
    ));
    insta::assert_snapshot!(found.join("\n"), @r#"
    line 3, column id: "": expected a 64-bit integer
    line 3, column searched_at: "2025-02-30 00:00:00": expected a real date and time like 2025-12-31 23:59:59, year 1000 or later (optional: T instead of the space, a fraction of at most 6 digits, and Z or an offset like +01:00)
    line 3, column SUCCESS: "yes": expected 0, 1, true, false or nothing
    line 5, column id: "1.5": expected a 64-bit integer
    line 7, column search: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"…: expected at most 255 characters (the length of the table's column), got 256
    line 8: 4 fields: expected 5, as the first line has
    line 9: 6 fields: expected 5, as the first line has
    "#);
}

proptest::proptest! {
    #[test]
    fn the_output_of_a_csv_writer_reads_back_unchanged(
        texts in proptest::collection::vec(".{0,20}|[\",\r\n]{0,9}", 1..20),
        ends_with_cr_lf: bool,
    ) {
        let end = if ends_with_cr_lf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut file = csv::WriterBuilder::new().terminator(end).from_writer(Vec::new());
        file.write_record(["search", "id", "searched_at", "category"]).unwrap();
        for text in &texts {
            file.write_record([text, "1", "2025-01-01 00:00:00", text]).unwrap();
        }
        let (rows, problems) = rows(&file.into_inner().unwrap());
        let read: Vec<_> = rows
            .into_iter()
            .map(|row| [row.text, row.category].map(Option::unwrap_or_default))
            .collect();
        let written: Vec<_> = texts.iter().map(|text| [text.clone(), text.clone()]).collect();
        proptest::prop_assert_eq!(read, written);
        proptest::prop_assert!(problems.is_empty());
    }
}

#[test]
fn a_cr_is_part_of_a_value_unless_it_ends_the_row() {
    let file = b"id,searched_at,category\r\n\
        1,2025-01-01 00:00:00,\"A\r\"\r\n\
        1,2025-01-01 00:00:00,\"A\r\"\n\
        1,2025-01-01 00:00:00,A\r\r\n\
        1,2025-01-01 00:00:00,\"A\"\r\n\
        1,2025-01-01 00:00:00,A\r";
    let (rows, problems) = rows(file);
    let categories: Vec<_> = rows.into_iter().filter_map(|row| row.category).collect();
    assert_eq!(categories, ["A\r", "A\r", "A\r", "A", "A"]);
    assert!(problems.is_empty());
}

#[test]
fn lines_are_counted_with_any_line_ending() {
    for end in ["\n", "\r\n"] {
        let file = format!(
            "{end}id,searched_at{end}x,2025-01-01 00:00:00{end}{end}{end}1,\"a{end}b\"{end}1,2025-01-01 00:00:00{end}1,"
        );
        let (rows, problems) = rows(file.as_bytes());
        let lines: Vec<_> = problems
            .iter()
            .map(|problem| problem.split(": ").next().unwrap())
            .collect();
        assert_eq!(rows.len(), 1);
        assert_eq!(
            lines,
            [
                "line 3, column id",
                "line 6, column searched_at",
                "line 9, column searched_at"
            ]
        );
    }
}

#[test]
fn an_unclosed_quote_is_reported() {
    for end in ["\n", ""] {
        let found = problems(&format!(
            "1,a,2025-01-01 00:00:00,c,1\n2,\"b,2025-01-01 00:00:00,c,1\n3,a,2025-01-01 00:00:00,c,1{end}"
        ));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("line 3: \"b,2025-01-01 00:00:00,c,1\\n3,a,")
                && found[0].ends_with("the quote that opens this field to be closed"),
            "{found:?}"
        );
    }
}

#[test]
fn invalid_utf_8_is_reported() {
    let (_, problems) =
        rows(b"id,search,searched_at\n1,a,2025-01-01 00:00:00\n2,B\xfccher,2025-01-01 00:00:00\n");
    insta::assert_snapshot!(problems.join("\n"), @r#"line 3, column search: "B�cher": expected text in UTF-8 (the row begins at byte 46 of the file)"#);
}

#[test]
fn the_reported_byte_is_where_the_row_begins_in_the_file() {
    for end in ["\n", "\r\n"] {
        let before = format!(
            "id,search,searched_at{end}1,\"a{end}\",2025-01-01 00:00:00{end}1,a,2025-01-01 00:00:00{end}"
        );
        let row = b"2,B\xfccher,2025-01-01 00:00:00";
        let (_, problems) = rows(&[before.as_bytes(), row].concat());
        let expected = format!("(the row begins at byte {} of the file)", before.len());
        assert!(problems[0].ends_with(&expected), "{problems:?}");
    }
}

#[test]
fn times_with_and_without_zone_do_not_mix() {
    let (rows, problems) = rows(
        b"id,searched_at\n1,2025-01-01T00:00:00+01:00\n1,2025-01-01T00:00:00Z\n1,2025-01-01 00:00:00\n",
    );
    assert_eq!(rows[0].time, "2024-12-31 23:00:00");
    assert_eq!(rows.len(), 2);
    assert_eq!(
        problems,
        [
            "line 4, column searched_at: \"2025-01-01 00:00:00\": expected a time with Z or an offset, as the file's first"
        ]
    );
}

#[test]
fn values_that_the_table_cannot_hold_are_reported() {
    let limits = TableLimits {
        id: Ids::Integers(0..=127),
        category: Text {
            most: Some(Length::Bytes(4)),
            alphabet: Alphabet::Latin1,
            nullable: false,
        },
        success: Some(false),
        ..TableLimits::new_table()
    };
    let (rows, problems) = rows_of(
        "id,searched_at,category,SUCCESS\n128,2025-01-01 00:00:00,äöü,\n1,2025-01-01 00:00:00,ą,1\n1,2025-01-01 00:00:00,,1\n".as_bytes(),
        limits,
    );
    assert_eq!(rows[0].category.as_deref(), Some(""));
    insta::assert_snapshot!(problems.join("\n"), @r#"
    line 2, column id: "128": expected 0 to 127 (the range of the table's column)
    line 2, column category: "äöü": expected at most 4 bytes (the length of the table's column), got 6
    line 2, column SUCCESS: "": expected 0, 1, true or false; the table's column takes no NULL
    line 3, column category: "ą": expected characters of latin1 (the character set of the table's column), got 'ą'
    "#);
}

#[test]
fn a_file_without_a_header_is_rejected() {
    for empty in ["", "\n", "\u{feff}", "\r\n\r\n"] {
        assert!(matches!(error(empty.as_bytes()), Error::Empty), "{empty:?}");
    }
    assert!(matches!(error(b"\xff\xfei\0d\0\n\0"), Error::Utf16));
    assert!(matches!(error(b"id,B\xfccher\n"), Error::HeaderEncoding));
    let data = error(b"1,books,2025-01-01 00:00:00\n").to_string();
    assert!(
        data.starts_with("no column id;") && data.ends_with("and is: 1,books,2025-01-01 00:00:00"),
        "{data}"
    );
}

#[test]
fn a_byte_order_mark_is_skipped_even_if_a_read_splits_it() {
    let file = "\u{feff}\"id\",searched_at\n1,2025-01-01 00:00:00\n".as_bytes();
    let (one, rest) = file.split_at(1);
    let mut rows = Rows::open(
        one.chain(rest),
        &Table::searches(),
        TableLimits::new_table(),
        &[],
    )
    .unwrap();
    assert_eq!(
        rows.read().unwrap().unwrap().unwrap().id,
        UserId::Integer(1)
    );
}

#[test]
fn a_file_with_only_a_header_has_no_rows() {
    assert_eq!(rows(b"id,searched_at"), (Vec::new(), Vec::<String>::new()));
}
