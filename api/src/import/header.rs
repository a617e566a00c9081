//! Maps the fields of a file to columns (pure).

use super::columns::{Column, TableLimits};
use reckon_contract::tables::Table;
use std::{fmt, str::FromStr};

/// A user's mapping: a column has another name in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The column's name in the table, as the user wrote it: with or without the table's name and a dot before it.
    /// Without the table's name, the mapping applies to each table that has the column.
    pub column: String,
    /// The column's name in the file.
    pub header: String,
}

/// Why a string is not a mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMapping {
    /// The format is invalid.
    #[error("expected COLUMN=HEADER or TABLE.COLUMN=HEADER, like searches.category=kind")]
    Form,
    /// Unknown table.
    #[error("there is no table {table}: expected {expected}")]
    Table {
        /// The given table.
        table: String,
        /// The existing tables.
        expected: String,
    },
    /// Unknown column.
    #[error("there is no column {column}: expected one of {expected}")]
    Column {
        /// The given column.
        column: String,
        /// The allowed columns.
        expected: String,
    },
}

impl FromStr for Mapping {
    type Err = InvalidMapping;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (column, header) = text.split_once('=').ok_or(InvalidMapping::Form)?;
        if column.is_empty() || header.is_empty() {
            return Err(InvalidMapping::Form);
        }
        Ok(Self {
            column: column.to_owned(),
            header: header.to_owned(),
        })
    }
}

impl Mapping {
    /// Checks that one of `tables` has the column.
    ///
    /// # Errors
    /// There is no such table or column.
    pub fn check(&self, tables: &[Table]) -> Result<(), InvalidMapping> {
        if tables.iter().any(|table| self.column_of(table).is_some()) {
            return Ok(());
        }
        let of_table = tables.iter().find(|table| self.after(table).is_some());
        if let (None, Some((table, _))) = (of_table, self.column.split_once('.')) {
            let known: Vec<&str> = tables.iter().map(|table| &*table.name).collect();
            return Err(InvalidMapping::Table {
                table: table.to_owned(),
                expected: known.join(" or "),
            });
        }
        let column = of_table.and_then(|table| self.after(table));
        let possible = of_table.map_or(tables, std::slice::from_ref);
        let expected: Vec<String> = possible.iter().map(names).collect();
        Err(InvalidMapping::Column {
            column: column.unwrap_or(&self.column).to_owned(),
            expected: expected.join(", "),
        })
    }

    /// Whether the mapping names this table, with a dot before the column.
    pub(super) fn names(&self, table: &Table) -> bool {
        let column = self.after(table);
        column.is_some_and(|column| Column::of(table, column).is_some())
    }

    /// The part after the table's name and a dot.
    fn after(&self, table: &Table) -> Option<&str> {
        self.column.strip_prefix(&*table.name)?.strip_prefix('.')
    }

    fn column_of(&self, table: &Table) -> Option<Column> {
        let alone = Column::of(table, &self.column);
        alone.or_else(|| Column::of(table, self.after(table)?))
    }
}

/// The positions of a table's columns in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The names in the header.
    names: Vec<String>,
    /// The field index of each column, in the order of [`Column::ALL`].
    places: [Option<usize>; 5],
}

/// Why a header is invalid: the column and the problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    /// A required column is missing.
    #[error(
        "no column {name}{hint}; the first line must name the columns ({expected}; {user} and the time are needed), and is: {header}"
    )]
    Missing {
        /// The missing name.
        name: String,
        /// A likely cause.
        hint: &'static str,
        /// The accepted names.
        expected: String,
        /// The column with the user's id.
        user: String,
        /// The first line.
        header: String,
    },
    /// The name in a mapping is missing from the header.
    #[error("no column {name}, which --map names for {column}; the first line is: {header}")]
    MappedMissing {
        /// The missing name.
        name: String,
        /// The table's column.
        column: String,
        /// The first line.
        header: String,
    },
    /// Two fields have the same name.
    #[error("the column {0} occurs twice")]
    Twice(String),
    /// The table's column cannot be written.
    #[error("the column {name} cannot be written: the table's column {column} {why}")]
    Unwritable {
        /// The name in the file.
        name: String,
        /// The table's column.
        column: String,
        /// The reason.
        why: String,
    },
    /// The table's column requires a value.
    #[error(
        "no column {column}, and the table's column takes no NULL and has no default: add it to the file, or give the table's column a default"
    )]
    Demanded {
        /// The table's column.
        column: String,
    },
    /// Two mappings name the same column.
    #[error("--map names the column {0} twice")]
    MappedTwice(String),
}

