// SPDX-License-Identifier: Apache-2.0

//! Staff log in by a real OpenID Connect provider.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mhealth_api::Code;
use mhealth_auth::log::LogLine;
use mhealth_auth::login::CALLBACK;
use mhealth_auth::routes::login::{LoggedOut, NewSession};
use mhealth_auth::routes::sessions::Ended;
use mhealth_auth::store::OpenSession;
use mhealth_testing::login_provider::{LoginProvider, CLIENT};
use reqwest::redirect::Policy;
use reqwest::{Response, Url};
use serde_json::json;

use crate::support::{answer, code_of, on_both_databases, Setting, USUAL};

on_both_databases! {
    who_logs_in_may_do_what_the_claim_is_good_for
    a_token_that_does_not_hold_lets_nobody_in
    a_login_is_finished_once_by_the_browser_that_began_it
    a_provider_that_is_away_or_has_new_keys_is_told_apart
    invented_codes_at_the_same_address_keep_nobody_out
    one_administrator_ends_the_sessions_of_another
    whoever_logs_out_is_told_where_the_provider_logs_out
}

const PATIENCE: Duration = Duration::from_secs(60);
const GRANTS: &[&str] = &[
    "--oidc-grant=value=site-staff,may=codes,study=0",
    "--oidc-grant=value=chief,may=all,study=all",
    "--oidc-grant=value=of-another-study,may=all,study=7",
];
const PEOPLE: &[(&str, &[&str])] = &[
    ("alice", &["site-staff", "of-another-study"]),
    ("bob", &["cleaner", "of-another-study"]),
    ("carol", &["chief"]),
];

/// Browsers of staff, the provider, and the server.
struct House {
    setting: Setting,
    provider: LoginProvider,
}

impl House {
    async fn of(setting: Setting) -> Self {
        let provider = LoginProvider::reserve().unwrap();
        let mut house = House { setting, provider }.with_grants(GRANTS).await;
        house.start_provider();
        house
    }

    /// Starts the server again, with these grants. Its address changes.
    async fn with_grants(self, grants: &[&str]) -> Self {
        let options = [
            format!("--oidc-issuer={}", self.provider.issuer()),
            format!("--oidc-client-id={}", CLIENT.0),
            format!("--oidc-client-secret={}", CLIENT.1),
        ];
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let more = [USUAL, grants, &options].concat();
        let setting = self.setting.restart(&more).await;
        House { setting, ..self }
    }

    fn start_provider(&mut self) {
        let callback = self.setting.url(CALLBACK);
        self.provider.start(&callback, PEOPLE).unwrap();
    }

    /// Where the provider sends the browser when it is this person's.
    async fn until_callback(&self, browser: &mut Browser, who: &str) -> Url {
        let answer = browser.get(self.setting.url("/v1/admin/login")).await;
        assert_eq!(answer.status(), 303);
        let mut url = location(&answer, answer.url());
        assert_eq!(url.authority(), &self.provider.issuer()["http://".len()..]);
        url.query_pairs_mut().append_pair("login_hint", who);
        while !url.as_str().starts_with(&self.setting.url(CALLBACK)) {
            let answer = browser.get(url.clone()).await;
            url = location(&answer, &url);
        }
        url
    }

    async fn log_in(&self, who: &str) -> Response {
        let mut browser = Browser::default();
        let callback = self.until_callback(&mut browser, who).await;
        browser.get(callback).await
    }

    async fn session(&self, who: &str) -> NewSession {
        let answer = self.log_in(who).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        answer.json().await.unwrap()
    }

    async fn issue(&self, credential: &str) -> Response {
        let code = json!({ "participant": "P-017", "another": "additional" });
        let path = "/v1/admin/codes";
        self.setting.ask_as(credential, "POST", path, code).await
    }
}

/// Follows nothing by itself, and keeps cookies.
#[derive(Default)]
struct Browser {
    cookies: HashMap<String, HashMap<String, String>>,
}

impl Browser {
    async fn get(&mut self, url: impl reqwest::IntoUrl) -> Response {
        let url = url.into_url().unwrap();
        let http = reqwest::Client::builder().redirect(Policy::none());
        let kept = self.cookies.entry(url.authority().to_owned()).or_default();
        let cookies: Vec<_> = kept
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = http.build().unwrap().get(url);
        let answer = request.header("cookie", cookies.join("; ")).send().await;
        let answer = answer.unwrap();
        for set in answer.headers().get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            kept.insert(name.to_owned(), value.to_owned());
        }
        answer
    }
}

