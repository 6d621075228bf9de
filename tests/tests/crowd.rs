// SPDX-License-Identifier: Apache-2.0

//! Three hundred hostile connections of one address, and who is not that address.
//!
//! Nobody else waits for longer than a second; where the machine is so busy that the same request to the same program, on which
//! nobody leans, mostly takes more than a quarter of that in the same seconds, not for more than four times as long as there. Where it
//! takes more than a second even there, nothing was shown, and the test fails with `inconclusive`.

use mhealth_testing::crowd::Site;
use mhealth_testing::databases::Kind;
use mhealth_testing::on_both_databases;

on_both_databases! {
    a_crowd_at_a_relay_keeps_nobody_out
    a_crowd_at_an_authentication_server_keeps_nobody_from_suspending_a_phone
}

async fn a_crowd_at_a_relay_keeps_nobody_out(kind: Kind) {
    let site = Site::start(kind).await.expect("the servers start");
    let strangers = site.strangers_at_the_relay(1).await;
    let strangers = strangers.expect("honest phones are let in");
    eprintln!("strangers: {strangers:?}");
    strangers.check().expect("nobody is kept out");
    let with_token = site.thieves_at_the_relay(2).await;
    let with_token = with_token.expect("honest phones are let in");
    eprintln!("with a token: {with_token:?}");
    with_token.check().expect("nobody is kept out");
}

async fn a_crowd_at_an_authentication_server_keeps_nobody_from_suspending_a_phone(kind: Kind) {
    let site = Site::start(kind).await.expect("the servers start");
    let strangers = site.strangers_at_the_office(1).await;
    let strangers = strangers.expect("honest phones and staff are let in");
    eprintln!("strangers: {strangers:?}");
    strangers.check().expect("nobody is kept out");
}