impl Layout {
    /// Finds the columns of `table` in a header: by the names in `mappings`, otherwise by their own names, in upper or
    /// lower case.
    ///
    /// # Errors
    /// A required or mapped column is missing, or occurs twice.
    pub fn find(
        names: Vec<String>,
        table: &Table,
        limits: &TableLimits,
        mappings: &[Mapping],
    ) -> Result<Self, InvalidHeader> {
        let mut places = [None; 5];
        for column in Column::ALL {
            let Some(own) = column.name(table) else {
                continue;
            };
            let mut mapped = mappings
                .iter()
                .filter(|mapping| mapping.column_of(table) == Some(column))
                .map(|mapping| mapping.header.as_str());
            let first = mapped.next();
            if mapped.next().is_some() {
                return Err(InvalidHeader::MappedTwice(own.to_owned()));
            }
            let wanted = first.unwrap_or(own);
            let place = place(&names, wanted)?;
            match (place, first) {
                (Some(_), _) if !limits.has(column) => {}
                (Some(place), _) if let Some(why) = unwritable(limits, column) => {
                    return Err(InvalidHeader::Unwritable {
                        name: names[place].clone(),
                        column: own.to_owned(),
                        why: why.to_owned(),
                    });
                }
                (Some(place), _) => places[column as usize] = Some(place),
                (None, Some(_)) => {
                    return Err(InvalidHeader::MappedMissing {
                        name: wanted.to_owned(),
                        column: own.to_owned(),
                        header: names.join(","),
                    });
                }
                (None, None) if column.is_needed() => return Err(missing(wanted, table, &names)),
                (None, None) if limits.demanded.contains(&column) => {
                    let column = own.to_owned();
                    return Err(InvalidHeader::Demanded { column });
                }
                (None, None) => {}
            }
        }
        Ok(Self { names, places })
    }

    /// Number of fields of a row.
    #[must_use]
    pub fn fields(&self) -> usize {
        self.names.len()
    }

    /// The field of a column.
    #[must_use]
    pub fn place(&self, column: Column) -> Option<usize> {
        self.places[column as usize]
    }

    /// The columns that the file has.
    #[must_use]
    pub fn columns(&self) -> Vec<Column> {
        let there = |column: &Column| self.place(*column).is_some();
        Column::ALL.into_iter().filter(there).collect()
    }

    /// The columns that the file lacks.
    #[must_use]
    pub fn absent(&self) -> Vec<Column> {
        let absent = |column: &Column| self.place(*column).is_none();
        Column::ALL.into_iter().filter(absent).collect()
    }

    /// The file's name of the field at `place`.
    #[must_use]
    pub fn name(&self, place: usize) -> &str {
        &self.names[place]
    }

    /// The file's columns that are not imported.
    #[must_use]
    pub fn ignored(&self) -> Vec<&str> {
        let names = self.names.iter().enumerate();
        names
            .filter(|(place, _)| !self.places.contains(&Some(*place)))
            .map(|(_, name)| name.as_str())
            .collect()
    }
}

impl fmt::Display for Layout {
    /// Everything that determines the rows, besides the file's bytes.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.places)
    }
}

/// Why the table's column cannot be written; `None`: it can.
fn unwritable(limits: &TableLimits, column: Column) -> Option<&str> {
    let mut reasons = limits.unwritable.iter();
    let (_, why) = reasons.find(|(unwritable, _)| *unwritable == column)?;
    Some(why)
}

fn place(names: &[String], wanted: &str) -> Result<Option<usize>, InvalidHeader> {
    let mut places = (0..names.len()).filter(|&place| names[place].eq_ignore_ascii_case(wanted));
    let first = places.next();
    match places.next() {
        Some(_) => Err(InvalidHeader::Twice(wanted.to_owned())),
        None => Ok(first),
    }
}

fn missing(wanted: &str, table: &Table, names: &[String]) -> InvalidHeader {
    let hint = match names {
        [only] if only.contains(';') => " (the fields are separated by semicolons, not commas)",
        [only] if only.contains('\t') => " (the fields are separated by tabs, not commas)",
        _ => "",
    };
    InvalidHeader::Missing {
        name: wanted.to_owned(),
        hint,
        expected: self::names(table),
        user: table.user.clone(),
        header: names.join(","),
    }
}

