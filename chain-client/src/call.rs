// SPDX-License-Identifier: Apache-2.0

//! A call of the chain, ready to be signed.

use std::fmt;
use std::sync::Arc;

use subxt::config::ParamsFor;
use subxt::error::ExtrinsicError;
use subxt::tx::Payload;

use crate::account::Account;
use crate::error::{without_full_stop, Error};
use crate::rpc::Config;
use crate::runtime::Runtime;

/// What a transaction asks the chain to do. Made by the functions of [`calls`](crate::calls).
#[derive(Clone)]
pub struct Call(Arc<dyn Encodable>);

/// Payloads have types of their own; this is what all of them can do.
trait Encodable: Send + Sync {
    fn name(&self) -> String;

    fn sign(
        &self,
        runtime: &Runtime,
        account: &Account,
        params: ParamsFor<Config>,
    ) -> Result<Vec<u8>, ExtrinsicError>;
}

impl<P: Payload + Send + Sync> Encodable for P {
    fn name(&self) -> String {
        format!("{}.{}", self.pallet_name(), self.call_name())
    }

    fn sign(
        &self,
        runtime: &Runtime,
        account: &Account,
        params: ParamsFor<Config>,
    ) -> Result<Vec<u8>, ExtrinsicError> {
        let transactions = runtime.at().tx();
        let signed = transactions
            .create_signable_offline(self, params)?
            .sign(account)?;
        Ok(signed.into_encoded())
    }
}

impl Call {
    pub(crate) fn new(payload: impl Payload + Send + Sync + 'static) -> Self {
        Call(Arc::new(payload))
    }

    /// Pallet and call, such as `ClientHashchain.submit_batch`.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// The bytes of a signed transaction, for a given nonce and era.
    pub(crate) fn sign(
        &self,
        runtime: &Runtime,
        account: &Account,
        params: ParamsFor<Config>,
    ) -> Result<Vec<u8>, Error> {
        self.0
            .sign(runtime, account, params)
            .map_err(|error| Error::IncompatibleRuntime {
                what: without_full_stop(format!("{}: {error}", self.name())),
            })
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({})", self.name())
    }
}
