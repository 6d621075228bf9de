// SPDX-License-Identifier: Apache-2.0

//! What participants are told.

mod codes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mhealth_sdk::{phone, Language, SdkError, Sentences, Words};

/// Names of the texts in a file of a language.
fn names(file: &str, language: Language) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file.replace('*', language.tag()));
    let source = std::fs::read_to_string(&path).expect("the file is there");
    Words::read(language, &source).expect("it is Fluent, and no text is there twice");
    let named = source.lines().filter_map(|line| line.split_once(" = "));
    named
        .filter(|(name, _)| !name.starts_with([' ', '#', '*', '[']))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[test]
fn every_text_is_there_in_every_language() {
    for file in ["locales/*/errors.ftl", "../typescript/example/texts/*.ftl"] {
        let english = names(file, Language::English);
        assert!(english.len() > 20);
        for language in Language::ALL {
            assert_eq!(names(file, language), english, "{file} in {language:?}");
        }
    }
}

#[test]
fn every_sentence_can_be_said() {
    let code = BTreeMap::from([("code".to_owned(), "a_code".to_owned())]);
    for language in Language::ALL {
        let path = format!("locales/{}/errors.ftl", language.tag());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let source = std::fs::read_to_string(path).expect("the file is there");
        let words = Words::read(language, &source).expect("it is Fluent");
        for name in names("locales/*/errors.ftl", language) {
            assert!(words.say(&name, &code).is_some(), "{name} in {language:?}");
        }
    }
}

#[test]
fn everything_that_there_is_to_do_has_a_sentence() {
    for language in Language::ALL {
        let named = names("locales/*/errors.ftl", language);
        for advice in phone::advices() {
            assert!(named.contains(&format!("advice-{advice}")), "{advice}");
        }
    }
}

#[test]
fn a_reason_says_more_than_its_code_and_a_code_more_than_advice() {
    let sentences = Sentences::of(Language::English);
    let error = |code: &str, reason: Option<&str>| SdkError::Failed {
        code: code.into(),
        reason: reason.map(Into::into),
        advice: "connect".into(),
        detail: String::new(),
    };
    let said = |error: SdkError| error.sentence(Language::English);
    let restored = said(error("device_frozen", Some("restored_backup")));
    assert_eq!(restored, sentences.for_error("restored_backup", "nothing"));
    assert!(said(error("code_used", None)).contains("used before"));
    let connect = sentences.for_advice("connect", "");
    assert_eq!(said(error("of_a_newer_server", None)), connect);
}

#[test]
fn a_store_that_cannot_be_used_is_more_than_a_browsers_private_window() {
    for language in Language::ALL {
        let said = Sentences::of(language).for_error("state_unreadable", "tell_study");
        assert!(said.contains("state_unreadable"), "{said}");
    }
}

#[test]
fn what_nobody_knows_is_named_for_the_staff() {
    for language in Language::ALL {
        let said = Sentences::of(language).for_error("of_a_newer_server", "of_a_newer_phone");
        assert!(said.contains("of_a_newer_server"), "{said}");
    }
}

#[test]
fn a_text_without_what_it_asks_for_is_none() {
    let words = Words::read(Language::English, "safe = In block { $block }.").expect("Fluent");
    assert_eq!(words.say("safe", &BTreeMap::new()), None);
    let block = BTreeMap::from([("block".to_owned(), "12345".to_owned())]);
    assert_eq!(
        words.say("safe", &block).as_deref(),
        Some("In block 12345.")
    );
}

#[test]
fn tags_name_languages() {
    let of = Language::of_tag;
    assert_eq!(
        [of("de-AT"), of("ja_JP"), of("DE")],
        [Language::German, Language::Japanese, Language::German]
    );
    assert_eq!([of("en"), of("fr"), of("")], [Language::English; 3]);
}