fn location(answer: &Response, from: &Url) -> Url {
    let location = answer.headers().get("location");
    let location = location.unwrap_or_else(|| panic!("no way on: {answer:?}"));
    from.join(location.to_str().unwrap()).unwrap()
}

async fn who_logs_in_may_do_what_the_claim_is_good_for(setting: Setting) {
    let house = House::of(setting).await;
    let alice = house.session("alice").await;
    assert_eq!(
        (&*alice.name, &alice.may[..]),
        ("oidc:alice", &["codes".to_owned()][..])
    );
    assert!(alice.credential.starts_with("mhealth-session-"));
    assert_eq!(house.issue(&alice.credential).await.status(), 201);
    let rotate = json!({ "why": "a test" });
    let path = "/v1/admin/keys/rotate";
    let refused = house
        .setting
        .ask_as(&alice.credential, "POST", path, rotate.clone())
        .await;
    assert_eq!(code_of(refused).await, Code::NotAllowed);
    let carol = house.session("carol").await;
    assert_eq!(carol.may, ["all"]);
    let rotated = house
        .setting
        .ask_as(&carol.credential, "POST", path, rotate)
        .await;
    assert_eq!(rotated.status(), 201);
    assert_eq!(code_of(house.log_in("bob").await).await, Code::NotAllowed);
    assert_eq!(
        code_of(house.log_in("stranger").await).await,
        Code::LoginFailed
    );

    let log = house.setting.admin_get("/v1/admin/log?after=2").await;
    let log: Vec<LogLine> = answer(log).await.unwrap();
    let told: Vec<_> = log
        .iter()
        .map(|line| (&*line.actor, &*line.action))
        .collect();
    assert_eq!(
        told,
        [
            ("oidc:alice", "logged in"),
            ("oidc:alice", "code issued"),
            ("oidc:carol", "logged in"),
            ("oidc:carol", "signing key made"),
        ]
    );
    let kept: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT hash FROM sessions")
        .fetch_all(house.setting.database.pool())
        .await
        .unwrap();
    assert!(kept.len() == 2 && kept.iter().all(|(hash,)| hash.len() == 32));

    // Out again, by oneself or by time.
    let out = async |credential: &str| {
        let path = "/v1/admin/logout";
        house
            .setting
            .ask_as(credential, "POST", path, json!({}))
            .await
    };
    assert_eq!(out(&carol.credential).await.status(), 200);
    assert_eq!(
        code_of(out(&carol.credential).await).await,
        Code::InvalidCredentials
    );
    assert_eq!(
        code_of(out(&house.setting.admin).await).await,
        Code::NotAllowed
    );
    // What the server is told today counts, also for a session that was begun before.
    let house = house
        .with_grants(&["--oidc-grant=value=site-staff,may=log,study=0"])
        .await;
    assert_eq!(
        code_of(house.issue(&alice.credential).await).await,
        Code::NotAllowed
    );
    let house = house.with_grants(GRANTS).await;
    house.setting.clock.set(alice.expires_at - 1);
    assert_eq!(house.issue(&alice.credential).await.status(), 201);
    house.setting.clock.set(alice.expires_at);
    assert_eq!(
        code_of(house.issue(&alice.credential).await).await,
        Code::SessionExpired
    );
}

async fn a_token_that_does_not_hold_lets_nobody_in(setting: Setting) {
    let house = House::of(setting).await;
    for lie in [
        "wrong-nonce",
        "no-nonce",
        "wrong-audience",
        "two-audiences",
        "wrong-issuer",
        "expired",
        "wrong-key",
        "unknown-key",
        "by-the-secret",
        "unsigned",
        "nameless",
    ] {
        let refused = house.log_in(lie).await;
        assert_eq!(code_of(refused).await, Code::LoginFailed, "{lie}");
    }
    house.session("alice").await;
    let sessions: (i64,) = sqlx::query_as("SELECT COUNT(*) FROM sessions")
        .fetch_one(house.setting.database.pool())
        .await
        .unwrap();
    assert_eq!(sessions.0, 1);
}

