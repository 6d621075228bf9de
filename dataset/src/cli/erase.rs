// SPDX-License-Identifier: Apache-2.0

//! `mhealth-data erase`.

use std::path::PathBuf;

use clap::Args;
use hashchain::DeviceId;
use mhealth_auditor::audit::NamedExport;
use mhealth_auditor::export;
use mhealth_dataset::erase::{
    give, sponsor, write_down, Chain, Devices, ErasureOrder, RelayAnswer, Written,
};
use mhealth_dataset::keys::{DestroyedKey, Destruction, KeyFolder, Lock};
use mhealth_dataset::DataError;
use tokio::runtime::Runtime;

use super::now_text;

/// Erases a participant: destroys the key, has every relay erase the envelopes, and puts the receipt on the chain.
///
/// Whatever was interrupted, or could not be done because somebody was away, the same command goes on with. The receipt goes to
/// the chain when every relay that is named has erased everything.
#[derive(Args)]
pub(super) struct Erase {
    /// The folder with the keys.
    #[arg(long, value_name = "FOLDER")]
    keys: PathBuf,
    /// By whom and on what request. Needed the first time.
    #[arg(long, value_name = "TEXT")]
    record: Option<String>,
    /// A device of the participant's. May be given several times; those that exports found out are known, and --node finds all. One
    /// that was forgotten may be named later.
    #[arg(long, value_name = "NUMBER")]
    device: Vec<DeviceId>,
    /// The participant's phones seal to nobody, as the chain has to say: there is no key to destroy, and relays erase what anybody could
    /// read. Name each of them with --device; whose they are, only you know. Needed the first time.
    #[arg(long, requires = "node", requires = "device")]
    plain: bool,
    /// A device that was named and is another's, as the chain has to say, too: it is withdrawn, and the others get a new order.
    #[arg(long, value_name = "NUMBER", requires = "node")]
    wrong_device: Vec<DeviceId>,
    /// A relay of the study; name all of them. The credential comes from MHEALTH_RELAY_CREDENTIAL_NAME, or
    /// MHEALTH_RELAY_CREDENTIAL for all; with _FILE behind the name, the file that holds it. `mhealth-relay eraser add` makes it.
    #[arg(long, value_name = "NAME=URL", required = true)]
    relay: Vec<String>,
    /// So many relays that the chain has of the study cannot be asked, because they are no more. Audits accuse one that is there all
    /// the same, and holds the data.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    relays_gone: usize,
    /// WebSocket address of a node of the study's chain. Without it nobody looks whose the devices are, and the receipt is only
    /// shown.
    #[arg(long, value_name = "URL", env = "MHEALTH_NODE_URL")]
    node: Option<String>,
    /// File with the secret of the study's sponsor, who writes the receipt to the chain. Without it, it is said what the sponsor
    /// has to do.
    #[arg(long, value_name = "FILE", requires = "node")]
    account_file: Option<PathBuf>,
    /// The participant: the pseudonym, the public key of the enrolment code, or the digest of it that the chain has.
    participant: String,
}

pub(super) fn run(arguments: Erase) -> Result<(), DataError> {
    let relays =
        export::from_arguments(&arguments.relay, &[], &[]).map_err(|error| DataError::Place {
            code: error.code(),
            why: error.to_string(),
        })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| DataError::Place {
        code: "no_runtime",
        why: format!("the system gives no means to wait: {error}"),
    })?;
    let (participant, orders) = orders(&arguments, &runtime)?;
    let (mut devices, mut open, mut erased) = (0, 0, 0);
    for order in &orders {
        let done = runtime.block_on(carry_out(&arguments, &relays, order));
        devices += order.devices.len();
        open += done.open;
        erased += done.erased;
    }
    if open > 0 {
        return Err(DataError::ErasureOpen { open });
    }
    let receipts: Vec<String> = orders.iter().map(|it| it.receipt().to_string()).collect();
    println!(
        "done=true erased={participant} devices={devices} relays={} envelopes={erased} receipt={}",
        relays.len(),
        receipts.join(","),
    );
    Ok(())
}

