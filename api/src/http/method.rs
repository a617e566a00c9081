//! The request methods, by name.

use http::Method;

/// The methods as metrics and logs name them: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodName {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `DELETE`.
    Delete,
    /// `OPTIONS`.
    Options,
    /// Any other.
    Other,
}

impl MethodName {
    /// Every name, in the order of their values.
    pub const LABELS: [&str; 6] = ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "other"];

    /// The name of `method`.
    #[must_use]
    pub fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::POST => Self::Post,
            Method::DELETE => Self::Delete,
            Method::OPTIONS => Self::Options,
            _ => Self::Other,
        }
    }

    /// Its name in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::MethodName;
    use http::Method;

    #[test]
    fn the_label_of_a_method_is_its_name_or_other() {
        for name in ["GET", "HEAD", "POST", "DELETE", "OPTIONS"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(MethodName::of(&method).label(), name);
        }
        for name in ["PUT", "get", "BREW"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(MethodName::of(&method).label(), "other");
        }
    }
}
