// SPDX-License-Identifier: Apache-2.0

mod signed;

use std::convert::Infallible;
use std::io::Write;
use std::time::Duration;

use hashchain::{DataDigest, DeviceId, LinkHash, Tag};
use mhealth_api::{Base64, BlockRef, ExportedEntry, ExportedRun, Hash, RunState, RunStatus};
use mhealth_chain_client::Account;
use mhealth_testing::export::Signer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const CHAIN: [u8; 32] = [3; 32];

fn run(cursor: u64) -> ExportedRun {
    ExportedRun {
        cursor,
        status: RunStatus {
            run: Hash([0; 32]),
            device: DeviceId(1),
            sequence: cursor,
            entries: 1,
            head: LinkHash([0; 32]),
            state: RunState::Finalised,
            block: None,
            extrinsic_index: None,
            reason: None,
        },
        study: StudyId(0),
        previous: LinkHash([0; 32]),
        entries: vec![ExportedEntry {
            digest: DataDigest([1; 32]),
            tag: Tag([2; 32]),
            envelope: Base64(vec![1, 2, 3]),
        }],
        signature: None,
        received_at: 1,
    }
}

fn line(cursor: u64) -> String {
    serde_json::to_string(&run(cursor)).unwrap() + "\n"
}

fn signer(account: &str) -> Signer {
    Signer {
        account: Account::from_secret_uri(account).unwrap(),
        chain: Hash(CHAIN),
        study: StudyId(0),
        block: BlockRef {
            number: 9,
            hash: Hash([9; 32]),
        },
    }
}

fn dave() -> [u8; 32] {
    signer("//Dave").account.public_key()
}

/// What Dave signed of these runs.
fn signed(after: u64, cursors: &[u64], more: bool) -> String {
    let runs: Vec<ExportedRun> = cursors.iter().map(|cursor| run(*cursor)).collect();
    signer("//Dave").answer(after, &runs, more)
}

fn expected() -> Expected {
    Expected {
        chain: CHAIN,
        study: StudyId(0),
        holder: Holder::Relay,
        limits: Limits::default(),
    }
}

/// What was read, and the cursors of the runs that were not dropped again.
async fn taken(source: &Source, expected: &Expected) -> (Reading, Vec<u64>) {
    let (mut kept, mut open) = (Vec::new(), Vec::new());
    let mut take = |taken: Taken, _: &mut Reading| -> Result<(), Infallible> {
        match taken {
            Taken::Run { run, .. } => open.push(run.cursor),
            Taken::Signed { .. } => kept.append(&mut open),
            Taken::Dropped => open.clear(),
        }
        Ok(())
    };
    let reading = match read(source, expected, &mut take).await {
        Ok(reading) => reading,
        Err(never) => match never {},
    };
    kept.extend(open);
    (reading, kept)
}

async fn of_file_as(text: &[u8], expected: &Expected) -> (Reading, Vec<u64>) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text).unwrap();
    taken(&Source::File(file.path().into()), expected).await
}

async fn of_file(text: impl AsRef<[u8]>) -> (Reading, Vec<u64>) {
    of_file_as(text.as_ref(), &expected()).await
}

#[tokio::test]
async fn a_whole_export_is_read_with_or_without_a_last_line_feed() {
    let text = signed(0, &[1, 7], false);
    for text in [text.as_str(), text.trim_end()] {
        let (reading, cursors) = of_file(text).await;
        assert!(reading.is_complete(), "{reading:?}");
        assert_eq!((reading.account, reading.answers), (Some(dave()), 1));
        assert_eq!(reading.block.unwrap().number, 9);
        assert_eq!(cursors, [1, 7]);
    }
}

