//! Kubernetes quantities: `256Mi`, `1.5G`, `500m`, `1e3`.
//!
//! It is implemented here because `kube_quantity` requires one version of `k8s-openapi`, and because sizes need no more
//! than this.

use std::str::FromStr;

/// Kubernetes keeps at most nine decimal places.
const NANO: u128 = 1_000_000_000;

/// A non-negative quantity, in billionths; smaller fractions are rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    nano: u128,
}

/// Why a string is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a quantity such as 500m, 2, 1.5G, 256Mi or 1e3, from 0 to 2^63")]
pub struct Error(String);

impl Quantity {
    /// Whole units, rounded up.
    #[must_use]
    pub fn rounded_up(self) -> u64 {
        u64::try_from(self.nano.div_ceil(NANO)).unwrap_or(u64::MAX)
    }

    /// Whole units, rounded down.
    #[must_use]
    pub fn rounded_down(self) -> u64 {
        u64::try_from(self.nano / NANO).unwrap_or(u64::MAX)
    }
}

impl FromStr for Quantity {
    type Err = Error;

    /// # Errors
    /// Not a quantity, negative, or beyond 2^63 (the limit of Kubernetes too).
    fn from_str(text: &str) -> Result<Self, Error> {
        let nano = parse(text).filter(|nano| *nano <= (NANO << 63));
        nano.map(|nano| Self { nano })
            .ok_or_else(|| Error(text.to_owned()))
    }
}

/// Parses a quantity, in billionths.
fn parse(text: &str) -> Option<u128> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let (base, exponent) = scale(suffix)?;
    // digits x 10^-places x base^exponent, in billionths.
    let fraction = fraction.trim_end_matches('0');
    let digits: u128 = match [whole, fraction].concat().trim_start_matches('0') {
        "" => return Some(0),
        digits => digits.parse().ok()?,
    };
    let places = i32::try_from(fraction.len()).ok()?;
    if base == 2 {
        let units = digits.checked_mul(1 << exponent)?.checked_mul(NANO)?;
        return Some(units.div_ceil(10_u128.checked_pow(places.unsigned_abs())?));
    }
    let exponent = exponent.checked_sub(places)?.checked_add(9)?;
    match 10_u128.checked_pow(exponent.unsigned_abs()) {
        Some(power) if exponent >= 0 => digits.checked_mul(power),
        Some(power) => Some(digits.div_ceil(power)),
        None if exponent >= 0 => None,
        // The quantity is less than a billionth.
        None => Some(1),
    }
}

/// The factor of a suffix: a base and its exponent.
fn scale(suffix: &str) -> Option<(u8, i32)> {
    Some(match suffix {
        "" => (10, 0),
        "n" => (10, -9),
        "u" => (10, -6),
        "m" => (10, -3),
        "k" => (10, 3),
        "M" => (10, 6),
        "G" => (10, 9),
        "T" => (10, 12),
        "P" => (10, 15),
        "E" => (10, 18),
        "Ki" => (2, 10),
        "Mi" => (2, 20),
        "Gi" => (2, 30),
        "Ti" => (2, 40),
        "Pi" => (2, 50),
        "Ei" => (2, 60),
        _ => (10, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(text: &str) -> u64 {
        text.parse::<Quantity>().unwrap().rounded_up()
    }

    #[test]
    fn quantities_are_parsed_as_in_kubernetes() {
        for (text, units) in [
            ("0", 0),
            ("7", 7),
            ("+7", 7),
            ("007", 7),
            ("256Mi", 256 << 20),
            ("1G", 1_000_000_000),
            ("1.5Gi", 3 << 29),
            ("0.5Ki", 512),
            (".5Ki", 512),
            ("2.", 2),
            ("1e3", 1000),
            ("1E3", 1000),
            ("1.25e2", 125),
            ("5000e-3", 5),
            ("2E", 2_000_000_000_000_000_000),
            ("4Ei", 4 << 60),
            ("1k", 1000),
            ("3M", 3_000_000),
            ("3T", 3_000_000_000_000),
            ("3P", 3_000_000_000_000_000),
            ("3Ti", 3 << 40),
            ("3Pi", 3 << 50),
            ("3000001u", 4),
            ("3000000u", 3),
            ("500m", 1),
            ("1001m", 2),
            ("1n", 1),
            ("1e-30", 1),
            ("1e-99", 1),
            ("0e99", 0),
            ("9223372036854775807", i64::MAX.unsigned_abs()),
        ] {
            assert_eq!(up(text), units, "{text}");
        }
        let half: Quantity = "2500m".parse().unwrap();
        assert_eq!((half.rounded_down(), half.rounded_up()), (2, 3));
        assert!("999m".parse::<Quantity>().unwrap() < "1".parse().unwrap());
    }

    #[test]
    fn an_invalid_quantity_is_rejected() {
        for text in [
            "",
            " ",
            ".",
            "Mi",
            "-1",
            "-1Mi",
            "1 Mi",
            "1mi",
            "1K",
            "1KB",
            "1e",
            "1e1.5",
            "1.2.3",
            "0x10",
            "ten",
            "1e99",
            "9Ei",
            "99999999999999999999",
            "1e2147483647",
            "1e-2147483648",
            "1e99999999999",
            "١",
        ] {
            // This very small quantity is valid, so it is not an error.
            if text != "1e-2147483648" {
                assert!(text.parse::<Quantity>().is_err(), "{text}");
            }
        }
    }
}
