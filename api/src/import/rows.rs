//! Parses the rows of a file, and reports invalid values. Pure except for reading.

mod line_ends;

use super::columns::{Column, TableLimits, checked};
use super::header::{InvalidHeader, Layout, Mapping};
use super::time::{self, Time};
use crate::model::UserId;
use csv::ByteRecord;
use line_ends::LineEnds;
use reckon_contract::tables::Table;
use std::fmt;
use std::io::{self, Cursor, Read};

/// This row is appended to the file. No valid text contains these bytes. So if they form a separate row, the file has
/// no open quote at its end.
const END: &[u8] = b"\n\xff\xff end of file \xff\xff\n";
/// The row that [`END`] forms.
const LAST: &[u8] = b"\xff\xff end of file \xff\xff";
/// A byte order mark in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// Maximum characters of an invalid value that are shown.
const SHOWN: usize = 60;

/// One row for either table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The user.
    pub id: UserId,
    /// The search, or the product's name.
    pub text: Option<String>,
    /// The time of the event, as [`Time::text`] writes it.
    pub time: String,
    /// The category.
    pub category: Option<String>,
    /// Whether it succeeded.
    pub success: Option<bool>,
}

/// An invalid value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line on which its row begins.
    pub line: u64,
    /// The column, by its name in the file; `None`: the row as a whole.
    pub column: Option<String>,
    /// The value, shortened if it is long.
    pub value: String,
    /// The allowed values.
    pub expected: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}", self.line)?;
        if let Some(column) = &self.column {
            write!(formatter, ", column {column}")?;
        }
        write!(formatter, ": {}: expected {}", self.value, self.expected)
    }
}

