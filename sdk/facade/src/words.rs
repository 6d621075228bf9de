// SPDX-License-Identifier: Apache-2.0

//! Sentences for participants, in the languages that there are: files of Fluent under `locales/`.

use std::collections::BTreeMap;

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource};
use unic_langid::LanguageIdentifier;

use crate::error::SdkError;

/// A language that participants are spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "bindings", derive(uniffi::Enum))]
pub enum Language {
    /// British English.
    English,
    /// German.
    German,
    /// Japanese.
    Japanese,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::English, Self::German, Self::Japanese];

    /// The language of a BCP 47 tag, as systems name their users' (`de-AT`, `ja`); English for all others.
    pub fn of_tag(tag: &str) -> Self {
        match tag.split(['-', '_']).next().map(str::to_ascii_lowercase) {
            Some(primary) if primary == "de" => Self::German,
            Some(primary) if primary == "ja" => Self::Japanese,
            _ => Self::English,
        }
    }

    /// Its tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::Japanese => "ja",
        }
    }

    /// Our sentences in it.
    fn errors(self) -> &'static str {
        match self {
            Self::English => include_str!("../locales/en/errors.ftl"),
            Self::German => include_str!("../locales/de/errors.ftl"),
            Self::Japanese => include_str!("../locales/ja/errors.ftl"),
        }
    }

    fn identifier(self) -> LanguageIdentifier {
        self.tag()
            .parse()
            .expect("a language's own tag is one; qed")
    }
}

/// Texts of one language, read from a file of Fluent.
pub struct Words {
    bundle: FluentBundle<FluentResource>,
}

impl Words {
    /// Reads texts. Error: `words_unreadable`.
    pub fn read(language: Language, source: &str) -> Result<Self, SdkError> {
        let resource = FluentResource::try_new(source.into()).map_err(|(_, errors)| {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            SdkError::new("words_unreadable", first)
        })?;
        let mut bundle = FluentBundle::new(vec![language.identifier()]);
        // The marks would show in sentences that are read aloud or compared.
        bundle.set_use_isolating(false);
        bundle
            .add_resource(resource)
            .map_err(|_| SdkError::new("words_unreadable", "a text is there twice"))?;
        Ok(Self { bundle })
    }

    /// A text with what stands in it. None when there is no such text, or it asks for more than is given.
    pub fn say(&self, name: &str, values: &BTreeMap<String, String>) -> Option<String> {
        let pattern = self.bundle.get_message(name)?.value()?;
        let mut arguments = FluentArgs::new();
        for (key, value) in values {
            // Whole numbers choose plurals.
            match value.parse::<u32>() {
                Ok(number) => arguments.set(key.clone(), number),
                Err(_) => arguments.set(key.clone(), value.clone()),
            }
        }
        let mut errors = Vec::new();
        let text = self
            .bundle
            .format_pattern(pattern, Some(&arguments), &mut errors);
        errors.is_empty().then(|| text.into_owned())
    }
}

/// What participants are told, in one language.
pub struct Sentences(Words);

impl Sentences {
    /// The sentences that this library has.
    pub fn of(language: Language) -> Self {
        Self(
            Words::read(language, language.errors())
                .expect("our own files are readable, a test reads them; qed"),
        )
    }

    /// For an error: the sentence of its code; where there is none, that of what there is to do, with the code for the study's
    /// staff.
    pub fn for_error(&self, code: &str, advice: &str) -> String {
        self.say(code, code).unwrap_or_else(|| {
            self.say(&name_of_advice(advice), code)
                .unwrap_or_else(|| self.otherwise(code))
        })
    }

    /// For a status: what the person should do. `code` is that of the last fault, for the study's staff.
    pub fn for_advice(&self, advice: &str, code: &str) -> String {
        self.say(&name_of_advice(advice), code)
            .unwrap_or_else(|| self.otherwise(code))
    }

    fn otherwise(&self, code: &str) -> String {
        self.say("otherwise", code)
            .expect("every language has this text, a test reads it; qed")
    }

    fn say(&self, name: &str, code: &str) -> Option<String> {
        let values = BTreeMap::from([("code".to_owned(), code.to_owned())]);
        self.0.say(name, &values)
    }
}

fn name_of_advice(advice: &str) -> String {
    format!("advice-{advice}")
}
