// SPDX-License-Identifier: Apache-2.0

//! `mhealth-auth backup` and `restore`, as an operator types them: while phones enrol, and after the disk was lost.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hashchain::DeviceId;
use mhealth_api::{Code, ProofClaims, TokenAnswer, TokenRequest, DPOP};
use mhealth_auth::routes::devices::EnrolledDevice;
use mhealth_server::{Clock, SystemClock};
use mhealth_testing::servers::{sqlite_in, Launch};

use crate::processes::{enrol, issue, launch};
use crate::support::{answer, code_of, on_both_databases, ticking, Phone, Setting};

on_both_databases! {
    a_copy_that_is_made_under_load_is_put_in_place_and_every_phone_goes_on
}

/// A token of a server with a process of its own, and the clock of this machine.
pub(crate) async fn token(
    setting: &Setting,
    url: &str,
    phone: &Phone,
    device: DeviceId,
) -> Result<TokenAnswer, Code> {
    let url = format!("{url}/v1/token");
    let claims = ProofClaims::new("POST", &url, SystemClock.now(), rand::random());
    let request = setting.http.post(&url).header(DPOP, phone.proof(&claims));
    let request = request.json(&TokenRequest { device });
    answer(request.send().await.unwrap()).await
}

pub(crate) async fn enrolled(setting: &Setting, url: &str, participant: &str) -> (Phone, DeviceId) {
    let code = issue(setting, url, participant).await;
    let phone = Phone::random();
    let request = setting.request(&phone, &code.code);
    let enrolled = enrol(setting, url, &request).await.unwrap();
    (phone, enrolled.device)
}

/// What a command said, or why it failed.
fn run(launch: &Launch, command: &str, file: &Path) -> Result<String, String> {
    let file = file.display().to_string();
    launch
        .run(&[command, &file])
        .map_err(|error| error.to_string())
}

async fn a_copy_that_is_made_under_load_is_put_in_place_and_every_phone_goes_on(
    mut setting: Setting,
) {
    let node = ticking().start().unwrap();
    setting.database_url = setting.another_database();
    let launch = launch(&setting, &node.url()).arg("--relay=http://127.0.0.1:1");
    setting.admin = launch.add_admin("nurse").unwrap();
    let mut auth = launch.clone().start().unwrap();
    let url = auth.url();
    // Acknowledged before the copy begins.
    let mut before = Vec::new();
    for number in 0..4 {
        before.push(enrolled(&setting, &url, &format!("P-{number}")).await);
    }
    let open = issue(&setting, &url, "P-open").await;

    let folder = tempfile::tempdir().unwrap();
    let second = folder.path().join("second");
    let (is_copied, enrolments) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = async {
        while !is_copied.load(Ordering::SeqCst) {
            let number = enrolments.load(Ordering::SeqCst);
            enrolled(&setting, &url, &format!("Q-{number}")).await;
            for (phone, device) in &before {
                token(&setting, &url, phone, *device).await.unwrap();
            }
            enrolments.store(number + 1, Ordering::SeqCst);
        }
    };
    // One takes less time than an enrolment: they are made one after the other while some are written.
    let copying = async {
        let mut number = 0;
        loop {
            let copy = folder.path().join(format!("copy-{number}"));
            let (launch, to) = (launch.clone(), copy.clone());
            let copied = tokio::task::spawn_blocking(move || run(&launch, "backup", &to)).await;
            let said = copied.unwrap().unwrap();
            if enrolments.load(Ordering::SeqCst) >= 4 {
                is_copied.store(true, Ordering::SeqCst);
                return (copy, said);
            }
            number += 1;
        }
    };
    let ((), (copy, said)) = tokio::join!(load, copying);
    assert!(said.contains("copied "), "{said}");
    let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Nothing is replaced, neither a file nor a database.
    let error = run(&launch, "backup", &copy).unwrap_err();
    assert!(error.contains("(file_exists)"), "{error}");
    let error = run(&launch, "restore", &copy).unwrap_err();
    assert!(error.contains("(database_exists)"), "{error}");
    run(&launch, "backup", &second).unwrap();

    // The disk is lost.
    auth.kill().unwrap();
    let restored = match &setting.postgres {
        Some(postgres) => postgres.new_database().unwrap(),
        None => sqlite_in(folder.path(), "restored.db"),
    };
    let launch = launch.env("MHEALTH_DATABASE", &restored);
    let said = run(&launch, "restore", &copy).unwrap();
    assert!(
        said.contains("restored ") && said.contains("issue new ones"),
        "{said}"
    );
    let doctor = launch.clone().env("MHEALTH_NODE_URL", node.url());
    let doctor = doctor.env("MHEALTH_STUDY", "0").run(&["doctor"]).unwrap();
    assert!(doctor.contains(" bad=0"), "{doctor}");
    auth.start_again_as(launch).unwrap();
    auth.wait_until_ready().unwrap();
    let devices = setting.http.get(format!("{url}/v1/admin/devices"));
    let devices = devices.bearer_auth(&setting.admin).send().await.unwrap();
    let known: Vec<EnrolledDevice> = answer(devices).await.unwrap();
    for (phone, device) in &before {
        assert!(known.iter().any(|known| known.device == *device));
        token(&setting, &url, phone, *device).await.unwrap();
    }
    // Nobody knows whether it was redeemed since.
    let terms = setting.http.post(format!("{url}/v1/code"));
    let terms = terms.json(&serde_json::json!({ "code": open.code }));
    let terms = terms.send().await.unwrap();
    assert_eq!(code_of(terms).await, Code::CodeRevoked);
    enrolled(&setting, &url, "P-new").await;
}
