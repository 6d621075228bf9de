// SPDX-License-Identifier: Apache-2.0

//! What a credential is good for: some duties, in some studies.
//!
//! The text of a [`Scopes`] is what stands in databases and in lists: `study=0,3 may=codes,suspend`, with `all` and `none` for the
//! extremes. Text of another form is good for nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use hashchain::StudyId;
use mhealth_api::Code;

use crate::ApiError;

const ALL: &str = "all";
const NONE: &str = "none";

macro_rules! duties {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $what:literal;)*) => {
        /// Something that a person may be allowed to do. The texts are part of the interface and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Duty {
            $($(#[$doc])* $name,)*
        }

        impl Duty {
            /// Every duty.
            pub const EVERY: &'static [Self] = &[$(Self::$name),*];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// For people: the credential may, or may not, …
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }
        }
    };
}

duties! {
    /// To issue enrolment codes and to take them back.
    Codes = "codes", "issue enrolment codes";
    /// To suspend devices and to resume them.
    Suspend = "suspend", "suspend and resume devices";
    /// To retire devices.
    Retire = "retire", "retire devices";
    /// To rotate the keys that sign tokens.
    Keys = "keys", "rotate signing keys";
    /// To see whose code or device it is.
    Pseudonyms = "pseudonyms", "read pseudonyms";
    /// To read who did what, when and why.
    Log = "log", "read the log";
    /// To see who is logged in, and to end that.
    Sessions = "sessions", "see and end sessions";
    /// To read what a relay holds.
    Export = "export", "export runs";
    /// To bring orders of the holder of the participants' keys to a relay.
    Erase = "erase", "have envelopes erased";
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Duty {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::EVERY.iter().find(|duty| duty.as_str() == text);
        found.copied().ok_or_else(|| {
            let known: Vec<_> = Self::EVERY.iter().map(|duty| duty.as_str()).collect();
            format!("there is no duty {text:?}: {}", known.join(", "))
        })
    }
}

/// One of them, or all, as a person says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneOrAll<T> {
    /// This one.
    One(T),
    /// The word `all`.
    All,
}

impl<T: FromStr> FromStr for OneOrAll<T>
where
    T::Err: fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            ALL => Ok(Self::All),
            text => text
                .parse()
                .map(Self::One)
                .map_err(|error| format!("{error}; the word for everything is {ALL}")),
        }
    }
}

/// Some of them, or all, those that come to be later included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Set<T> {
    /// These.
    These(BTreeSet<T>),
    /// All.
    All,
}

/// Some studies.
pub type Studies = Set<StudyId>;
/// Some duties.
pub type Duties = Set<Duty>;

impl<T: Copy + Ord> Set<T> {
    /// None of them.
    pub fn none() -> Self {
        Self::These(BTreeSet::new())
    }

    /// Whether this is one of them.
    pub fn has(&self, one: T) -> bool {
        match self {
            Self::All => true,
            Self::These(these) => these.contains(&one),
        }
    }
}

impl<T: Copy + Ord> FromIterator<OneOrAll<T>> for Set<T> {
    fn from_iter<I: IntoIterator<Item = OneOrAll<T>>>(named: I) -> Self {
        let named = named.into_iter().map(|named| match named {
            OneOrAll::One(one) => Some(one),
            OneOrAll::All => None,
        });
        named.collect::<Option<_>>().map_or(Self::All, Self::These)
    }
}

impl<T: fmt::Display> fmt::Display for Set<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(ALL),
            Self::These(these) if these.is_empty() => f.write_str(NONE),
            Self::These(these) => {
                let these: Vec<String> = these.iter().map(T::to_string).collect();
                f.write_str(&these.join(","))
            }
        }
    }
}

impl<T: FromStr + Ord> FromStr for Set<T> {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            ALL => Ok(Self::All),
            NONE => Ok(Self::These(BTreeSet::new())),
            text => {
                let these = text.split(',').map(|one| one.parse().map_err(|_| ()));
                these.collect::<Result<_, ()>>().map(Self::These)
            }
        }
    }
}

/// What a credential is good for: these duties in these studies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes {
    /// In which studies.
    pub studies: Studies,
    /// Which duties.
    pub duties: Duties,
}

impl Scopes {
    /// Everything that its role may do, in every study of the server.
    pub fn all() -> Self {
        Self {
            studies: Studies::All,
            duties: Duties::All,
        }
    }

    /// Nothing at all.
    pub fn nothing() -> Self {
        Self {
            studies: Studies::none(),
            duties: Duties::none(),
        }
    }

    /// Whether it is good for a duty in a study.
    pub fn allow(&self, duty: Duty, study: StudyId) -> bool {
        self.duties.has(duty) && self.studies.has(study)
    }