/// What became of an order.
struct Done {
    /// How many relays and devices are left.
    open: usize,
    /// Envelopes that relays erased.
    erased: u64,
}

/// Gives an order to the relays, and sees to its receipt once all have carried it out.
async fn carry_out(arguments: &Erase, relays: &[NamedExport], order: &ErasureOrder) -> Done {
    let (mut open, mut erased) = (0, 0);
    for relay in relays {
        match give(order, relay).await {
            Ok(answer) => {
                open += usize::from(!answer.is_complete());
                erased += tell(&relay.name, &answer);
            }
            Err(error) => {
                open += 1;
                println!("{}: open: {error} ({}).", relay.name, error.code());
            }
        }
    }
    match (&arguments.node, open) {
        (_, 1..) => println!("The receipt is not written to the chain before that is done."),
        (None, 0) => {
            open += order.devices.len();
            ask_sponsor(order);
        }
        (Some(node), 0) => {
            let chain = Chain {
                node: node.clone(),
                account: arguments.account_file.clone(),
            };
            let asked = relays.len().saturating_add(arguments.relays_gone);
            match write_down(&chain, order, asked).await {
                Ok(written) => {
                    if written.iter().any(|(_, state)| *state == Written::Open) {
                        ask_sponsor(order);
                    }
                    for (device, state) in written {
                        open += usize::from(!matches!(state, Written::InBlock(_)));
                        tell_written(device, &state);
                    }
                }
                // The key is gone, and relays have erased: something was done.
                Err(error) => {
                    open += order.devices.len();
                    println!("The receipt: open: {error} ({}).", error.code());
                }
            }
        }
    }
    Done { open, erased }
}

/// The participant's pseudonym, and the orders, after the key is destroyed.
fn orders(arguments: &Erase, runtime: &Runtime) -> Result<(String, Vec<ErasureOrder>), DataError> {
    let _lock = Lock::alone(&arguments.keys)?;
    let mut folder = KeyFolder::open(&arguments.keys)?;
    let participant = match folder.person(&arguments.participant) {
        Err(DataError::NoSuchParticipant(named)) if arguments.plain => named,
        found => found?,
    };
    // Before anything is withdrawn.
    if arguments.plain {
        folder.check_keyless(&participant)?;
    }
    let mut destroyed = folder.destroyed();
    let is_destroyed = destroyed.any(|record| record.participant == participant);
    drop(destroyed);
    let record = match (&arguments.record, is_destroyed) {
        (Some(record), _) => record.clone(),
        (None, true) => String::new(),
        (None, false) => {
            let why = "say by whom and on what request with --record";
            return Err(DataError::Usage(why.into()));
        }
    };
    // Fails where nothing could be signed, before the key is gone.
    folder.holder()?;
    if let Some(file) = &arguments.account_file {
        sponsor(file)?;
    }
    let key = match folder.public_key(&participant) {
        Err(DataError::NoSuchParticipant(_)) if arguments.plain => None,
        known => known?,
    };
    let chain = match runtime.block_on(on_chain(arguments, &folder)) {
        // The key is gone, and relays go on.
        Err(error) if is_destroyed && arguments.wrong_device.is_empty() => {
            println!("Whose the devices are: open: {error} ({}).", error.code());
            None
        }
        read => read?,
    };
    let mut devices = arguments.device.clone();
    if let Some(chain) = &chain {
        devices
            .iter()
            .try_for_each(|device| chain.check(*device, key.as_ref()))?;
        devices.extend(key.iter().flat_map(|key| chain.of(key)));
        for device in &arguments.wrong_device {
            if chain.check(*device, key.as_ref()).is_ok() {
                let why = format!("device {device} is {participant}'s, as the chain has it");
                return Err(DataError::Usage(why));
            }
            folder.withdraw(&participant, *device)?;
            println!("Device {device} is withdrawn. Give auditors the new erasures.ndjson.");
        }
    }
    let destruction = Destruction {
        participant: participant.clone(),
        devices,
        no_device: false,
        record,
        at: now_text(),
    };
    let record = match key {
        Some(_) => folder.destroy(&destruction)?,
        None => folder.erase_plain(&destruction)?,
    };
    for copy in &record.copies {
        println!("A copy has the key still: {copy}. Destroy it, and make a new one.");
    }
    match &chain {
        Some(chain) => tell_wrong(chain, &record),
        None if record.key.is_none() => {}
        None => println!(
            "Nobody looked whether the chain has more devices of this participant than {}: --node does.",
            list(&record.devices)
        ),
    }
    let orders = folder.orders(&participant)?;
    Ok((participant, orders))
}

