// SPDX-License-Identifier: Apache-2.0

//! Tokens, kept until shortly before they expire.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::{fmt, time::Duration};

use hashchain::DeviceId;
use zeroize::Zeroizing;

use crate::{
    lock::Mutex,
    senses::{Moment, Senses},
};

/// A token for relays. It is good only together with proofs by the device's key; never shown all the same.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token(Zeroizing<String>);

impl Token {
    pub(super) fn new(token: String) -> Self {
        Self(Zeroizing::new(token))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// The tokens of a program's devices.
pub(super) struct Tokens {
    senses: Senses,
    /// With the moment from which on another one is asked for.
    kept: Mutex<BTreeMap<DeviceId, (Token, Moment)>>,
}

impl Tokens {
    pub(super) fn new(senses: Senses) -> Self {
        Self {
            senses,
            kept: Mutex::default(),
        }
    }

    /// A device's token, if it lasts long enough for an upload.
    pub(super) fn of(&self, device: DeviceId) -> Option<Token> {
        let tokens = self.kept.lock();
        let (token, renew) = tokens.get(&device)?;
        (!renew.left().is_zero()).then(|| token.clone())
    }

    /// Keeps a token for nine tenths of its life, a bit less for some, so that a cohort does not renew all at once.
    pub(super) fn keep(&self, device: DeviceId, token: &Token, lasts: Duration) {
        let share = 0.9 - 0.2 * self.senses.chance();
        let lasts = lasts.min(Duration::from_secs(86_400)).mul_f64(share);
        let renew = self.senses.moment().after(lasts);
        let mut tokens = self.kept.lock();
        tokens.insert(device, (token.clone(), renew));
    }

    /// A relay did not take it.
    pub(super) fn forget(&self, device: DeviceId, token: &Token) {
        let mut tokens = self.kept.lock();
        if tokens.get(&device).is_some_and(|(kept, _)| kept == token) {
            tokens.remove(&device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_it_expires_and_when_a_relay_did_not_take_it() {
        let tokens = Tokens::new(crate::senses::fixed());
        let (old, new) = (Token::new("old".into()), Token::new("new".into()));
        tokens.keep(DeviceId(1), &old, Duration::ZERO);
        assert_eq!(tokens.of(DeviceId(1)), None);
        tokens.keep(DeviceId(1), &new, Duration::from_secs(600));
        tokens.forget(DeviceId(1), &old);
        assert_eq!(tokens.of(DeviceId(1)), Some(new.clone()));
        tokens.forget(DeviceId(1), &new);
        assert_eq!(
            (tokens.of(DeviceId(1)), tokens.of(DeviceId(2))),
            (None, None)
        );
    }

    #[test]
    fn debug_shows_no_token() {
        let token = Token::new("hunter2".into());
        assert!(!format!("{token:?}").contains("hunter2"));
    }
}