fn names(table: &Table) -> String {
    let names = Column::ALL.into_iter().filter_map(|it| it.name(table));
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{Layout, Mapping};
    use crate::import::columns::{Column, TableLimits};
    use reckon_contract::tables::Table;

    fn layout(header: &str, mappings: &[&str]) -> Result<Layout, String> {
        let mappings: Vec<Mapping> = mappings.iter().map(|text| text.parse().unwrap()).collect();
        let names = header.split(',').map(str::to_owned).collect();
        Layout::find(
            names,
            &Table::searches(),
            &TableLimits::new_table(),
            &mappings,
        )
        .map_err(|error| error.to_string())
    }

    #[test]
    fn columns_are_found_in_any_order_and_case() {
        let layout = layout("success,category,shop,ID,Searched_At", &[]).unwrap();
        let places = Column::ALL.map(|column| layout.place(column));
        assert_eq!(places, [Some(3), None, Some(4), Some(1), Some(0)]);
        assert_eq!(layout.ignored(), ["shop"]);
        assert_eq!(layout.absent(), [Column::Text]);
    }

    #[test]
    fn mapped_columns_are_found_under_their_other_name_only() {
        let mappings = ["id=user", "searches.category=kind", "purchased_at=bought"];
        let layout = layout("user,id,category,kind,searched_at", &mappings).unwrap();
        assert_eq!(layout.place(Column::Id), Some(0));
        assert_eq!(layout.place(Column::Category), Some(3));
        assert_eq!(layout.ignored(), ["id", "category"]);
    }

    #[test]
    fn a_mapped_table_has_its_own_names_even_with_dots() {
        let table = Table {
            name: "shop.orders".to_owned(),
            user: "kunde nr.".to_owned(),
            text: None,
            success: None,
            ..Table::purchases()
        };
        let find = |header: &str, mapping: &str| {
            let mapping: Mapping = mapping.parse().unwrap();
            mapping.check(std::slice::from_ref(&table)).unwrap();
            let names = header.split(',').map(str::to_owned).collect();
            Layout::find(names, &table, &TableLimits::new_table(), &[mapping])
                .map_err(|error| error.to_string())
        };
        for mapping in ["kunde nr.=who", "shop.orders.kunde nr.=who"] {
            let layout = find("who,purchased_at,success,product_name", mapping).unwrap();
            assert_eq!(layout.place(Column::Id), Some(0));
            assert_eq!(layout.ignored(), ["success", "product_name"]);
        }
        assert_eq!(
            find("who", "kunde nr.=who").unwrap_err(),
            "no column purchased_at; the first line must name the columns (kunde nr., purchased_at, product_category; kunde nr. \
             and the time are needed), and is: who"
        );
    }

    #[test]
    fn a_column_that_the_table_lacks_is_ignored() {
        let limits = TableLimits {
            success: None,
            ..TableLimits::new_table()
        };
        let names = ["id", "purchased_at", "SUCCESS"].map(str::to_owned).into();
        let layout = Layout::find(names, &Table::purchases(), &limits, &[]).unwrap();
        assert_eq!(layout.ignored(), ["SUCCESS"]);
    }

    #[test]
    fn a_file_must_have_required_columns_and_no_unwritable_ones() {
        let limits = TableLimits {
            demanded: vec![Column::Category],
            unwritable: vec![(Column::Success, "is computed by the database".to_owned())],
            ..TableLimits::new_table()
        };
        let find = |header: &str| {
            let names = header.split(',').map(str::to_owned).collect();
            Layout::find(names, &Table::purchases(), &limits, &[])
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            find("id,purchased_at").unwrap_err(),
            "no column product_category, and the table's column takes no NULL and has no default: \
             add it to the file, or give the table's column a default"
        );
        assert_eq!(
            find("id,purchased_at,product_category,success").unwrap_err(),
            "the column success cannot be written: the table's column SUCCESS is computed by the database"
        );
        assert!(find("id,purchased_at,product_category").is_ok());
    }

    #[test]
    fn an_unsuitable_header_is_rejected_with_the_column() {
        for (header, mappings, expected) in [
            (
                "search,searched_at",
                &[][..],
                "no column id; the first line must name the columns (id, search, searched_at, category, SUCCESS; \
                 id and the time are needed), and is: search,searched_at",
            ),
            (
                "id;searched_at",
                &[],
                "no column id (the fields are separated by semicolons, not commas); the first line must name the columns \
                 (id, search, searched_at, category, SUCCESS; id and the time are needed), and is: id;searched_at",
            ),
            ("id,searched_at,ID", &[], "the column id occurs twice"),
            (
                "id,searched_at",
                &["category=kind"],
                "no column kind, which --map names for category; the first line is: id,searched_at",
            ),
            (
                "id,searched_at,a,b",
                &["category=a", "searches.category=b"],
                "--map names the column category twice",
            ),
        ] {
            assert_eq!(layout(header, mappings).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_meaningless_mapping_is_rejected() {
        let tables = [Table::searches(), Table::purchases()];
        for (text, expected) in [
            (
                "category",
                "expected COLUMN=HEADER or TABLE.COLUMN=HEADER, like searches.category=kind",
            ),
            (
                "category=",
                "expected COLUMN=HEADER or TABLE.COLUMN=HEADER, like searches.category=kind",
            ),
            (
                "orders.id=user",
                "there is no table orders: expected searches or purchase",
            ),
            (
                "purchase.category=kind",
                "there is no column category: expected one of id, product_name, purchased_at, product_category, SUCCESS",
            ),
        ] {
            let checked = |text: &str| text.parse::<Mapping>()?.check(&tables);
            assert_eq!(checked(text).unwrap_err().to_string(), expected);
        }
        let mapping: Mapping = "purchase.product_category=a=b".parse().unwrap();
        assert_eq!(mapping.check(&tables), Ok(()));
        assert!(mapping.names(&tables[1]) && !mapping.names(&tables[0]));
    }
}
