// SPDX-License-Identifier: Apache-2.0

//! The names of errors.

use codec::Decode;
use frame_support::traits::PalletInfoAccess;
use pallet_consortium::Collective;
use sp_runtime::{DispatchError, ModuleError};

use crate::{
    Accountability, ClientHashchain, Consortium, Council, Finality, Grandpa, Members, Runtime,
    Studies,
};

/// The name of an error, as the model has it.
pub(super) fn name_of(error: DispatchError) -> &'static str {
    match error {
        DispatchError::BadOrigin => "BadOrigin",
        DispatchError::Module(error) => error
            .message
            .or_else(|| named::<Consortium, pallet_consortium::Error<Runtime>>(error))
            .or_else(|| named::<Studies, pallet_studies::Error<Runtime>>(error))
            .or_else(|| named::<ClientHashchain, pallet_client_hashchain::Error<Runtime>>(error))
            .or_else(|| named::<Finality, pallet_finality::Error<Runtime>>(error))
            .or_else(|| named::<Accountability, pallet_accountability::Error<Runtime>>(error))
            .or_else(|| named::<Council, pallet_collective::Error<Runtime, Collective>>(error))
            .or_else(|| named::<Members, pallet_membership::Error<Runtime, Collective>>(error))
            .or_else(|| named::<Grandpa, pallet_grandpa::Error<Runtime>>(error))
            .unwrap_or_else(|| panic!("{error:?} has no name")),
        error => panic!("{error:?} is nothing that a call answers"),
    }
}

/// The name of a pallet's error that was read from an event, which has none with it.
fn named<P: PalletInfoAccess, E: Decode + Into<&'static str>>(
    error: ModuleError,
) -> Option<&'static str> {
    let is_its = usize::from(error.index) == P::index();
    let error = is_its.then(|| E::decode(&mut &error.error[..]).ok());
    error.flatten().map(Into::into)
}