/// Why a file cannot be parsed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("failed to read it")]
    Read(#[source] io::Error),
    /// It is empty.
    #[error("it is empty: the first line must name the columns")]
    Empty,
    /// It is not UTF-8.
    #[error("it is in UTF-16: save it as CSV in UTF-8")]
    Utf16,
    /// Its first line is not UTF-8.
    #[error("its first line is not in UTF-8, the only encoding that is read")]
    HeaderEncoding,
    /// Its first line is not a valid header.
    #[error("{0}")]
    Header(#[source] Box<InvalidHeader>),
}

/// The first bytes of a file, the rest of it, and [`END`].
type Input<R> = LineEnds<io::Chain<io::Chain<Cursor<Vec<u8>>, R>, &'static [u8]>>;

/// The rows of a file.
pub struct Rows<R> {
    reader: csv::Reader<Input<R>>,
    record: ByteRecord,
    /// Where the row begins in the file, in bytes after the byte order mark.
    row_offset: u64,
    layout: Layout,
    limits: TableLimits,
    /// Whether the times have a zone, like the first one.
    zoned: Option<bool>,
    /// Number of times that were cut to the column's precision.
    cut_times: u64,
}

impl<R: Read> Rows<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(
        input: R,
        table: &Table,
        limits: TableLimits,
        mappings: &[Mapping],
    ) -> Result<Self, Error> {
        let (first, input) = without_mark(input).map_err(Error::Read)?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            // The terminator is not CR LF, because lines could not be counted with it; see `line_ends`.
            .terminator(csv::Terminator::Any(b'\n'))
            .buffer_capacity(1 << 18)
            .from_reader(LineEnds::new(first.chain(input).chain(END)));
        let mut record = ByteRecord::new();
        read(&mut reader, &mut record)?;
        if is_end(&record) {
            return Err(Error::Empty);
        }
        if record.as_slice().starts_with(b"\xff\xfe") || record.as_slice().starts_with(b"\xfe\xff")
        {
            return Err(Error::Utf16);
        }
        let names = record
            .iter()
            .map(|name| String::from_utf8(name.to_vec()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Error::HeaderEncoding)?;
        let layout = Layout::find(names, table, &limits, mappings)
            .map_err(|error| Error::Header(error.into()))?;
        Ok(Self {
            reader,
            record,
            row_offset: 0,
            layout,
            limits,
            zoned: None,
            cut_times: 0,
        })
    }

    /// The positions of the columns.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Number of times that were cut to the column's precision, so far.
    pub fn cut_times(&self) -> u64 {
        self.cut_times
    }

    /// Whether the times read so far have a zone.
    pub fn zoned(&self) -> bool {
        self.zoned == Some(true)
    }

    /// The file, after all rows were read.
    pub fn into_input(self) -> R {
        let (file, _end) = self.reader.into_inner().into_inner().into_inner();
        file.into_inner().1
    }

    /// The next row, or its problems; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&mut self) -> Result<Option<Result<Row, Vec<Problem>>>, Error> {
        read(&mut self.reader, &mut self.record)?;
        if is_end(&self.record) {
            return Ok(None);
        }
        let begin = self.record.position().map_or(0, csv::Position::byte);
        self.row_offset = self.reader.get_mut().input_offset(begin);
        Ok(Some(self.row()))
    }

    fn row(&mut self) -> Result<Row, Vec<Problem>> {
        if self.is_open() {
            let last = self.record.iter().next_back().unwrap_or_default();
            let value = shown(&last[..last.len() - END.len()]);
            return Err(vec![self.problem(
                None,
                value,
                "the quote that opens this field to be closed".to_owned(),
            )]);
        }
        if self.record.len() != self.layout.fields() {
            let value = plural(self.record.len(), "field");
            let expected = format!("{}, as the first line has", self.layout.fields());
            return Err(vec![self.problem(None, value, expected)]);
        }
        let mut problems = Vec::new();
        let id = self.value(Column::Id, &mut problems, |rows, text| {
            rows.limits.id.parse(text)
        });
        let text = self.value(Column::Text, &mut problems, |rows, text| {
            rows.limits
                .text
                .map_or(Ok(None), |limits| checked(text, limits))
        });
        let time = self.value(Column::Time, &mut problems, Self::time);
        let category = self.value(Column::Category, &mut problems, |rows, text| {
            checked(text, rows.limits.category)
        });
        let success = self.value(Column::Success, &mut problems, Self::success);
        match (id, time, problems.is_empty()) {
            (Some(id), Some(time), true) => Ok(Row {
                id,
                text: text.flatten(),
                time,
                category: category.flatten(),
                success: success.flatten(),
            }),
            _ => Err(problems),
        }
    }

    /// The value of a column, parsed by `parse`; `None` if the file has no such column, and after a problem.
    fn value<T>(
        &mut self,
        column: Column,
        problems: &mut Vec<Problem>,
        parse: impl FnOnce(&mut Self, &str) -> Result<T, String>,
    ) -> Option<T> {
        let place = self.layout.place(column)?;
        // Moved out of the state, so that the fields can be read while the state changes.
        let record = std::mem::take(&mut self.record);
        let bytes = &record[place];
        let parsed = match std::str::from_utf8(bytes) {
            Ok(text) => parse(self, text),
            Err(_) => Err(format!(
                "text in UTF-8 (the row begins at byte {} of the file)",
                self.row_offset
            )),
        };
        let value = parsed.map_err(|expected| (shown(bytes), expected));
        self.record = record;
        value
            .map_err(|(value, expected)| {
                problems.push(self.problem(Some(place), value, expected));
            })
            .ok()
    }

    fn time(&mut self, text: &str) -> Result<String, String> {
        let time = Time::parse(text).ok_or(time::EXPECTED)?;
        if *self.zoned.get_or_insert(time.zoned) != time.zoned {
            return Err(if time.zoned {
                "a time without zone, as the file's first"
            } else {
                "a time with Z or an offset, as the file's first"
            }
            .to_owned());
        }
        let times = self.limits.times;
        times.check(&time)?;
        self.cut_times += u64::from(times.cuts(&time));
        Ok(times.text(&time))
    }

    fn success(&mut self, text: &str) -> Result<Option<bool>, String> {
        match text {
            "0" => Ok(Some(false)),
            "1" => Ok(Some(true)),
            "" if self.limits.success == Some(false) => {
                Err("0, 1, true or false; the table's column takes no NULL".to_owned())
            }
            "" => Ok(None),
            _ if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            _ if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            _ => Err("0, 1, true, false or nothing".to_owned()),
        }
    }

    /// The line on which the row begins. Each LF so far was the end of a row, a blank line, or inside a field.
    fn line(&self) -> u64 {
        let within = self.record.as_slice().split(|byte| *byte == b'\n').count() as u64 - 1;
        let ended = u64::from(!self.is_open());
        self.reader.position().line().saturating_sub(within + ended)
    }

    /// Whether an open quote in the row's last field contains the end of the file.
    fn is_open(&self) -> bool {
        self.record.as_slice().ends_with(END)
    }

    fn problem(&self, place: Option<usize>, value: String, expected: String) -> Problem {
        Problem {
            line: self.line(),
            column: place.map(|place| self.layout.name(place).to_owned()),
            value,
            expected,
        }
    }
}

/// The first bytes of a file without the byte order mark, and the rest. The parser recognizes a mark only if it arrives
/// together with the next bytes.
fn without_mark<R: Read>(mut file: R) -> io::Result<(Cursor<Vec<u8>>, R)> {
    loop {
        let mut first = Vec::with_capacity(MARK.len());
        let mut beginning = file.by_ref().take(MARK.len() as u64);
        beginning.read_to_end(&mut first)?;
        if first != MARK {
            return Ok((Cursor::new(first), file));
        }
    }
}

/// Reads the next row that is not a blank line.
fn read<R: Read>(reader: &mut csv::Reader<R>, record: &mut ByteRecord) -> Result<(), Error> {
    loop {
        reader
            .read_byte_record(record)
            .map_err(|error| Error::Read(error.into()))?;
        let is_blank = record.len() == 1 && record[0].is_empty();
        if !is_blank {
            return Ok(());
        }
    }
}

/// Whether the whole file was read: this row is the appended one.
fn is_end(record: &ByteRecord) -> bool {
    record.is_empty() || record.iter().eq([LAST])
}

/// A value for messages.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn plural(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

#[cfg(test)]
mod tests;
