// SPDX-License-Identifier: Apache-2.0

//! What members decide about the chain itself: which code may be installed, and that finality has stalled.

use frame_system::Call as System;
use pallet_finality::Call as Finality;

use super::{
    steps::{ensure, By},
    world::World,
};
use crate::{
    limits::{FORCED_DELAY, LEAST_LAG, SESSION},
    testing::DAY_ONE,
    BlockNumber, Runtime,
};

/// The last block that is proved to be final. No other is.
pub(super) const LAST_FINAL: BlockNumber = DAY_ONE;

type Done = Result<(), &'static str>;

impl World {
    pub(super) fn system_call(&mut self, by: &By, call: &System<Runtime>) -> Done {
        let System::authorize_upgrade { code_hash } = call else {
            panic!("the model does not know {call:?}");
        };
        ensure(*by == By::Root, "BadOrigin")?;
        self.authorised = Some(*code_hash);
        Ok(())
    }

    /// Once on each chain, as the block in which the change would take effect is not executed.
    pub(super) fn finality_call(&mut self, by: &By, call: &Finality<Runtime>) -> Done {
        let Finality::note_stalled { last_final } = call else {
            panic!("the model does not know {call:?}");
        };
        ensure(self.is_two_thirds(by), "BadOrigin")?;
        ensure(*last_final == LAST_FINAL, "AnotherLastFinal")?;
        ensure(self.block >= LAST_FINAL + LEAST_LAG, "NotStalled")?;
        let next_session = (self.block / SESSION + 1) * SESSION;
        let is_in_time = self.block + FORCED_DELAY < next_session;
        ensure(is_in_time, "SessionEndsSoon")?;
        ensure(self.stalled.is_none(), "ChangePending")?;
        self.stalled = Some(self.block);
        Ok(())
    }
}
