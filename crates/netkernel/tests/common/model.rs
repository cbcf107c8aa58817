//! What models of waiting need of the standard library and of tokio, by loom.
#![expect(clippy::unwrap_used, reason = "test support fails by panicking")]

use std::ops::{Deref, DerefMut};

use loom::sync::{Condvar, Mutex};

/// A lock that can be tried for. Loom's own takes one who only tries for one who waits, and sees deadlocks that are none.
#[derive(Default)]
pub(crate) struct Lock<T> {
    is_taken: Mutex<bool>,
    given_back: Condvar,
    value: std::sync::Mutex<T>,
}

pub(crate) struct Guard<'a, T> {
    lock: &'a Lock<T>,
    value: Option<std::sync::MutexGuard<'a, T>>,
}

impl<T> Lock<T> {
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let mut is_taken = self.is_taken.lock().unwrap();
        while *is_taken {
            is_taken = self.given_back.wait(is_taken).unwrap();
        }
        *is_taken = true;
        Guard { lock: self, value: Some(self.value.lock().unwrap()) }
    }

    pub(crate) fn try_lock(&self) -> Result<Guard<'_, T>, ()> {
        let mut is_taken = self.is_taken.lock().unwrap();
        if *is_taken {
            return Err(());
        }
        *is_taken = true;
        Ok(Guard { lock: self, value: Some(self.value.lock().unwrap()) })
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().unwrap()
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().unwrap()
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        *self.lock.is_taken.lock().unwrap() = false;
        self.lock.given_back.notify_one();
    }
}

/// Tells those who were about to wait when it was rung, and nobody else.
#[derive(Default)]
pub(crate) struct Work {
    rung: Mutex<usize>,
    waiters: Condvar,
}

impl Work {
    pub(crate) fn enable(&self) -> usize {
        *self.rung.lock().unwrap()
    }

    pub(crate) fn notified(&self, enabled: usize) {
        let mut rung = self.rung.lock().unwrap();
        while *rung == enabled {
            rung = self.waiters.wait(rung).unwrap();
        }
    }

    pub(crate) fn notify_waiters(&self) {
        *self.rung.lock().unwrap() += 1;
        self.waiters.notify_all();
    }
}

/// How many messages the peer has, who waits for them.
#[derive(Default)]
pub(crate) struct Arrived {
    messages: Mutex<usize>,
    more: Condvar,
}

impl Arrived {
    pub(crate) fn add(&self, messages: usize) {
        *self.messages.lock().unwrap() += messages;
        self.more.notify_all();
    }

    pub(crate) fn wait_for(&self, count: usize) {
        let mut messages = self.messages.lock().unwrap();
        while *messages < count {
            messages = self.more.wait(messages).unwrap();
        }
    }
}
