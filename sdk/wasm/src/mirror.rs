// SPDX-License-Identifier: Apache-2.0

//! The store in memory, and what of it is still to be written out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mhealth_device::host::{PhoneStore, StoreFault, Stored, Write};

use crate::host::{self, JsHost};

/// A store that answers at once. What is applied waits until it is [written out](Self::write_out). Once that failed, memory is ahead of
/// what is stored: the store answers nothing any more, and the phone has to be opened anew.
#[derive(Clone)]
pub(crate) struct Mirror(Rc<Inner>);

struct Inner {
    host: JsHost,
    state: RefCell<State>,
}

struct State {
    stored: BTreeMap<Vec<u8>, Vec<u8>>,
    waiting: Vec<Write>,
    fault: Option<StoreFault>,
}

impl Mirror {
    /// Reads everything that the host has stored.
    pub(crate) async fn read(host: JsHost) -> Result<Self, StoreFault> {
        let stored = host::load(&host).await?;
        let state = RefCell::new(State {
            stored,
            waiting: Vec::new(),
            fault: None,
        });
        Ok(Self(Rc::new(Inner { host, state })))
    }

    /// Back when everything that was applied so far is durable. The host writes in the order in which it is asked, so that one call
    /// also waits for those before it, and answers nothing but faults after a fault.
    pub(crate) async fn write_out(&self) -> Result<(), StoreFault> {
        let waiting = {
            let mut state = self.0.state.borrow_mut();
            state.sound()?;
            std::mem::take(&mut state.waiting)
        };
        let written = host::apply(&self.0.host, &waiting).await;
        if let Err(fault) = &written {
            self.0.state.borrow_mut().fault = Some(fault.clone());
        }
        written
    }
}

impl State {
    fn sound(&self) -> Result<(), StoreFault> {
        self.fault.clone().map_or(Ok(()), Err)
    }
}

impl PhoneStore for Mirror {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        let state = self.0.state.borrow();
        state.sound()?;
        Ok(state.stored.get(key).cloned())
    }

    fn scan(&self, from: &[u8], until: &[u8], most: usize) -> Result<Vec<Stored>, StoreFault> {
        let state = self.0.state.borrow();
        state.sound()?;
        if from >= until {
            return Ok(Vec::new());
        }
        let found = state.stored.range(from.to_vec()..until.to_vec());
        let pairs = found.map(|(key, value)| (key.clone(), value.clone()));
        Ok(pairs.take(most).collect())
    }

    fn apply(&self, writes: &[Write]) -> Result<(), StoreFault> {
        let mut state = self.0.state.borrow_mut();
        state.sound()?;
        for write in writes {
            match write {
                Write::Put { key, value } => state.stored.insert(key.clone(), value.clone()),
                Write::Delete { key } => state.stored.remove(key),
            };
        }
        state.waiting.extend_from_slice(writes);
        Ok(())
    }
}
