// SPDX-License-Identifier: Apache-2.0

use std::convert::Infallible;
use std::io::Write;

use hashchain::{DataDigest, LinkHash, Tag};
use mhealth_api::{Base64, ExportedEntry, Hash, RunState, RunStatus};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

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

async fn taken(source: &Source) -> (Reading, Vec<u64>) {
    let mut cursors = Vec::new();
    let mut take = |_, run: ExportedRun, _: &mut Reading| -> Result<(), Infallible> {
        cursors.push(run.cursor);
        Ok(())
    };
    let reading = match read(source, StudyId(0), &mut take).await {
        Ok(reading) => reading,
        Err(never) => match never {},
    };
    (reading, cursors)
}

async fn of_file(text: &[u8]) -> (Reading, Vec<u64>) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text).unwrap();
    taken(&Source::File(file.path().into())).await
}

#[tokio::test]
async fn a_whole_export_is_read_with_or_without_a_last_line_feed() {
    let text = line(1) + "\n" + &line(7);
    for text in [text.as_bytes(), text.trim_end().as_bytes()] {
        let (reading, cursors) = of_file(text).await;
        assert!(reading.is_complete(), "{reading:?}");
        assert_eq!(cursors, [1, 7]);
    }
}

#[tokio::test]
async fn each_bad_line_is_a_fault_of_its_own_and_the_others_are_read() {
    let future = line(3).replacen("\"cursor\"", "\"colour\":1,\"cursor\"", 1);
    let cases: [(String, ExportFault); 4] = [
        (
            "nonsense\n".into(),
            ExportFault::Unreadable { line: 2, why: "not JSON, at column 2".into() },
        ),
        (
            future.clone(),
            ExportFault::Unreadable {
                line: 2,
                why: "a field is missing, unknown or wrong; it may be of a later version, at column 9".into(),
            },
        ),
        (line(1), ExportFault::OutOfOrder { line: 2 }),
        ("x".repeat(LONGEST_LINE + 1) + "\n", ExportFault::TooLong { line: 2 }),
    ];
    for (bad, fault) in cases {
        let (reading, cursors) = of_file((line(2) + &bad + &line(9)).as_bytes()).await;
        assert_eq!(reading.first_faults, [fault]);
        assert_eq!((cursors.first(), cursors.last()), (Some(&2), Some(&9)));
    }
}

#[tokio::test]
async fn an_export_cut_at_any_byte_of_its_last_line_is_incomplete() {
    let whole = line(1) + &line(2);
    for end in line(1).len() + 1..whole.len() - 1 {
        let (reading, cursors) = of_file(&whole.as_bytes()[..end]).await;
        assert_eq!(
            reading.first_faults,
            [ExportFault::Truncated { line: 2 }],
            "{end}"
        );
        assert_eq!(cursors, [1]);
    }
}

#[tokio::test]
async fn bytes_of_all_kinds_are_refused_without_quoting_them() {
    let mut text = line(1).into_bytes();
    text[40] = 0xff;
    let (reading, cursors) = of_file(&text).await;
    assert_eq!((reading.faults, cursors.len()), (1, 0));
    let secret = line(1).replace("\"study\":0", "\"study\":\"a patient's name\"");
    let (reading, _) = of_file(secret.as_bytes()).await;
    assert!(!format!("{reading:?}").contains("patient"));
    let (reading, _) = taken(&Source::File("/nowhere/at/all".into())).await;
    assert!(matches!(
        reading.first_faults[..],
        [ExportFault::File { .. }]
    ));
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

#[tokio::test]
async fn a_transfer_that_breaks_off_goes_on_after_the_last_whole_line() {
    let whole = line(1) + &line(2);
    let half = &whole[..whole.len() - 5];
    let (source, asked) = relay(vec![
        answer(whole.len(), half),
        answer(line(2).len(), &line(2)),
    ])
    .await;
    let (reading, cursors) = taken(&source).await;
    assert!(reading.is_complete(), "{reading:?}");
    assert_eq!(cursors, [1, 2]);
    let asked = asked.await.unwrap();
    assert!(asked[0].contains("GET /v1/export?after=0&study=0"));
    assert!(asked[0]
        .to_lowercase()
        .contains("authorization: bearer secret"));
    assert!(asked[1].contains("after=1&"));
}

#[tokio::test]
async fn a_relay_that_refuses_or_is_away_leaves_its_export_incomplete() {
    let refusal = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (source, _) = relay(vec![refusal.into()]).await;
    let (reading, _) = taken(&source).await;
    let said = "the relay answers 401 Unauthorized".to_string();
    assert_eq!(reading.first_faults, [ExportFault::BrokeOff { why: said }]);

    let (source, _) = relay(vec![answer(1_000_000, "half an ans"); 1]).await;
    let (reading, cursors) = taken(&source).await;
    assert_eq!((reading.faults, cursors.len()), (1, 0));
}
