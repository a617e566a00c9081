//! Ends of rows: CR LF becomes LF.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::mem;

/// Reads `input` without the CR of each CR LF that ends a row. In quotes, each CR belongs to the value.
pub(super) struct LineEnds<R> {
    input: R,
    place: Place,
    /// Whether the last byte was a CR outside quotes, which is not in `ready` yet.
    is_cr_pending: bool,
    raw: Box<[u8]>,
    ready: Vec<u8>,
    /// How many bytes of `ready` were read.
    consumed: usize,
    /// How many bytes were appended to `ready` in all.
    appended: u64,
    /// The offsets in the output before which a CR was removed, from [`Self::input_offset`]'s last one on.
    removed: VecDeque<u64>,
    /// How many CR were removed before these.
    removed_before: u64,
}

/// The place of the next byte, by the rules of the `csv` crate: a quote after other characters is one of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    FieldStart,
    Unquoted,
    Quoted,
    AfterQuote,
}

impl<R: Read> LineEnds<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            place: Place::FieldStart,
            is_cr_pending: false,
            raw: vec![0; 1 << 16].into(),
            ready: Vec::new(),
            consumed: 0,
            appended: 0,
            removed: VecDeque::new(),
            removed_before: 0,
        }
    }

    pub(super) fn into_inner(self) -> R {
        self.input
    }

    /// The offset in the input of the byte at `offset` in the output. Offsets never decrease from call to call.
    pub(super) fn input_offset(&mut self, offset: u64) -> u64 {
        while self.removed.front().is_some_and(|at| *at < offset) {
            self.removed.pop_front();
            self.removed_before += 1;
        }
        offset + self.removed_before
    }

    fn convert(&mut self, byte: u8) {
        if mem::take(&mut self.is_cr_pending) {
            if byte == b'\n' {
                self.removed.push_back(self.appended);
            } else {
                self.append(b'\r');
            }
        }
        if byte == b'\r' && self.place != Place::Quoted {
            self.is_cr_pending = true;
        } else {
            self.append(byte);
        }
    }

    fn append(&mut self, byte: u8) {
        self.place = match (self.place, byte) {
            (Place::Quoted, b'"') => Place::AfterQuote,
            (Place::FieldStart | Place::AfterQuote, b'"') | (Place::Quoted, _) => Place::Quoted,
            (_, b',' | b'\n') => Place::FieldStart,
            _ => Place::Unquoted,
        };
        self.ready.push(byte);
        self.appended += 1;
    }
}

impl<R: Read> Read for LineEnds<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.consumed == self.ready.len() {
            self.ready.clear();
            self.consumed = 0;
            let length = self.input.read(&mut self.raw)?;
            if length == 0 {
                if !mem::take(&mut self.is_cr_pending) {
                    return Ok(0);
                }
                self.append(b'\r');
            }
            for place in 0..length {
                self.convert(self.raw[place]);
            }
        }
        let length = (&self.ready[self.consumed..]).read(buffer)?;
        self.consumed += length;
        Ok(length)
    }
}
