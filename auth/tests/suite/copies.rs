// SPDX-License-Identifier: Apache-2.0

//! A copy of the database, put in place of a lost one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hashchain::DeviceId;
use mhealth_api::Code;
use mhealth_auth::approvals::{ApprovalState, Request};
use mhealth_auth::log::{self, LogLine, Note};
use mhealth_auth::login::Person;
use mhealth_auth::orders::{Action, Order, Reason};
use mhealth_auth::store::{Admin, By, Session, Store};
use mhealth_server::backup::{backup, restore, CopyKind};
use mhealth_server::{Clock, Database, PartDied, Scopes};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{answer, code_of, on_both_databases, Phone, Running, Setting, USUAL};

/// How long a test waits for what comes within a second.
const PATIENCE: Duration = Duration::from_secs(60);

on_both_databases! {
    what_staff_may_have_ended_since_a_copy_is_ended_in_it
    what_may_have_changed_since_a_copy_is_not_believed
    an_old_copy_that_somebody_puts_back_by_hand_is_refused
    a_server_ends_when_a_standby_that_lacks_the_last_commits_takes_over
}

async fn what_may_have_changed_since_a_copy_is_not_believed(mut setting: Setting) {
    let (phone, enrolled) = setting.enrolled().await;
    let open = setting.code().await;
    let token = setting.token(&phone, enrolled.device).await.unwrap().token;
    let file = setting.directory.path().join("copy");
    let url = setting.database_url.parse().unwrap();
    backup(&url, &file).await.unwrap();
    // After the copy: the open code is redeemed.
    let later = Phone::random();
    let request = setting.request(&later, &open.code);
    setting.enrol(&request).await.unwrap();

    let lost = setting.another_database();
    let url = lost.parse().unwrap();
    restore(&url, &file, CopyKind::Backup, Store::mend_copy)
        .await
        .unwrap();
    let (node, clock) = (setting.node_url.clone(), setting.clock.clone());
    let relays = ["--relay=http://127.0.0.1:1/", "--relay=http://127.0.0.1:2"];
    let again = Running::start(&lost, &node, clock, &relays).await.unwrap();
    std::mem::replace(&mut setting.auth, again).stop().await;
    setting.database = Database::open(&url).await.unwrap();

    // Nobody redeems it a second time, and a token that a thief of the copy could have signed is good for nothing.
    let code = json!({ "code": open.code });
    let terms = setting.post("/v1/code", &code).await;
    assert_eq!(code_of(terms).await, Code::CodeRevoked);
    let keys = setting
        .get("/.well-known/jwks.json")
        .await
        .text()
        .await
        .unwrap();
    let header = jsonwebtoken::decode_header(&token).unwrap();
    assert!(!keys.contains(&header.kid.unwrap()), "{keys}");
    // What it knew goes on, and the log says what happened.
    setting.token(&phone, enrolled.device).await.unwrap();
    let lines: Vec<LogLine> = answer(setting.admin_get("/v1/admin/log").await)
        .await
        .unwrap();
    log::verify(mhealth_api::Hash([0; 32]), &lines).unwrap();
    let told = lines
        .iter()
        .any(|line| line.action == "database restored from a copy");
    assert!(told, "{lines:?}");
}

async fn what_staff_may_have_ended_since_a_copy_is_ended_in_it(setting: Setting) {
    let (url, now) = (setting.another_database(), setting.clock.now());
    let database = Database::open(&url.parse().unwrap()).await.unwrap();
    let store = Store::open(database).await.unwrap();
    let person = Person {
        name: "oidc:eva".into(),
        values: Vec::new(),
    };
    let eva = Admin {
        name: person.name.clone(),
        scopes: Scopes::all(),
    };
    let expires_at = now + 3_600;
    let session = Session { person, expires_at };
    let session = store.begin_session(&session, now).await.unwrap();
    let (device, reason, why) = (DeviceId(7), Reason::Lost, "as agreed");
    let request = Request::Resume { device };
    let asked = store.ask(&eva, request, why.into(), expires_at, now);
    let asked = asked.await.unwrap();
    for action in [Action::Resume, Action::Suspend { reason }, Action::Resume] {
        let order = Order {
            id: 0,
            action,
            code: None,
            device: Some(device),
            actor: eva.name.clone(),
            why: why.into(),
        };
        let note = Note {
            at: now,
            actor: &eva.name,
            action: "ordered",
            subject: "device 7",
            why,
        };
        store.order(&order, note, None).await.unwrap();
    }
    let file = setting.directory.path().join("copy");
    backup(&url.parse().unwrap(), &file).await.unwrap();

    let restored = match setting.database.is_postgres() {
        true => setting.another_database(),
        false => format!("{url}-restored"),
    };
    let restored = restored.parse().unwrap();
    restore(&restored, &file, CopyKind::Backup, Store::mend_copy)
        .await
        .unwrap();
    let store = Store::open(Database::open(&restored).await.unwrap());
    let store = store.await.unwrap();
    // Before the copy was made they were good; by now somebody may have ended them.
    assert_eq!(store.session(session.expose()).await.unwrap(), None);
    let approval = store.approval(asked.id, now).await.unwrap();
    assert_eq!(approval.unwrap().state, ApprovalState::Ended);
    // To suspend a phone twice does no harm.
    let orders = store.pending_orders(By::Staff, 10).await.unwrap();
    let actions: Vec<_> = orders.into_iter().map(|order| order.action).collect();
    assert_eq!(actions, [Action::Suspend { reason }]);
}

/// The file of an SQLite database.
fn file_of(url: &str) -> PathBuf {
    url.strip_prefix("sqlite:").expect("it is a file").into()
}