async fn a_login_is_finished_once_by_the_browser_that_began_it(setting: Setting) {
    let house = House::of(setting).await;
    let mut alices = Browser::default();
    let callback = house.until_callback(&mut alices, "alice").await;
    // Somebody's link leads another browser to it, with or without a login of its own.
    let mut others = Browser::default();
    assert_eq!(
        code_of(others.get(callback.clone()).await).await,
        Code::LoginFailed
    );
    let own = house.until_callback(&mut others, "carol").await;
    assert_eq!(
        code_of(others.get(callback.clone()).await).await,
        Code::LoginFailed
    );
    // The other's code under the own state: PKCE and nonce bind it.
    let pairs = |url: &Url| url.query_pairs().into_owned().collect::<HashMap<_, _>>();
    let (theirs, ours) = (pairs(&callback), pairs(&own));
    let mut mixed = own.clone();
    mixed
        .query_pairs_mut()
        .clear()
        .append_pair("state", &ours["state"])
        .append_pair("code", &theirs["code"]);
    assert_eq!(code_of(others.get(mixed).await).await, Code::LoginFailed);
    let mut elsewhere = own.clone();
    elsewhere
        .query_pairs_mut()
        .clear()
        .append_pair("state", &ours["state"])
        .append_pair("code", &ours["code"])
        .append_pair("iss", "https://another.example");
    assert_eq!(
        code_of(others.get(elsewhere).await).await,
        Code::LoginFailed
    );
    assert_eq!(others.get(own.clone()).await.status(), 200);
    // A code is good once, and the browser has forgotten the login.
    assert_eq!(code_of(others.get(own).await).await, Code::LoginFailed);
    // And a login does not wait for ever.
    let late = house.until_callback(&mut alices, "alice").await;
    house.setting.clock.advance(600);
    assert_eq!(code_of(alices.get(late).await).await, Code::LoginFailed);
}

async fn a_provider_that_is_away_or_has_new_keys_is_told_apart(setting: Setting) {
    let login = setting.get("/v1/admin/login").await;
    assert_eq!(code_of(login).await, Code::NotFound);
    let provider = LoginProvider::reserve().unwrap();
    let mut house = House { setting, provider }.with_grants(GRANTS).await;
    let login = house.setting.get("/v1/admin/login").await;
    assert_eq!(code_of(login).await, Code::LoginUnavailable);
    // Credentials that the operator made go on.
    assert_eq!(house.issue(&house.setting.admin).await.status(), 201);
    house.start_provider();
    house.session("alice").await;
    // The provider comes back with other keys, of which the server knows nothing yet.
    house.start_provider();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = house.log_in("carol").await;
        if answer.status() == 200 {
            break;
        }
        assert_eq!(code_of(answer).await, Code::LoginFailed);
        assert!(Instant::now() < deadline, "the keys are never read again");
    }
}

