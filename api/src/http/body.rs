//! The body of a request that its handler reads, after the request was admitted.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A body that is read at most once. Clones share it.
#[derive(Clone)]
pub struct UnreadBody(Arc<Mutex<State>>);

enum State {
    Unread(Incoming),
    /// Read to its end: the connection can be reused.
    Read,
    /// A part is unread, so the connection cannot be reused.
    Broken,
}

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It has more bytes than allowed.
    TooLong,
    /// It broke off, or took too long.
    Incomplete,
}

impl UnreadBody {
    /// The body of a request.
    #[must_use]
    pub fn new(body: Incoming) -> Self {
        Self(Arc::new(Mutex::new(State::Unread(body))))
    }

    /// Its length in bytes, if the client has announced it.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &*self.state() {
            State::Unread(body) => body.size_hint().exact(),
            State::Read | State::Broken => None,
        }
    }

    /// Reads at most `limit` bytes.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub async fn read(&self, limit: usize, timeout: Duration) -> Result<Bytes, BodyError> {
        let State::Unread(body) = std::mem::replace(&mut *self.state(), State::Broken) else {
            return Err(BodyError::Incomplete);
        };
        if body.size_hint().lower() > limit as u64 {
            return Err(BodyError::TooLong);
        }
        let bytes = tokio::time::timeout(timeout, all(body, limit)).await;
        let bytes = bytes.unwrap_or(Err(BodyError::Incomplete))?;
        *self.state() = State::Read;
        Ok(bytes)
    }

    /// Takes the body. If it was taken before, the error is whether it was read to its end.
    pub(super) fn take(&self) -> Result<Incoming, bool> {
        match std::mem::replace(&mut *self.state(), State::Broken) {
            State::Unread(body) => Ok(body),
            State::Read => Err(true),
            State::Broken => Err(false),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn all(mut body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyError::Incomplete)?;
        let data = frame.data_ref().map_or(&[][..], |data| data);
        if bytes.len() + data.len() > limit {
            return Err(BodyError::TooLong);
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes.into())
}
