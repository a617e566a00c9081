//! The requests that wait for the writer.

use super::failure::Failure;
use crate::model::UserId;
use crate::store::write::{Event, Outcome};
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

/// Maximum number of waiting requests with events, and of waiting erasures.
const LENGTH: usize = 256;
/// Maximum events of one transaction; a single request has at most half as many.
const GROUP: usize = 1000;

/// A request with events.
pub struct Batch {
    pub events: Vec<Event>,
    /// Not begun after this time.
    pub deadline: Instant,
    pub reply: oneshot::Sender<Result<Vec<Outcome>, Failure>>,
}

/// A user to be erased.
pub struct Erasure {
    pub user: UserId,
    /// Not continued after this time.
    pub deadline: Instant,
    pub reply: oneshot::Sender<Result<[u64; 2], Failure>>,
}

/// The sender's end. It never waits.
#[derive(Clone)]
pub struct Sender {
    batches: mpsc::Sender<Batch>,
    erasures: mpsc::Sender<Erasure>,
}

/// The receiver's end; it outlives a writer that panics.
#[derive(Clone)]
pub struct Receiver {
    batches: Arc<Mutex<mpsc::Receiver<Batch>>>,
    erasures: Arc<Mutex<mpsc::Receiver<Erasure>>>,
}

/// What the writer has to do next.
pub enum Work {
    Batches(Vec<Batch>),
    Erasure(Erasure),
}

pub fn queue() -> (Sender, Receiver) {
    let (batches, to_write) = mpsc::channel(LENGTH);
    let (erasures, to_erase) = mpsc::channel(LENGTH);
    let receiver = Receiver {
        batches: Arc::new(Mutex::new(to_write)),
        erasures: Arc::new(Mutex::new(to_erase)),
    };
    (Sender { batches, erasures }, receiver)
}

impl Sender {
    pub fn batch(&self, batch: Batch) -> Result<(), Failure> {
        self.batches
            .try_send(batch)
            .map_err(|_| Failure::Overloaded)
    }

    pub fn erasure(&self, erasure: Erasure) -> Result<(), Failure> {
        self.erasures
            .try_send(erasure)
            .map_err(|_| Failure::Overloaded)
    }
}

impl Receiver {
    /// Waits for work; events first, since they are stored in a short time.
    pub async fn next(&self) -> Work {
        let (mut batches, mut erasures) = tokio::join!(self.batches.lock(), self.erasures.lock());
        tokio::select! {
            biased;
            Some(first) = batches.recv() => Work::Batches(grouped(first, &mut batches)),
            Some(erasure) = erasures.recv() => Work::Erasure(erasure),
            else => std::future::pending().await,
        }
    }

    /// The events that are waiting already.
    pub async fn waiting(&self) -> Option<Vec<Batch>> {
        let mut batches = self.batches.lock().await;
        let first = batches.try_recv().ok()?;
        Some(grouped(first, &mut batches))
    }
}

/// `first`, and as many of the waiting requests as fit into one transaction.
fn grouped(first: Batch, waiting: &mut mpsc::Receiver<Batch>) -> Vec<Batch> {
    let mut events = first.events.len();
    let mut group = vec![first];
    while events <= GROUP / 2
        && let Ok(next) = waiting.try_recv()
    {
        events += next.events.len();
        group.push(next);
    }
    group
}