async fn invented_codes_at_the_same_address_keep_nobody_out(setting: Setting) {
    let provider = LoginProvider::reserve().unwrap();
    let options = [
        format!("--oidc-issuer={}", provider.issuer()),
        format!("--oidc-client-id={}", CLIENT.0),
        format!("--oidc-client-secret={}", CLIENT.1),
        "--wrong-credentials=0".into(),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let setting = setting.restart(&[GRANTS, &options].concat()).await;
    let mut house = House { setting, provider };
    house.start_provider();
    let mut browser = Browser::default();
    for _ in 0..6 {
        let mut callback = house.until_callback(&mut browser, "carol").await;
        let pairs: HashMap<_, _> = callback.query_pairs().into_owned().collect();
        callback
            .query_pairs_mut()
            .clear()
            .append_pair("state", &pairs["state"])
            .append_pair("code", "invented");
        let refused = browser.get(callback).await;
        assert_eq!(code_of(refused).await, Code::LoginFailed);
    }
    // A nurse comes on duty at the very address, and has no session yet.
    let alice = house.session("alice").await;
    assert_eq!(house.issue(&alice.credential).await.status(), 201);
}

async fn one_administrator_ends_the_sessions_of_another(setting: Setting) {
    let house = House::of(setting).await;
    let first = house.session("alice").await;
    let second = house.session("alice").await;
    let carol = house.session("carol").await;
    let listed = async || {
        let answer = house.setting.admin_get("/v1/admin/sessions").await;
        assert_eq!(answer.status(), 200);
        let listed = answer.text().await.unwrap();
        assert!(!listed.contains("mhealth-session-"), "{listed}");
        serde_json::from_str::<Vec<OpenSession>>(&listed).unwrap()
    };
    let open = listed().await;
    let names: Vec<_> = open.iter().map(|session| &*session.name).collect();
    assert_eq!(names, ["oidc:alice", "oidc:alice", "oidc:carol"]);
    assert_eq!(open[0].expires_at, first.expires_at);

    // Who may issue codes may not do this.
    let why = json!({ "why": "left the house" });
    let one = format!("/v1/admin/sessions/{}/end", open[0].id);
    let refused = house
        .setting
        .ask_as(&second.credential, "POST", &one, why.clone());
    assert_eq!(code_of(refused.await).await, Code::NotAllowed);
    let end = async |path: &str| house.setting.admin_post(path, why.clone()).await;
    assert_eq!(end(&one).await.status(), 204);
    assert_eq!(code_of(end(&one).await).await, Code::UnknownSession);
    assert_eq!(
        code_of(end("/v1/admin/sessions/4000000000/end").await).await,
        Code::UnknownSession
    );
    let ended = house.issue(&first.credential).await;
    assert_eq!(code_of(ended).await, Code::InvalidCredentials);
    assert_eq!(house.issue(&second.credential).await.status(), 201);

    // All of a person, by somebody who logged in, too.
    house.session("alice").await;
    let all = async |name: &str| {
        let body = json!({ "name": name, "why": "left the house" });
        let path = "/v1/admin/sessions/end";
        let asked = house.setting.ask_as(&carol.credential, "POST", path, body);
        answer::<Ended>(asked.await).await.unwrap().ended
    };
    assert_eq!(all("oidc:alice").await, 2);
    assert_eq!(all("oidc:alice").await, 0);
    assert_eq!(all("oidc:\0").await, 0);
    let ended = house.issue(&second.credential).await;
    assert_eq!(code_of(ended).await, Code::InvalidCredentials);
    assert_eq!(listed().await.len(), 1);
    let log = house.setting.admin_get("/v1/admin/log?limit=1000").await;
    let log: Vec<LogLine> = answer(log).await.unwrap();
    let told: Vec<_> = log
        .iter()
        .filter(|line| line.action.contains("ended"))
        .map(|line| (&*line.actor, &*line.subject, &*line.why))
        .collect();
    let first = format!("session {} of oidc:alice", open[0].id);
    assert_eq!(
        told,
        [
            ("nurse", &*first, "left the house"),
            ("oidc:carol", "2 sessions of oidc:alice", "left the house"),
        ]
    );
    // It is no ban: the provider says who may come.
    house.session("alice").await;
}

async fn whoever_logs_out_is_told_where_the_provider_logs_out(setting: Setting) {
    let mut house = House::of(setting).await;
    let mut browser = Browser::default();
    let callback = house.until_callback(&mut browser, "alice").await;
    let session: NewSession = browser.get(callback).await.json().await.unwrap();
    let out = async |house: &House, credential: &str| {
        let path = "/v1/admin/logout";
        let asked = house.setting.ask_as(credential, "POST", path, json!({}));
        answer::<LoggedOut>(asked.await).await.unwrap()
    };
    let page = out(&house, &session.credential).await.provider_logout;
    let page = page.expect("this provider has one");
    assert!(page.starts_with(&house.provider.issuer()), "{page}");
    assert!(page.contains(&format!("client_id={}", CLIENT.0)), "{page}");
    // The provider knows it, and asks the person.
    let asked = browser.get(page).await;
    assert_eq!(asked.status(), 200);
    assert!(asked.text().await.unwrap().contains("logout"));
    // A provider that is away does not keep anybody in.
    let session = house.session("carol").await;
    house.provider.stop().unwrap();
    let house = house.with_grants(GRANTS).await;
    assert_eq!(
        out(&house, &session.credential).await,
        LoggedOut {
            provider_logout: None
        }
    );
    assert_eq!(
        code_of(house.issue(&session.credential).await).await,
        Code::InvalidCredentials
    );
}