/// With its log, as somebody does who does not know `backup`.
fn copy_files(from: &Path, to: &Path) {
    for end in ["", "-wal"] {
        let name = |path: &Path| format!("{}{end}", path.display());
        std::fs::copy(name(from), name(to)).unwrap();
    }
}

/// Copies the database without the server's help.
async fn copy_by_hand(setting: &Setting, to: &Path) {
    match setting.database.is_postgres() {
        // This is `pg_dump`, and nothing beside.
        true => backup(&setting.database_url.parse().unwrap(), to)
            .await
            .unwrap(),
        false => copy_files(&file_of(&setting.database_url), to),
    }
}

/// Puts it back into another database without the server's help.
fn put_back_by_hand(setting: &Setting, copy: &Path) -> String {
    let url = setting.another_database();
    match setting.database.is_postgres() {
        true => {
            let mut restore = Command::new("pg_restore");
            restore.arg("--no-owner").arg(format!("--dbname={url}"));
            assert!(restore.arg(copy).status().unwrap().success());
        }
        false => copy_files(copy, &file_of(&url)),
    }
    url
}

/// Until the mark names the log's last line; returns that.
async fn wait_until_marked(setting: &Setting, mark: &Path) -> u64 {
    let (line, _) = setting.store.log_head().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(mark)
        .unwrap()
        .contains(&format!(" {line} "))
    {
        assert!(Instant::now() < deadline, "the log is never marked");
        tokio::task::yield_now().await;
    }
    line
}

/// Takes the last line of the log out of the database below a server, which sees what it sees when a standby takes over.
async fn forget_last_line(setting: &Setting, line: u64) {
    let guard = match setting.database.is_postgres() {
        true => "DROP TRIGGER log_is_not_changed ON log",
        false => "DROP TRIGGER log_is_not_deleted",
    };
    let pool = setting.database.pool();
    sqlx::query(guard).execute(pool).await.unwrap();
    let forgotten = sqlx::query("DELETE FROM log WHERE id = $1").bind(line as i64);
    assert_eq!(forgotten.execute(pool).await.unwrap().rows_affected(), 1);
}

async fn a_server_ends_when_a_standby_that_lacks_the_last_commits_takes_over(setting: Setting) {
    let mark = setting.directory.path().join("mark");
    let option = format!("--log-mark={}", mark.display());
    let options = [USUAL, &[option.as_str()]].concat();
    let setting = setting.restart(&options).await;
    setting.code().await;
    let line = wait_until_marked(&setting, &mark).await;
    forget_last_line(&setting, line).await;
    let ended = timeout(PATIENCE, setting.auth.ended()).await;
    let error = ended.expect("it does not go on").unwrap_err();
    assert_eq!(
        error.downcast_ref::<PartDied>(),
        Some(&PartDied("mark")),
        "{error:#}"
    );
    // Nor does it start again: the mark is as it was.
    let (url, node) = (&setting.database_url, &setting.node_url);
    let again = Running::start(url, node, setting.clock.clone(), &options).await;
    let error = format!("{:#}", again.err().expect("it is old"));
    assert!(error.contains("(database_set_back)"), "{error}");
}

async fn an_old_copy_that_somebody_puts_back_by_hand_is_refused(setting: Setting) {
    let mark = setting.directory.path().join("mark");
    let option = format!("--log-mark={}", mark.display());
    let options = [USUAL, &[option.as_str()]].concat();
    let mut setting = setting.restart(&options).await;
    let open = setting.code().await;
    let copy = setting.directory.path().join("copy");
    copy_by_hand(&setting, &copy).await;
    // After the copy the code is redeemed, and the mark says that something happened.
    let request = setting.request(&Phone::random(), &open.code);
    setting.enrol(&request).await.unwrap();
    wait_until_marked(&setting, &mark).await;

    let start = async |setting: &Setting, url: &str| {
        Running::start(url, &setting.node_url, setting.clock.clone(), &options).await
    };
    let back = put_back_by_hand(&setting, &copy);
    let error = start(&setting, &back).await.err().expect("it is old");
    let error = format!("{error:#}");
    assert!(error.contains("(database_set_back)"), "{error}");
    assert!(error.contains("restore --raw"), "{error}");
    // The database as it is starts, as often as one likes.
    setting = setting.restart(&options).await;
    // And so does the copy once it has been put in place as it should be.
    let fresh = match setting.database.is_postgres() {
        true => setting.another_database(),
        false => format!("{}-restored", setting.database_url),
    };
    let url = fresh.parse().unwrap();
    if !setting.database.is_postgres() {
        let none = restore(&url, &copy, CopyKind::Backup, Store::mend_copy).await;
        assert!(none.unwrap_err().to_string().contains("(not_a_backup)"));
    }
    restore(&url, &copy, CopyKind::Raw, Store::mend_copy)
        .await
        .unwrap();
    let restored = start(&setting, &fresh).await.unwrap();
    std::mem::replace(&mut setting.auth, restored).stop().await;
    let terms = setting
        .post("/v1/code", &json!({ "code": open.code }))
        .await;
    assert_eq!(code_of(terms).await, Code::CodeRevoked);
    // A mark that nobody can read is no reason to believe the database.
    let damaged = setting.directory.path().join("damaged");
    std::fs::write(&damaged, "log mark 7").unwrap();
    let option = format!("--log-mark={}", damaged.display());
    let (node, clock) = (setting.node_url.clone(), setting.clock.clone());
    let refused = Running::start(&fresh, &node, clock, &[option.as_str()]).await;
    let error = refused.err().expect("nobody knows").to_string();
    assert!(error.contains("(log_mark_damaged)"), "{error}");
}
