// SPDX-License-Identifier: Apache-2.0

//! `mhealth-auth doctor` finds what is amiss before it is needed.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use mhealth_testing::servers::Launch;

use crate::processes::launch;
use crate::support::{on_both_databases, Setting};

on_both_databases! {
    a_doctor_looks_at_the_chain_and_the_study
    a_doctor_looks_at_the_login_and_the_relays
}

/// How the doctor is called: what it is told comes by the environment.
fn doctor(setting: &Setting) -> Launch {
    launch(setting, "").env("MHEALTH_NODE_URL", &setting.node_url)
}

async fn a_doctor_looks_at_the_chain_and_the_study(setting: Setting) {
    let with = doctor(&setting);
    let said = with
        .clone()
        .env("MHEALTH_STUDY", "0")
        .run(&["doctor"])
        .unwrap();
    // A PostgreSQL has a mark where one is named.
    let mark = match setting.postgres.is_some() {
        true => "doubtful  log mark: ",
        false => "good      log mark: ",
    };
    for line in [
        "good      node: ",
        "good      study: ",
        "good      role: ",
        mark,
        " bad=0",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    // A relay of the same study has a role, and not this one.
    let relay = with.clone().env("MHEALTH_STUDY", "0");
    let relay = relay.env("MHEALTH_ACCOUNT", "//Dave").run(&["doctor"]);
    let error = relay.unwrap_err().to_string();
    assert!(
        error.contains("1 parts are not as they should be"),
        "{error}"
    );
    let nowhere = with.env("MHEALTH_STUDY", "77").run(&["doctor", "--json"]);
    let error = nowhere.unwrap_err().to_string();
    assert!(
        error.contains("1 parts are not as they should be"),
        "{error}"
    );
}

async fn a_doctor_looks_at_the_login_and_the_relays(setting: Setting) {
    let folder = setting.directory.path();
    let (config, secret) = (folder.join("auth.toml"), folder.join("oidc"));
    let here = &setting.auth.url;
    let options = format!(
        "study = 0\nrelay = ['{here}', 'http://127.0.0.1:1']\noidc-issuer = 'http://127.0.0.1:1'\n\
         oidc-client-id = 'mhealth'\noidc-grant = ['value=team,may=log,study=0']\n"
    );
    std::fs::write(&config, options).unwrap();
    std::fs::write(&secret, "hunter2").unwrap();
    let mode = |mode| std::fs::set_permissions(&secret, Permissions::from_mode(mode)).unwrap();
    let with = doctor(&setting)
        .env("MHEALTH_CONFIG", &config)
        .env("MHEALTH_OIDC_CLIENT_SECRET_FILE", &secret);
    mode(0o640);
    let error = with.run(&["doctor"]).unwrap_err().to_string();
    assert!(
        error.contains("1 parts are not as they should be"),
        "{error}"
    );
    mode(0o600);
    // It asks a server of this process.
    let said = tokio::task::block_in_place(|| with.run(&["doctor"])).unwrap();
    let good = format!("good      relays: {here} answers.");
    for line in [
        "doubtful  login: http://127.0.0.1:1 cannot be asked",
        "doubtful  relays: http://127.0.0.1:1 does not answer",
        &good,
        " bad=0",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}
