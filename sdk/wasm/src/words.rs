// SPDX-License-Identifier: Apache-2.0

//! Sentences for participants, and an app's own texts, for TypeScript.

use std::collections::BTreeMap;

use mhealth_sdk::{Language, Sentences, Words};
use wasm_bindgen::prelude::*;

use crate::phone::thrown;

/// The sentence for an error: of its reason or code, or of what there is to do.
#[wasm_bindgen(js_name = errorSentence)]
pub fn error_sentence(code: &str, advice: &str, language: &str) -> String {
    Sentences::of(Language::of_tag(language)).for_error(code, advice)
}

/// The sentence for a status: what to do.
#[wasm_bindgen(js_name = adviceSentence)]
pub fn advice_sentence(advice: &str, code: &str, language: &str) -> String {
    Sentences::of(Language::of_tag(language)).for_advice(advice, code)
}

/// An app's own texts, in a file of Fluent.
#[wasm_bindgen(js_name = Words)]
pub struct AppWords(Words);

#[wasm_bindgen(js_class = Words)]
impl AppWords {
    /// Reads a file of one language. Throws `words_unreadable`.
    #[wasm_bindgen(constructor)]
    pub fn new(language: &str, source: &str) -> Result<Self, JsValue> {
        let words = Words::read(Language::of_tag(language), source);
        words.map(Self).map_err(thrown)
    }

    /// A text with what stands in it (`{"name": "value"}`); nothing when there is no such text.
    pub fn say(&self, name: &str, values: &str) -> Option<String> {
        let values: BTreeMap<String, String> = serde_json::from_str(values).ok()?;
        self.0.say(name, &values)
    }
}
