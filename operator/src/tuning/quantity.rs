//! Kubernetes quantities: `256Mi`, `1.5G`, `500m`, `1e3`.

/// A quantity that is not negative, to the billionth (Kubernetes' own precision).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    nano: u128,
}

impl Quantity {
    /// Whole units, rounded up; the greatest `u64` when it is more.
    #[must_use]
    pub fn rounded_up(self) -> u64 {
        u64::try_from(self.nano.div_ceil(NANO)).unwrap_or(u64::MAX)
    }

    /// Whole units, rounded down; the greatest `u64` when it is more.
    #[must_use]
    pub fn rounded_down(self) -> u64 {
        u64::try_from(self.nano / NANO).unwrap_or(u64::MAX)
    }
}

const NANO: u128 = 1_000_000_000;

/// A text that is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a quantity such as 256Mi, 1G, 500m or 2, not negative")]
pub struct NoQuantity;

/// Powers of ten of the decimal suffixes, in billionths of a unit.
fn scale(suffix: &str) -> Option<u128> {
    let binary = |power: u32| Some(NANO << (10 * power));
    match suffix {
        "n" => Some(1),
        "u" => Some(1_000),
        "m" => Some(1_000_000),
        "" => Some(NANO),
        "k" => Some(NANO * 1_000),
        "M" => Some(NANO * 1_000_000),
        "G" => Some(NANO * 1_000_000_000),
        "T" => Some(NANO * 1_000_000_000_000),
        "P" => Some(NANO * 1_000_000_000_000_000),
        "E" => Some(NANO * 1_000_000_000_000_000_000),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_u128.checked_pow(u32::try_from(power.checked_add(9)?).ok()?)
        }
    }
}

impl std::str::FromStr for Quantity {
    type Err = NoQuantity;

    fn from_str(text: &str) -> Result<Self, NoQuantity> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let end = text
            .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(NoQuantity);
        }
        let scale = scale(suffix).ok_or(NoQuantity)?;
        let digits: u128 = format!("{whole}{fraction}")
            .parse()
            .map_err(|_| NoQuantity)?;
        let divisor = 10_u128
            .checked_pow(u32::try_from(fraction.len()).map_err(|_| NoQuantity)?)
            .ok_or(NoQuantity)?;
        let nano = digits
            .checked_mul(scale)
            .ok_or(NoQuantity)?
            .div_ceil(divisor);
        Ok(Self { nano })
    }
}

#[cfg(test)]
mod tests {
    use super::{NoQuantity, Quantity};

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        let units = |text: &str| text.parse::<Quantity>().unwrap().rounded_up();
        for (text, expected) in [
            ("0", 0),
            ("2", 2),
            ("500m", 1),
            ("2500m", 3),
            ("1.5", 2),
            (".5", 1),
            ("5.", 5),
            ("1k", 1_000),
            ("1.5G", 1_500_000_000),
            ("256Mi", 256 << 20),
            ("1Ki", 1024),
            ("0.5Gi", 512 << 20),
            ("1e3", 1_000),
            ("1E3", 1_000),
            ("12e-1", 2),
            ("1E", 1_000_000_000_000_000_000),
            ("+3", 3),
        ] {
            assert_eq!(units(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "", "-1", "1 Gi", "Mi", "1.2.3", "1ki", "1e", "x", "1MiB", ".",
        ] {
            assert_eq!(text.parse::<Quantity>(), Err(NoQuantity), "{text}");
        }
    }
}
