//! Events of resources.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, Recorder, Reporter};
use std::sync::{Mutex, PoisonError};

/// How many events a recorder keeps (a few kilobytes each). It searches all of them for each new event.
const REMEMBERED: u32 = 256;

/// Publishes events. If an event repeats within minutes, the count of the first one is increased, unless too many other
/// events were published in between.
pub struct Events {
    client: Client,
    reporter: Reporter,
    current: Mutex<(Recorder, u32)>,
}

impl Events {
    /// No event has been published yet.
    #[must_use]
    pub fn new(client: Client, reporter: Reporter) -> Self {
        let recorder = Recorder::new(client.clone(), reporter.clone());
        Self {
            client,
            reporter,
            current: Mutex::new((recorder, 0)),
        }
    }

    /// Publishes an event.
    ///
    /// # Errors
    /// The API server did not accept it.
    pub async fn publish(&self, event: &Event, about: &ObjectReference) -> kube::Result<()> {
        self.recorder().publish(event, about).await
    }

    fn recorder(&self) -> Recorder {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let (recorder, published) = &mut *current;
        if *published == REMEMBERED {
            *recorder = Recorder::new(self.client.clone(), self.reporter.clone());
            *published = 0;
        }
        *published += 1;
        recorder.clone()
    }
}
