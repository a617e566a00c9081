//! A parser of the OpenMetrics text format that reads a stream in pieces and buffers at most one line.

use super::line::parse;
use super::sample::Sample;

/// Maximum bytes of a line. The longest of Reckon's, a help text, has about 250.
const LINE_BYTES: usize = 8 * 1024;
/// The end marker of OpenMetrics.
const END: &str = "# EOF";

/// Why a text is not the metrics of a Reckon process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A line is neither a sample nor a comment.
    #[error("line {0} of the answer is not in the format of metrics")]
    Line(usize),
    /// A line is too long.
    #[error("line {0} of the answer is longer than 8 KiB")]
    TooLong(usize),
    /// The text is incomplete.
    #[error("the answer ends without # EOF")]
    Truncated,
    /// The metrics are another program's.
    #[error("the answer has no metrics of Reckon")]
    Foreign,
}

/// Parses a text piece by piece.
#[derive(Default)]
pub struct Reader {
    rest: Vec<u8>,
    lines: usize,
    ended: bool,
    sample: Sample,
}

impl Reader {
    /// Parses the next piece.
    ///
    /// # Errors
    /// A line that ends in this piece is invalid.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), Invalid> {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = piece.split_at(end);
            piece = &rest[1..];
            self.keep(line)?;
            let line = std::mem::take(&mut self.rest);
            self.take(&line)?;
        }
        self.keep(piece)
    }

    /// The sample of the whole text.
    ///
    /// # Errors
    /// The text is incomplete, or comes from another program.
    pub fn finish(mut self) -> Result<Sample, Invalid> {
        let last = std::mem::take(&mut self.rest);
        self.take(&last)?;
        if !self.ended {
            return Err(Invalid::Truncated);
        }
        if self.sample.is_reckon() {
            Ok(self.sample)
        } else {
            Err(Invalid::Foreign)
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Invalid> {
        if self.rest.len() + bytes.len() > LINE_BYTES {
            return Err(Invalid::TooLong(self.lines + 1));
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    fn take(&mut self, line: &[u8]) -> Result<(), Invalid> {
        self.lines += 1;
        let invalid = Invalid::Line(self.lines);
        let line = std::str::from_utf8(line).map_err(|_| invalid)?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Ok(());
        }
        if self.ended {
            return Err(invalid);
        }
        if line.starts_with('#') {
            self.ended = line == END;
            return Ok(());
        }
        self.sample.add(&parse(line).ok_or(invalid)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