#[tokio::test]
async fn each_bad_line_is_a_fault_of_its_own_and_the_others_are_read() {
    let future = line(3).replacen("\"cursor\"", "\"colour\":1,\"cursor\"", 1);
    let why = "a field is missing, unknown or wrong; it may be of a later version, at column 9";
    let unreadable = |why: &str| ExportFault::Unreadable {
        line: 2,
        why: why.into(),
    };
    let mut long = run(3);
    long.entries = vec![long.entries[0].clone(); hashchain::MAX_RUN_LENGTH + 1];
    let long = serde_json::to_string(&long).unwrap() + "\n";
    // A reason is a word, and no text.
    let state = "\"state\":\"refused\",\"reason\":\"";
    let bomb = line(3).replacen("\"state\":\"finalised", state, 1);
    let bomb = bomb.replacen(state, &format!("{state}{}", "a".repeat(200_000)), 1);
    let (reading, _) = of_file(line(2) + &bomb).await;
    assert!(matches!(
        reading.first_faults[0],
        ExportFault::Unreadable { .. }
    ));
    let cases: [(String, ExportFault); 6] = [
        ("nonsense\n".into(), unreadable("not JSON, at column 2")),
        (future, unreadable(why)),
        (line(1), ExportFault::OutOfOrder { line: 2 }),
        (
            "x".repeat(LONGEST_LINE + 1) + "\n",
            ExportFault::TooLong { line: 2 },
        ),
        (" \n".into(), ExportFault::Blank { line: 2 }),
        (long, ExportFault::TooManyEntries { line: 2 }),
    ];
    for (bad, fault) in cases {
        let lines = line(2) + &bad + &line(9);
        // Signed as it is: whoever signs nonsense answers for it.
        let signer = signer("//Dave");
        let closing = signer.closing(&lines, 0, 9, false);
        let text = lines + &mhealth_testing::export::closing_line(closing);
        let (reading, cursors) = of_file(text).await;
        assert_eq!(reading.first_faults, [fault]);
        assert_eq!(reading.account, Some(dave()));
        assert_eq!((cursors.first(), cursors.last()), (Some(&2), Some(&9)));
    }
}

#[tokio::test]
async fn an_export_cut_at_any_byte_is_incomplete() {
    let whole = signed(0, &[1, 2], false);
    for end in 0..whole.len() - 1 {
        let (reading, cursors) = of_file(&whole.as_bytes()[..end]).await;
        let faults = &reading.first_faults;
        assert!(!reading.is_complete(), "{end}");
        assert_eq!(reading.account, None, "{end}: {faults:?}");
        assert!(cursors.len() <= 2);
        let within_a_line = !whole[..end].is_empty() && !whole[..end].ends_with('\n');
        let truncated = |fault: &ExportFault| matches!(fault, ExportFault::Truncated { .. });
        // A line may be whole but for its line feed.
        assert!(within_a_line || !faults.iter().any(truncated), "{end}");
    }
}

#[tokio::test]
async fn bytes_of_all_kinds_are_refused_without_quoting_them() {
    let mut text = line(1).into_bytes();
    text[40] = 0xff;
    let (reading, cursors) = of_file(&text).await;
    assert_eq!((reading.faults, cursors.len()), (2, 0));
    let secret = line(1).replace("\"study\":0", "\"study\":\"a patient's name\"");
    let (reading, _) = of_file(&secret).await;
    assert!(!format!("{reading:?}").contains("patient"));
    let nowhere = Source::File("/nowhere/at/all".into());
    let (reading, _) = taken(&nowhere, &expected()).await;
    assert!(matches!(reading.first_faults[0], ExportFault::File { .. }));
}

#[tokio::test]
async fn an_export_ends_at_each_of_its_bounds() {
    let limits = Limits::default();
    let lines: String = (1..=50).map(line).collect();
    let cases = [
        (
            Limits { lines: 7, ..limits },
            lines.clone(),
            ExportFault::TooManyLines { limit: 7 },
        ),
        (
            Limits {
                bytes: 1_000,
                ..limits
            },
            lines.clone(),
            ExportFault::TooManyBytes { limit: 1_000 },
        ),
        (
            Limits {
                faults: 3,
                ..limits
            },
            "\n".repeat(1_000_000),
            ExportFault::TooManyFaults { limit: 3 },
        ),
    ];
    for (limits, text, fault) in cases {
        let bounded = Expected {
            limits,
            ..expected()
        };
        let (reading, cursors) = of_file_as(text.as_bytes(), &bounded).await;
        assert!(reading.first_faults.contains(&fault), "{reading:?}");
        assert!(reading.faults < 10 && cursors.len() <= 7);
    }
    let of_study = limits.lines_of(1_000, 10);
    assert_eq!(of_study.lines, 1_000_000 + 4 * 1_000 + 64 * 10);
    assert_eq!(of_study.entries_of(1_000), 65_536 + 4 * 1_000);
    assert_eq!(of_study.entries_of(u64::MAX), u64::MAX);
}