/// What the chain has of devices. Nothing without a node.
async fn on_chain(arguments: &Erase, folder: &KeyFolder) -> Result<Option<Devices>, DataError> {
    match &arguments.node {
        Some(node) => Devices::read(node, folder.whose()).await.map(Some),
        None => Ok(None),
    }
}

/// Their numbers.
pub(super) fn list(devices: &[DeviceId]) -> String {
    let devices: Vec<String> = devices.iter().map(DeviceId::to_string).collect();
    devices.join(", ")
}

/// Says which devices are on record for the erasure and another's: while they are, no relay takes their order.
fn tell_wrong(chain: &Devices, record: &DestroyedKey) {
    for device in &record.devices {
        if let Err(error) = chain.check(*device, record.key.as_ref()) {
            println!(
                "Device {device}: open: it is on record for this erasure, and {error} ({}). Withdraw it with --wrong-device {device}.",
                error.code()
            );
        }
    }
}

/// Says what a relay did. How many envelopes it erased.
fn tell(name: &str, answer: &RelayAnswer) -> u64 {
    match answer {
        RelayAnswer::Done(outcome) => {
            let left = match (outcome.kept, outcome.scrubbed) {
                (0, true) => "nothing is left there".to_owned(),
                (0, false) => {
                    "open: their bytes have not left the files of its database yet".to_owned()
                }
                (kept, _) => format!("open: it still keeps {kept}"),
            };
            let under_way = match outcome.on_their_way {
                0 => String::new(),
                runs => format!(", {runs} runs go to the chain without their data"),
            };
            println!(
                "{name}: {} envelopes erased, {left}{under_way}.",
                outcome.erased
            );
            outcome.erased
        }
        RelayAnswer::Refused { code, why } => {
            println!("{name}: open: it refused ({code}): {why}");
            0
        }
        RelayAnswer::Away { why } => {
            println!("{name}: open: it is away (relay_away): {why}.");
            0
        }
    }
}

fn tell_written(device: DeviceId, state: &Written) {
    match state {
        Written::InBlock(block) => println!("Device {device}: the receipt stands in block {block}."),
        Written::Open => println!("Device {device}: open: the chain has no receipt."),
        Written::NotAsked(relays) => println!(
            "Device {device}: open: the study has {relays} relays more on the chain than were named (relays_not_named). Name all of \
             them, or say --relays-gone for those that are no more."
        ),
        Written::Another(receipt) => println!(
            "Device {device}: open: the chain has the receipt {receipt:?} of another order (another_receipt)."
        ),
        Written::Refused(why) => {
            println!("Device {device}: open: the chain refused the receipt (refused_by_chain): {why}");
        }
    }
}

/// What the sponsor has to do. The order names nobody: of the participant and the record it has digests.
fn ask_sponsor(order: &ErasureOrder) {
    let text = serde_json::to_string(order).expect("an order is written as JSON; qed");
    println!(
        "Open: the study's sponsor writes the receipt to the chain. The order, for a file:\n{text}"
    );
    println!("With this file and the account's secret the sponsor types:");
    println!("  mhealth study erase --order FILE --account-file FILE");
}
