//! Why an instance cannot use its database, in the terms of its `/health`.

/// The reason before the first connection.
pub const STARTING: &str = "not connected yet";

/// The reason of a database failure: a closed set for metrics and messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing listens at the address, or the connection broke.
    Unreachable,
    /// The name or password is wrong, or the user lacks a privilege.
    AccessDenied,
    /// The server has no database of that name.
    UnknownDatabase,
    /// A table or one of its columns is missing.
    SchemaMismatch,
    /// The certificate is not trusted, or one side wants TLS and the other has none.
    Tls,
    /// The server allows no more connections.
    TooManyConnections,
    /// No answer in time, or the server ended the statement because it took too long.
    Timeout,
    /// Anything else.
    Other,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::Unreachable,
        Self::AccessDenied,
        Self::UnknownDatabase,
        Self::SchemaMismatch,
        Self::Tls,
        Self::TooManyConnections,
        Self::Timeout,
        Self::Other,
    ];

    /// The reason as a label value and as `/health` names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::AccessDenied => "access denied",
            Self::UnknownDatabase => "unknown database",
            Self::SchemaMismatch => "missing table or column",
            Self::Tls => "tls",
            Self::TooManyConnections => "too many connections",
            Self::Timeout => "timeout",
            Self::Other => "other",
        }
    }

    /// The reason with this name in `/health`; `None`: an instance of another version may have further ones.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn every_reason_is_found_by_its_name() {
        for reason in Reason::ALL {
            assert_eq!(Reason::named(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::named("on fire"), None);
    }
}
