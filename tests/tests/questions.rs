// SPDX-License-Identifier: Apache-2.0

//! What a question to a node costs: a real node, with a state in which each function of the runtime API has as much to do as it can.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use codec::{Decode, Encode};
use mhealth_runtime::{AccountId, Runtime};
use mhealth_testing::node::{changed_specification, Launch};
use pallet_client_hashchain::{
    ConflictOf, Conflicts, DeviceByKey, DeviceConflictsOf, DeviceHead, DeviceRecordOf,
    DeviceStatus, Devices, HeadPage, HeadPages, JournalEntry, JournalLength, JournalPage,
    JournalPages, NextDeviceId, ENTRIES_PER_PAGE, HEADS_PER_PAGE,
};
use pallet_client_hashchain_runtime_api::{ConflictsView, EntriesPage, EntryView, RotationsPage};
use pallet_studies::{Rotation, Rotations, Studies, StudyOf, StudyPolicy, StudyStatus};
use serde_json::{json, Value};
use sp_core::H256;
use support::{PlainJsonRpc, Setting};
use tempfile::TempDir;

/// Pages of the journal, on each of which the device has an entry.
const PAGES: u64 = 1_500;
/// Entries of a page.
const PER_PAGE: u64 = ENTRIES_PER_PAGE as u64;
/// Pages and entries that one answer of `entries` reads, entries of `journal`, accounts of `rotations`.
const MOST: u64 = 1_024;
/// Accounts that changed in study 0.
const ROTATED: u64 = 3_000;
const STUDY: u32 = 0;
const DEVICE: u32 = 0;
const KEY: [u8; 32] = [9; 32];

/// How long a question may take.
const PATIENCE: Duration = Duration::from_millis(100);

/// A node whose first block has that state. It makes no blocks.
struct Grown {
    setting: Setting,
    _folder: TempDir,
}

impl Grown {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("grown.json");
        let written = changed_specification(&file, &["--raw"], |specification| {
            grow(&mut specification["genesis"]["raw"]["top"]);
        });
        written.expect("written");
        let launch = Launch::bare().arg(format!("--chain={}", file.display()));
        Self {
            setting: Setting::start(launch).await,
            _folder: folder,
        }
    }
}

fn account(number: u64) -> AccountId {
    AccountId::new(sp_io::hashing::blake2_256(&number.encode()))
}

