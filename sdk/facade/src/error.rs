// SPDX-License-Identifier: Apache-2.0

//! What can go wrong, for programs and for people.

use serde::Serialize;

use crate::words::{Language, Sentences};

/// Something did not work. What was sealed is kept, whatever the error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "bindings", derive(uniffi::Error))]
pub enum SdkError {
    /// The same code means the same in all languages and versions.
    Failed {
        /// Stable name in lower case and underscores; `docs/operating/apps.md` says where they are listed.
        code: String,
        /// With `device_frozen`: why the phone was stopped.
        reason: Option<String>,
        /// What the person who holds the phone should do, as in the status.
        advice: String,
        /// For developers, in English. Has no patient data and no secret. Participants are told the sentence instead.
        detail: String,
    },
}

impl SdkError {
    /// An error of the facade itself, which only the study's staff can do something about.
    pub fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Failed {
            code: code.into(),
            reason: None,
            advice: "tell_study".into(),
            detail: detail.into(),
        }
    }

    /// The stable name.
    pub fn code(&self) -> &str {
        let Self::Failed { code, .. } = self;
        code
    }

    /// What a participant is told, in a language: the sentence for the reason, for the code, or for what there is to do.
    pub fn sentence(&self, language: Language) -> String {
        let Self::Failed {
            code,
            reason,
            advice,
            ..
        } = self;
        Sentences::of(language).for_error(reason.as_deref().unwrap_or(code), advice)
    }
}

impl core::fmt::Display for SdkError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self::Failed { code, detail, .. } = self;
        write!(f, "{code}: {detail}")
    }
}

impl std::error::Error for SdkError {}
