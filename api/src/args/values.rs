//! Parsers of values. Their messages name the allowed values.

use std::net::SocketAddr;
use std::time::Duration;

pub(crate) fn port(text: &str) -> Result<u16, &'static str> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or("expected a port from 1 to 65535")
}

pub(crate) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "expected an address and a port like 127.0.0.1:8000")
}

/// A parser of integers from 1 to `most`.
pub(crate) fn up_to(most: u32) -> impl Fn(&str) -> Result<u32, String> + Clone {
    move |text| {
        let number = text
            .parse()
            .ok()
            .filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| format!("expected an integer from 1 to {most}"))
    }
}

/// Seconds, or a number with one of the units ms, s, m and h.
pub(crate) fn interval(text: &str) -> Result<Duration, &'static str> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = text[..text.len() - unit.len()].parse::<f64>().ok();
    let factor = match unit {
        "ms" => Some(0.001),
        "" | "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let seconds = number.zip(factor).map(|(number, factor)| number * factor);
    let seconds = seconds.filter(|seconds| (0.5..=3600.0).contains(seconds));
    let seconds = seconds.ok_or("expected a time from 500ms to 1h, for instance 2s")?;
    Ok(Duration::from_secs_f64(seconds))
}