/// Puts into a genesis what a chain has that is old and was treated badly.
fn grow(top: &mut Value) {
    let mut put = |key: Vec<u8>, value: Vec<u8>| {
        top[hexadecimal(&key)] = hexadecimal(&value).into();
    };
    let last = PAGES - 1;
    let head = DeviceHead {
        length: PAGES,
        latest: last * PER_PAGE,
        hash: H256::repeat_byte(1),
        study: STUDY,
        status: DeviceStatus::Active,
    };
    let heads = HeadPage::truncate_from(vec![head; HEADS_PER_PAGE as usize]);
    put(HeadPages::<Runtime>::hashed_key_for(0u32), heads.encode());
    put(
        NextDeviceId::<Runtime>::hashed_key().to_vec(),
        HEADS_PER_PAGE.encode(),
    );
    let record = DeviceRecordOf::<Runtime> {
        key: KEY,
        secret_commitment: H256::zero(),
        escrow: vec![9; 128].try_into().expect("as long as may be"),
        auditor_epoch: 0,
        participant: H256::zero(),
        genesis: H256::zero(),
        predecessor: None,
        successor: None,
        trusted: None,
        enrolled_at: 1,
        retires_at: None,
    };
    put(Devices::<Runtime>::hashed_key_for(DEVICE), record.encode());
    put(DeviceByKey::<Runtime>::hashed_key_for(KEY), DEVICE.encode());
    for page in 0..PAGES {
        let entry = |device| JournalEntry {
            device,
            sequence: page + 1,
            digest: H256::repeat_byte(2),
            hash: H256::repeat_byte(3),
            previous: page.checked_sub(1).map(|before| before * PER_PAGE),
        };
        // What others brought stands between.
        let mut entries = vec![entry(DEVICE + 1); PER_PAGE as usize];
        entries[0] = entry(DEVICE);
        put(
            JournalPages::<Runtime>::hashed_key_for(page),
            JournalPage::truncate_from(entries).encode(),
        );
    }
    put(
        JournalLength::<Runtime>::hashed_key().to_vec(),
        (PAGES * PER_PAGE).encode(),
    );
    let conflict = ConflictOf::<Runtime> {
        sequence: 1,
        recorded: H256::zero(),
        rival: H256::zero(),
        rival_digest: Some(H256::zero()),
        signed: true,
        submitter: account(0),
        block: 1,
    };
    let conflicts = DeviceConflictsOf::<Runtime> {
        stored: vec![conflict; 16].try_into().expect("as many as may be"),
        not_stored: 1,
    };
    put(
        Conflicts::<Runtime>::hashed_key_for(DEVICE),
        conflicts.encode(),
    );
    let study = StudyOf::<Runtime> {
        sponsor: account(0),
        policy: StudyPolicy::DeviceSigned,
        status: StudyStatus::Open,
        auditor_key: [7; 32],
        title: vec![b'x'; 128].try_into().expect("as long as may be"),
        former_auditor_keys: vec![[8; 32]; 63].try_into().expect("as many as may be"),
    };
    put(Studies::<Runtime>::hashed_key_for(STUDY), study.encode());
    for number in 0..ROTATED {
        let rotation = Rotation {
            successor: Some(account(ROTATED + number)),
            generation: 0,
        };
        put(
            Rotations::<Runtime>::hashed_key_for(STUDY, account(number)),
            rotation.encode(),
        );
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// Asks a function of the runtime API at the best block.
async fn ask(node: &PlainJsonRpc, function: &str, arguments: &[u8]) -> Vec<u8> {
    let function = json!(format!("HashchainApi_{function}"));
    let arguments = json!(hexadecimal(arguments));
    let answer = node.request("state_call", &[function, arguments]).await;
    let answer: String = answer.expect("the node answers");
    hex::decode(answer.trim_start_matches("0x")).expect("it is hexadecimal")
}

async fn asked<T: Decode>(node: &PlainJsonRpc, function: &str, arguments: impl Encode) -> T {
    let answer = ask(node, function, &arguments.encode()).await;
    T::decode(&mut &answer[..]).expect("the answer has this type")
}

/// Each function with arguments for which it has most to do.
fn questions() -> Vec<(&'static str, Vec<u8>)> {
    let from_head = None::<u64>;
    let all = u32::MAX;
    vec![
        ("device", DEVICE.encode()),
        ("device_by_key", KEY.encode()),
        ("head", DEVICE.encode()),
        ("entries", (DEVICE, 1u64, all, from_head).encode()),
        // From within a page, so that one page more is read.
        ("journal", (32u64, all).encode()),
        ("journal_length", Vec::new()),
        ("conflicts", DEVICE.encode()),
        ("retirement_delay", Vec::new()),
        ("study", STUDY.encode()),
        ("rotations", (STUDY, None::<AccountId>).encode()),
        ("has_role", account(0).encode()),
        ("head_proof_keys", DEVICE.encode()),
    ]
}

/// The names of the functions, as they are declared.
fn declared() -> BTreeSet<String> {
    let source = fs::read_to_string("../pallets/client-hashchain/runtime-api/src/lib.rs");
    let source = source.expect("the runtime API is declared there");
    let (_, functions) = source
        .split_once("decl_runtime_apis!")
        .expect("it declares functions");
    let names = functions.lines().filter_map(|line| {
        let (name, _) = line.trim_start().strip_prefix("fn ")?.split_once('(')?;
        Some(name.to_owned())
    });
    names.collect()
}

#[test]
fn every_function_of_the_runtime_api_is_asked() {
    let asked = questions().into_iter().map(|(name, _)| name.to_owned());
    assert_eq!(asked.collect::<BTreeSet<_>>(), declared());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_reads_so_much_and_says_where_the_next_goes_on() {
    let grown = Grown::start().await;
    let node = grown.setting.plain_json_rpc().await;

    // As many entries as one answer has, each on a page of its own.
    let all = u32::MAX;
    let next = Some((PAGES - 1 - MOST) * PER_PAGE);
    let page: EntriesPage = asked(&node, "entries", (DEVICE, 1u64, all, None::<u64>)).await;
    assert_eq!((page.entries.len() as u64, page.next), (MOST, next));
    // The first entry alone: the walk ends after as many pages, with nothing found yet, and comes to it in the next call.
    let first = (DEVICE, 1u64, 1u32);
    let page: EntriesPage = asked(&node, "entries", (first, None::<u64>)).await;
    assert_eq!((page.entries.len(), page.next), (0, next));
    let page: EntriesPage = asked(&node, "entries", (first, next)).await;
    assert_eq!((page.entries.len(), page.next), (1, None));

    let journal: Vec<EntryView> = asked(&node, "journal", (32u64, all)).await;
    assert_eq!(journal.len() as u64, MOST);

    let (mut parts, mut all, mut after) = (0, BTreeSet::new(), None::<AccountId>);
    loop {
        let part: RotationsPage<AccountId> = asked(&node, "rotations", (STUDY, &after)).await;
        assert!(part.rotations.len() as u64 <= MOST);
        all.extend(part.rotations.into_iter().map(|it| it.former));
        parts += 1;
        after = part.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((parts, all.len() as u64), (ROTATED.div_ceil(MOST), ROTATED));

    let conflicts: ConflictsView<AccountId> = asked(&node, "conflicts", DEVICE).await;
    assert_eq!((conflicts.stored.len(), conflicts.not_stored), (16, 1));
    let keys: Vec<Vec<u8>> = asked(&node, "head_proof_keys", DEVICE).await;
    assert_eq!(keys.len(), 2);
    // The others read a fixed number of values, and find them here.
    for name in ["device", "device_by_key", "head", "study"] {
        let (_, arguments) = questions()
            .into_iter()
            .find(|(question, _)| *question == name)
            .expect("it is asked");
        let answer = ask(&node, name, &arguments).await;
        assert_eq!(answer.first(), Some(&1), "{name} found nothing");
    }
}

/// By the clock, so on a machine that does nothing else: the middle of five, over JSON-RPC, in compiled Wasm and from the database.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures time"]
#[allow(clippy::print_stdout, reason = "the figures are what it is for")]
async fn no_question_takes_a_tenth_of_a_second() {
    let grown = Grown::start().await;
    let node = grown.setting.plain_json_rpc().await;
    for (name, arguments) in questions() {
        let mut times = Vec::new();
        for _ in 0..5 {
            let begin = Instant::now();
            ask(&node, name, &arguments).await;
            times.push(begin.elapsed());
        }
        times.sort_unstable();
        println!("{name}: {:.1} ms", times[2].as_secs_f64() * 1e3);
        assert!(times[2] < PATIENCE, "{name} takes {times:?}");
    }
}
