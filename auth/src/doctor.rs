// SPDX-License-Identifier: Apache-2.0

//! What `mhealth-auth doctor` looks at.

use std::time::Duration;

use mhealth_server::doctor::{Condition, Doctor, DoctorOptions, Office};
use mhealth_server::{install_crypto, BaseAddress};

use crate::cli::Options;
use crate::login::Login;
use crate::mark::{self, LogMark};
use crate::store::Store;

/// How long a relay may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at what every server needs, and at what an authentication server needs beside that.
pub(crate) async fn run(options: &Options, how: DoctorOptions) -> anyhow::Result<()> {
    install_crypto();
    let mut doctor = Doctor::default();
    let studies: Vec<_> = options.auth.study.into_iter().collect();
    if studies.is_empty() {
        doctor.note("study", Condition::Bad, "None is given: --study.");
    }
    let (chain, office) = (&options.auth.chain, Office::AuthenticationServer);
    doctor
        .examine(&options.server, chain, office, &studies)
        .await;
    doctor.take("key secret", options.auth.key_secret(), |_| {
        "Signing keys are encrypted with it.".to_owned()
    });
    examine_mark(&mut doctor, options).await;
    examine_login(&mut doctor, options).await;
    examine_relays(&mut doctor, &options.auth.relays).await;
    doctor.print(how)
}

/// How far the log has come, by which an old copy of the database is known.
async fn examine_mark(doctor: &mut Doctor, options: &Options) {
    const PART: &str = "log mark";
    let Ok(url) = options.server.database_url() else {
        return;
    };
    let Some(place) = LogMark::place(options.auth.log_mark.as_deref(), &url) else {
        let detail = "There is none, so an old copy that somebody puts back goes unnoticed: give --log-mark.";
        return doctor.note(PART, Condition::Doubtful, detail);
    };
    let Some(database) = doctor.open_database(&options.server).await else {
        return;
    };
    let store = Store::as_it_is(database.clone());
    let said = mark::described(&place, &store).await;
    doctor.take(PART, said, String::clone);
    database.close().await;
}

/// The provider by which staff log in: whether the options fit, the secret can be read, and it answers.
async fn examine_login(doctor: &mut Doctor, options: &Options) {
    const PART: &str = "login";
    // Without it nothing is encrypted, and that was said.
    let Ok(key_secret) = options.auth.key_secret() else {
        return;
    };
    let own = options.auth.issuer.clone();
    // By which address browsers come back does not matter here.
    let own = own.map_or_else(|| "http://127.0.0.1".parse::<BaseAddress>(), Ok);
    let login = own.map_err(anyhow::Error::from);
    let login = login.and_then(|own| Login::from_options(&options.auth.login, &own, &key_secret));
    let login = match login {
        Ok(None) => return,
        Ok(Some(login)) => login,
        Err(error) => return doctor.note(PART, Condition::Bad, format!("{error:#}")),
    };
    match login.examine().await {
        Ok(()) => {
            let detail = format!("{} answers.", login.issuer());
            doctor.note(PART, Condition::Good, detail);
        }
        Err(error) => {
            let detail = format!(
                "{} cannot be asked, so nobody logs in: {} Credentials and sessions go on.",
                login.issuer(),
                error.problem().detail
            );
            doctor.note(PART, Condition::Doubtful, detail);
        }
    }
}

/// The relays at which tokens are good: whether they answer this machine. Phones may reach one that it does not.
async fn examine_relays(doctor: &mut Doctor, relays: &[BaseAddress]) {
    const PART: &str = "relays";
    if relays.is_empty() {
        let detail = "None is named, so tokens are good nowhere: give --relay.";
        return doctor.note(PART, Condition::Doubtful, detail);
    }
    let http = reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build();
    let http = match http {
        Ok(http) => http,
        Err(error) => return doctor.note(PART, Condition::Doubtful, error.to_string()),
    };
    for relay in relays {
        // Probes may have a place of their own; this one is at the public address.
        let asked = http.get(format!("{relay}/openapi.json")).send().await;
        let (condition, detail) = match asked {
            Ok(answer) if answer.status().is_success() => {
                (Condition::Good, format!("{relay} answers."))
            }
            Ok(answer) => {
                let status = answer.status();
                (Condition::Doubtful, format!("{relay} answers {status}."))
            }
            Err(error) => {
                let error = error.without_url();
                let detail = format!("{relay} does not answer this machine: {error}.");
                (Condition::Doubtful, detail)
            }
        };
        doctor.note(PART, condition, detail);
    }
}