    /// `not_allowed`, with what it lacks, unless it is good for one of these duties in the study.
    pub fn check(&self, duties: &[Duty], study: StudyId) -> Result<(), ApiError> {
        let detail = if !duties.iter().any(|duty| self.duties.has(*duty)) {
            let names: Vec<_> = duties.iter().map(|duty| duty.as_str()).collect();
            let what: Vec<_> = duties.iter().map(|duty| duty.what()).collect();
            format!(
                "Who has this credential may not {}; the duty for that is {}.",
                what.join(", nor "),
                names.join(" or ")
            )
        } else if !self.studies.has(study) {
            format!("This credential is not for study {study}.")
        } else {
            return Ok(());
        };
        Err(ApiError::new(Code::NotAllowed, detail))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "study={} may={}", self.studies, self.duties)
    }
}

/// The text is not one that this program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this does not say what a credential is good for")]
pub struct UnknownScopes;

impl FromStr for Scopes {
    type Err = UnknownScopes;

    fn from_str(text: &str) -> Result<Self, UnknownScopes> {
        let read = || {
            let (studies, duties) = text.split_once(' ')?;
            Some(Self {
                studies: studies.strip_prefix("study=")?.parse().ok()?,
                duties: duties.strip_prefix("may=")?.parse().ok()?,
            })
        };
        // Written otherwise, it may have been meant otherwise.
        read()
            .filter(|scopes: &Self| scopes.to_string() == text)
            .ok_or(UnknownScopes)
    }
}

/// For which studies a credential is good. There is no default: who wants everything says so.
#[derive(Clone, Debug, clap::Args)]
pub struct StudyOption {
    /// Number of a study that it is good for, or all. May be given several times, or separated by commas.
    #[arg(
        long = "study",
        value_name = "NUMBER|all",
        required = true,
        value_delimiter = ','
    )]
    pub studies: Vec<OneOrAll<StudyId>>,
}

impl StudyOption {
    /// These studies.
    pub fn studies(&self) -> Studies {
        self.studies.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some<T: Copy + Ord>(these: &[T]) -> Set<T> {
        Set::These(these.iter().copied().collect())
    }

    #[test]
    fn scopes_are_read_back_as_they_were_written() {
        let codes_and_keys = some(&[Duty::Keys, Duty::Codes]);
        for (studies, duties, text) in [
            (Studies::All, Duties::All, "study=all may=all"),
            (Studies::none(), Duties::none(), "study=none may=none"),
            (
                some(&[StudyId(7), StudyId(0)]),
                codes_and_keys,
                "study=0,7 may=codes,keys",
            ),
        ] {
            let scopes = Scopes { studies, duties };
            assert_eq!(scopes.to_string(), text);
            assert_eq!(text.parse(), Ok(scopes));
        }
        for duty in Duty::EVERY {
            assert_eq!(duty.as_str().parse(), Ok(*duty));
        }
    }

    #[test]
    fn what_was_written_otherwise_is_understood_by_nobody() {
        for text in [
            "",
            "all",
            "study=all",
            "may=all study=all",
            "study=all may=all more",
            "study= may=codes",
            "study=0,all may=codes",
            "study=00 may=codes",
            "study=-1 may=codes",
            "study=0 may=codes,everything",
            "study=0 may=keys,codes",
            "study=0  may=codes",
        ] {
            assert_eq!(text.parse::<Scopes>(), Err(UnknownScopes), "{text:?}");
        }
    }

    #[test]
    fn a_credential_is_good_for_its_duties_in_its_studies() {
        let scopes = Scopes {
            studies: some(&[StudyId(1), StudyId(2)]),
            duties: some(&[Duty::Codes]),
        };
        assert_eq!(scopes.check(&[Duty::Codes, Duty::Keys], StudyId(2)), Ok(()));
        for (duty, study, lacks) in [
            (Duty::Keys, 1, "the duty for that is keys"),
            (Duty::Codes, 3, "not for study 3"),
        ] {
            let error = scopes.check(&[duty], StudyId(study)).unwrap_err();
            assert_eq!(error.problem().known_code(), Some(Code::NotAllowed));
            assert!(error.problem().detail.contains(lacks), "{error:?}");
        }
        for duty in Duty::EVERY {
            assert!(Scopes::all().allow(*duty, StudyId(9)));
            assert!(!Scopes::nothing().allow(*duty, StudyId(9)));
        }
    }

    #[test]
    fn all_is_all_whatever_stands_beside_it() {
        let named: Vec<OneOrAll<StudyId>> = ["3", "all"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        assert_eq!(named.iter().copied().collect::<Studies>(), Studies::All);
        assert_eq!(
            named[..1].iter().copied().collect::<Studies>(),
            some(&[StudyId(3)])
        );
        assert!("everything".parse::<OneOrAll<StudyId>>().is_err());
    }
}