/// A relay that gives these answers, one a connection, and tells what it was asked.
async fn relay(answers: Vec<String>) -> (Source, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            asked.push(String::from_utf8_lossy(&request[..length]).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    let credential = Zeroizing::new("secret".to_string());
    (Source::Relay { url, credential }, asked)
}

fn answer(length: usize, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn whole(body: &str) -> String {
    answer(body.len(), body)
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again_after_the_last_that_was_closed() {
    let first = signed(0, &[1, 2], true);
    let second = signed(2, &[5, 6], false);
    let half = &second[..second.len() / 2];
    let answers = vec![whole(&first), answer(second.len(), half), whole(&second)];
    let (source, asked) = relay(answers).await;
    let (reading, cursors) = taken(&source, &expected()).await;
    assert!(reading.is_complete(), "{reading:?}");
    assert_eq!((reading.account, reading.answers), (Some(dave()), 2));
    assert_eq!((reading.runs, cursors), (4, vec![1, 2, 5, 6]));
    let asked = asked.await.unwrap();
    assert!(asked[0].contains("GET /v1/export?study=0&after=0 "));
    assert!(asked[0]
        .to_lowercase()
        .contains("authorization: bearer secret"));
    for later in &asked[1..] {
        assert!(later.contains("after=2 "), "{later}");
    }
}

#[tokio::test]
async fn a_relay_that_refuses_or_is_away_or_signs_nothing_leaves_its_export_incomplete() {
    let refusal = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (source, _) = relay(vec![refusal.into()]).await;
    let (reading, _) = taken(&source, &expected()).await;
    let why = "the relay answers 401 Unauthorized".to_string();
    assert_eq!(reading.first_faults[0], ExportFault::BrokeOff { why });

    let (source, _) = relay(vec![answer(1_000_000, "half an ans"); 1]).await;
    let (reading, cursors) = taken(&source, &expected()).await;
    assert!(!reading.is_complete() && cursors.is_empty());

    let (source, _) = relay(vec![whole(&line(1))]).await;
    let (reading, cursors) = taken(&source, &expected()).await;
    assert_eq!(reading.first_faults, [ExportFault::Unsigned { line: 0 }]);
    assert_eq!((reading.account, cursors), (None, vec![1]));

    // More, it says, and shows none, over and over.
    let (source, _) = relay(vec![whole(&signed(0, &[], true)); 9]).await;
    let (reading, _) = taken(&source, &expected()).await;
    assert!(matches!(
        reading.first_faults[0],
        ExportFault::BrokeOff { .. }
    ));
}

/// A relay that sends the head of an answer, and then these bytes over and over.
async fn endless(bytes: &'static [u8], pause: Duration) -> Source {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
            let mut sent = stream.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(bytes).await;
                tokio::time::sleep(pause).await;
            }
        }
    });
    let credential = Zeroizing::new("secret".to_string());
    Source::Relay { url, credential }
}

#[tokio::test]
async fn a_relay_that_never_ends_does_not_keep_the_auditor() {
    // As fast as it can, line feeds only.
    let source = endless(b"\n\n\n\n\n\n\n\n", Duration::ZERO).await;
    let mut bounded = expected();
    bounded.limits.answer = Duration::from_secs(30);
    let (reading, _) = taken(&source, &bounded).await;
    let faults = reading.faults;
    assert!((1_000..2_000).contains(&faults), "{faults}");

    // A few bytes now and then: each is in time, and the answer never ends.
    let mut impatient = expected();
    impatient.limits.answer = Duration::from_millis(300);
    let source = endless(b" ", Duration::from_millis(20)).await;
    let (reading, _) = taken(&source, &impatient).await;
    assert_eq!(reading.first_faults[0], ExportFault::TooSlow);
    let mut impatient = expected();
    impatient.limits.time = Duration::from_millis(300);
    let (reading, _) = taken(&source, &impatient).await;
    assert_eq!(reading.first_faults[0], ExportFault::TooSlow);
}
