// SPDX-License-Identifier: Apache-2.0

//! Options of the login.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{bail, Context};
use mhealth_server::scopes::{Duties, OneOrAll, Studies};
use mhealth_server::SecretText;

use crate::cli::staff_duty;

/// Options of the login by the provider of the house (OpenID Connect).
#[derive(Clone, Debug, clap::Args)]
pub struct LoginOptions {
    /// Issuer of the OpenID Connect provider by which staff log in, such as `https://login.example.org`: https, or this machine.
    #[arg(long, value_name = "URL", env = "MHEALTH_OIDC_ISSUER")]
    pub oidc_issuer: Option<String>,

    /// By which name the provider knows this server.
    #[arg(long, value_name = "NAME", env = "MHEALTH_OIDC_CLIENT_ID")]
    pub oidc_client_id: Option<String>,

    /// The secret by which the provider knows it, if it gave one.
    #[arg(
        long,
        value_name = "SECRET",
        env = "MHEALTH_OIDC_CLIENT_SECRET",
        hide_env_values = true
    )]
    pub oidc_client_secret: Option<SecretText>,

    /// File that has this secret. Nobody but its owner may be able to read it.
    #[arg(
        long,
        value_name = "FILE",
        env = "MHEALTH_OIDC_CLIENT_SECRET_FILE",
        conflicts_with = "oidc_client_secret"
    )]
    pub oidc_client_secret_file: Option<PathBuf>,

    /// Address to which the provider sends browsers back, as it is registered there. Default: the server's base address and
    /// /v1/admin/callback.
    #[arg(long, value_name = "URL")]
    pub oidc_callback: Option<String>,

    /// Address to which the provider sends browsers after it has logged somebody out, as it is registered there.
    #[arg(long, value_name = "URL")]
    pub oidc_after_logout: Option<String>,

    /// What to ask the provider for beside `openid`, such as `groups`. May be given several times.
    #[arg(long = "oidc-scope", value_name = "SCOPE")]
    pub oidc_scopes: Vec<String>,

    /// Claim of the ID token that says what a person may do: a text or a list of texts.
    #[arg(long, value_name = "CLAIM", default_value = "roles")]
    pub oidc_claim: String,

    /// Claim of the ID token that names the person in the log. Choose none that people can change themselves, or that is given to
    /// somebody else later: `sub` is neither.
    #[arg(long, value_name = "CLAIM", default_value = "sub")]
    pub oidc_name_claim: String,

    /// What somebody may do whose claim has this value: value=TEXT,may=DUTY+DUTY…,study=NUMBER, with all for every duty and for
    /// every study. May be given several times.
    #[arg(long = "oidc-grant", value_name = "GRANT")]
    pub oidc_grants: Vec<Grant>,

    /// Seconds that a login is good.
    #[arg(long, value_name = "SECONDS", default_value = "3600",
        value_parser = clap::value_parser!(u64).range(60..=43_200))]
    pub session_lifetime: u64,
}

impl LoginOptions {
    /// What people may do who log in. A login by which nobody may do anything is a mistake.
    pub(crate) fn grants(&self) -> anyhow::Result<Vec<Grant>> {
        if self.oidc_issuer.is_some() && self.oidc_grants.is_empty() {
            bail!("a login without --oidc-grant lets nobody do anything");
        }
        Ok(self.oidc_grants.clone())
    }

    /// The secret, wherever it is.
    pub fn client_secret(&self) -> anyhow::Result<Option<SecretText>> {
        match &self.oidc_client_secret_file {
            Some(file) => Ok(Some(SecretText::from_file(file)?)),
            None => Ok(self.oidc_client_secret.clone()),
        }
    }
}

/// What somebody may do whose claim has this value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The value.
    pub value: String,
    /// The duties.
    pub duties: Duties,
    /// In these studies.
    pub studies: Studies,
}

impl FromStr for Grant {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (mut value, mut duties, mut studies) = (None, None, None);
        for member in text.split(',') {
            let (key, text) = member.split_once('=').context("expected key=value,…")?;
            match key.trim() {
                "value" => value = Some(text.to_owned()),
                "may" => duties = Some(parts(text, staff_duty)?),
                "study" => studies = Some(parts(text, |text| text.parse())?),
                other => bail!("{other} is unknown: give value, may and study"),
            }
        }
        let value: String = value.context("value is missing")?;
        if value.trim().is_empty() {
            bail!("value is empty");
        }
        Ok(Self {
            value,
            duties: duties.context("may is missing")?,
            studies: studies.context("study is missing")?,
        })
    }
}

/// Parts of a text with plus signs between them.
fn parts<T, C: FromIterator<OneOrAll<T>>>(
    text: &str,
    part: impl Fn(&str) -> Result<OneOrAll<T>, String>,
) -> anyhow::Result<C> {
    let parts = text.split('+').map(|text| part(text.trim()));
    parts
        .collect::<Result<C, String>>()
        .map_err(anyhow::Error::msg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_says_what_a_value_is_good_for() {
        let grant: Grant = "value=site staff,may=codes+suspend,study=0+3"
            .parse()
            .unwrap();
        assert_eq!(grant.value, "site staff");
        assert_eq!(grant.duties.to_string(), "codes,suspend");
        assert_eq!(grant.studies.to_string(), "0,3");
        let all: Grant = "study=all,may=all,value=chief".parse().unwrap();
        assert_eq!((all.duties, all.studies), (Duties::All, Studies::All));
        for bad in [
            "",
            "value=x",
            "value=x,may=codes",
            "value=x,study=0",
            "may=codes,study=0",
            "value=,may=codes,study=0",
            "value=x,may=export,study=0",
            "value=x,may=fly,study=0",
            "value=x,may=,study=0",
            "value=x,may=codes,study=many",
            "value=x,may=codes,study=0,more=1",
        ] {
            assert!(bad.parse::<Grant>().is_err(), "{bad}");
        }
    }
}
