// SPDX-License-Identifier: Apache-2.0

//! Tokens, kept until shortly before they expire.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hashchain::DeviceId;
use zeroize::Zeroizing;

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
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<DeviceId, (Token, Instant)>>);

impl Tokens {
    /// A device's token, if it lasts long enough for an upload.
    pub(super) fn of(&self, device: DeviceId) -> Option<Token> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (token, renew) = tokens.get(&device)?;
        (*renew > Instant::now()).then(|| token.clone())
    }

    /// Keeps a token for nine tenths of its life, a bit less for some, so that a cohort does not renew all at once.
    pub(super) fn keep(&self, device: DeviceId, token: &Token, lasts: Duration) {
        let share = 0.9 - 0.2 * rand::random::<f64>();
        let renew = Instant::now() + lasts.min(Duration::from_secs(86_400)).mul_f64(share);
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(device, (token.clone(), renew));
    }

    /// A relay did not take it.
    pub(super) fn forget(&self, device: DeviceId, token: &Token) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        let tokens = Tokens::default();
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
        let tokens = Tokens::default();
        tokens.keep(
            DeviceId(1),
            &Token::new("hunter2".into()),
            Duration::from_secs(600),
        );
        assert!(!format!("{tokens:?}").contains("hunter2"));
    }
}
