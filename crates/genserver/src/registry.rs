//! Which servers there are, by number and by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use netkernel::ServerName;
use tokio::sync::Notify;

use crate::error::StartError;
use crate::pid::Pid;
use crate::process::AnyProcess;

#[derive(Default)]
pub(crate) struct Registry {
    tables: RwLock<Tables>,
    /// Tells that a name was taken, or that none will be any more.
    named: Notify,
}

#[derive(Default)]
struct Tables {
    by_number: BTreeMap<u64, Arc<dyn AnyProcess>>,
    by_name: HashMap<ServerName, Arc<dyn AnyProcess>>,
    closed: bool,
}

impl Registry {
    /// Adds a server, unless its name is taken or there are to be no more.
    pub(crate) fn add(&self, process: Arc<dyn AnyProcess>) -> Result<(), StartError> {
        let mut tables = self.write();
        if tables.closed {
            return Err(StartError::ShuttingDown);
        }
        if let Some(name) = process.pid().name() {
            if tables.by_name.contains_key(name) {
                return Err(StartError::AlreadyRegistered { name: name.to_string() });
            }
            tables.by_name.insert(name.clone(), Arc::clone(&process));
        }
        tables.by_number.insert(process.pid().number(), process);
        drop(tables);
        self.named.notify_waiters();
        Ok(())
    }

    pub(crate) fn remove(&self, pid: &Pid) {
        let mut tables = self.write();
        let named = pid.name().and_then(|name| tables.by_name.remove(name));
        let numbered = tables.by_number.remove(&pid.number());
        drop(tables);
        drop((named, numbered));
    }

    pub(crate) fn by_number(&self, number: u64) -> Option<Arc<dyn AnyProcess>> {
        self.read().by_number.get(&number).cloned()
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<dyn AnyProcess>> {
        self.read().by_name.get(name).cloned()
    }

    /// What `wanted` makes of the server of that name, as soon as it makes something of one; `None` when there are to
    /// be no more servers.
    pub(crate) async fn wait_for<T>(
        &self,
        name: &str,
        wanted: impl Fn(Arc<dyn AnyProcess>) -> Option<T>,
    ) -> Option<T> {
        loop {
            // Told of what comes from here on, polled or not.
            let named = self.named.notified();
            let closed = self.read().closed;
            let found = self.by_name(name).and_then(&wanted);
            if found.is_some() || closed {
                return found;
            }
            named.await;
        }
    }

    /// All servers, in the order they were started.
    pub(crate) fn all(&self) -> Vec<Arc<dyn AnyProcess>> {
        self.read().by_number.values().cloned().collect()
    }

    /// Adds no more. Gives what there is, in the order it was started.
    pub(crate) fn close(&self) -> Vec<Arc<dyn AnyProcess>> {
        let mut tables = self.write();
        tables.closed = true;
        let all = tables.by_number.values().cloned().collect();
        drop(tables);
        self.named.notify_waiters();
        all
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}
