//! [`real_tokio::sync::Notify`] with a switch of tasks before each operation.

use shuttle::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Allows the scheduler to switch tasks, as any operation on an atomic does. `yield_now` of shuttle would also wake the current
/// task, so a wait that never ends would not be reported as a deadlock.
fn allow_switch() {
    AtomicBool::new(false).load(SeqCst);
}

#[derive(Default)]
pub struct Notify(real_tokio::sync::Notify);

/// A wait for a notification. Boxed, so that its users can move it.
pub struct Notified<'a> {
    inner: Pin<Box<real_tokio::sync::futures::Notified<'a>>>,
}

impl Notify {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn notify_one(&self) {
        allow_switch();
        self.0.notify_one();
    }

    pub fn notify_last(&self) {
        allow_switch();
        self.0.notify_last();
    }

    pub fn notify_waiters(&self) {
        allow_switch();
        self.0.notify_waiters();
    }

    pub fn notified(&self) -> Notified<'_> {
        allow_switch();
        Notified {
            inner: Box::pin(self.0.notified()),
        }
    }
}

impl Notified<'_> {
    pub fn enable(mut self: Pin<&mut Self>) -> bool {
        allow_switch();
        self.inner.as_mut().enable()
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        allow_switch();
        self.inner.as_mut().poll(context)
    }
}
