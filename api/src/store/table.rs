//! The two tables, with the names of the original service.

/// A table and the names of its columns; both also have `id` (the user's) and `SUCCESS`.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The search string, or the product's name.
    pub text: &'static str,
    /// When it happened.
    pub time: &'static str,
    /// The category.
    pub category: &'static str,
}

/// Both tables.
pub const TABLES: [Table; 2] = [SEARCHES, PURCHASE];

/// What users searched for.
pub const SEARCHES: Table = Table {
    name: "searches",
    text: "search",
    time: "searched_at",
    category: "category",
};

/// What users bought.
pub const PURCHASE: Table = Table {
    name: "purchase",
    text: "product_name",
    time: "purchased_at",
    category: "product_category",
};
