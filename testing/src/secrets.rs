// SPDX-License-Identifier: Apache-2.0

//! What must not stand in a log.

use base64::engine::general_purpose::STANDARD;
use base64::Engine;

/// Secrets, each with what to call it when it was found.
#[derive(Default)]
pub struct Secrets(Vec<(String, String)>);

impl Secrets {
    /// One that could be told as it is.
    pub fn add(&mut self, what: &str, secret: impl Into<String>) {
        self.0.push((what.to_owned(), secret.into()));
    }

    /// One that could be told as it is, or byte for byte.
    pub fn add_text(&mut self, what: &str, secret: &str) {
        let numbers = format!("{:?}", secret.as_bytes());
        self.add(what, secret);
        self.add(
            &format!("{what} in numbers"),
            numbers.trim_matches(['[', ']']),
        );
        self.add(&format!("{what} in hexadecimal"), hex::encode(secret));
        self.add(&format!("{what} in base64"), STANDARD.encode(secret));
    }

    /// A token: its claims, and the end of its signature.
    pub fn add_token(&mut self, token: &str) {
        let claims = token.split('.').nth(1).expect("a token has three parts");
        self.add("a token's claims", claims);
        self.add("a token's end", &token[token.len() - 40..]);
    }

    /// The password in the address of a database, if it has one.
    pub fn add_password(&mut self, database: &str) {
        if let Some((_, rest)) = database.split_once("://") {
            let password = rest.split(['@', ':']).nth(1).expect("it has a password");
            self.add("the database's password", password);
        }
    }

    /// Fails when one of them stands in the log.
    pub fn assert_absent_from(&self, log: &str) {
        for (what, secret) in &self.0 {
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{what} is in the log");
        }
    }
}
