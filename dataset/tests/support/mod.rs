// SPDX-License-Identifier: Apache-2.0

//! A study made by hand: phones with real hashchains and envelopes, evidence made with the crates of the chain's nodes, and the
//! audit's report and the relay's export that belong to it.
#![allow(dead_code, reason = "no test program uses all of it")]

pub(crate) mod nights;
#[path = "../../../evidence/tests/support/mod.rs"]
mod node;
mod papers;
pub(crate) mod parts;
pub(crate) mod pipes;
pub(crate) mod table;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use codec::Encode;
use hashchain::testing::{keys, Phone};
use hashchain::{
    escrow_commitment, genesis, participant_digest, plain_envelope, seal_envelope,
    secret_commitment, Content, DeviceId, Enrolment, LinkHash, Native, Run, RunEntry, SealingKey,
    StudyId,
};
use mhealth_api::{Hash, Key};
use mhealth_auditor::evidence::{DeviceEvidence, Evidence, Start};
use mhealth_dataset::keys::{Destruction, KeyFolder, Whose};
use mhealth_dataset::manifest::Manifest;
use mhealth_dataset::registry::Sources;
use mhealth_dataset::{export, DataError, Format, Job, NamedFile, Trusted};
use mhealth_evidence::{
    device_key, genesis_hash_key, head_page_key, next_device_key, DeviceHead, DeviceRecord,
    DeviceStatus, FinalityProof, AUTHORITIES_KEY, HEADS_PER_PAGE,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sp_core::{Blake2Hasher, H256};
use sp_runtime::generic::Digest;
use sp_trie::LayoutV0;
use tempfile::TempDir;

use node::{list, read, trie, NodeHeader};
use papers::exported;

/// The block of audit and evidence.
pub(crate) const BLOCK: u32 = 100;
/// When it was made.
pub(crate) const BLOCK_TIME: u64 = 1_480_000_000;
pub(crate) const STUDY: StudyId = StudyId(0);

/// What is known of a participant who wants to be erased, and has these devices.
pub(crate) fn destruction(participant: &str, devices: &[u32]) -> Destruction {
    Destruction {
        participant: participant.into(),
        devices: devices.iter().map(|device| DeviceId(*device)).collect(),
        no_device: false,
        record: "request 7".into(),
        at: "2026-11-30T12:00:00Z".into(),
    }
}

/// An entry that was made.
pub(crate) struct Made {
    pub(crate) sequence: u64,
    pub(crate) link: LinkHash,
    pub(crate) run: Run,
    pub(crate) envelope: Vec<u8>,
    pub(crate) verdict: &'static str,
    pub(crate) registered: bool,
    /// Whether the relay shows it.
    pub(crate) shown: bool,
}

struct Device {
    phone: Phone,
    study: StudyId,
    secret: [u8; 32],
    link_zero: LinkHash,
    participant: Option<(String, SealingKey)>,
    made: Vec<Made>,
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) random: StdRng,
    pub(crate) keys: KeyFolder,
    start: NodeHeader,
    first: Vec<Vec<u8>>,
    devices: Vec<Device>,
    /// Takes envelopes at once, where a study has too many for the memory.
    spill: Option<(BufWriter<File>, u64)>,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authorities = (AUTHORITIES_KEY.to_vec(), list(&[1]).encode());
        let (root, first) = trie::<LayoutV0<Blake2Hasher>>(&[authorities]);
        let start = NodeHeader {
            parent_hash: H256::default(),
            number: 0,
            state_root: root,
            extrinsics_root: H256::default(),
            digest: Digest::default(),
        };
        let whose = Whose {
            chain: Hash(start.hash().0),
            study: STUDY,
        };
        World {
            keys: KeyFolder::create(&folder.path().join("keys"), whose).unwrap(),
            random: StdRng::seed_from_u64(22),
            folder,
            start,
            first,
            devices: Vec::new(),
            spill: None,
        }
    }

    /// A world that keeps no envelope: each goes into the relay's export when it is made.
    pub(crate) fn spilling() -> Self {
        let mut world = World::new();
        let file = File::create(world.path("dave.ndjson")).unwrap();
        world.spill = Some((BufWriter::new(file), 0));
        world
    }

    pub(crate) fn genesis(&self) -> Hash {
        Hash(self.start.hash().0)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The export of a world that keeps no envelope is whole.
    pub(crate) fn end_spilling(&mut self) {
        let (file, _) = self.spill.as_mut().unwrap();
        file.flush().unwrap();
    }

    /// Enrols a phone that seals to a participant, whose key is made now if there is none; or to nobody.
    pub(crate) fn phone(&mut self, participant: Option<&str>) -> usize {
        let sealed_to = participant.map(|name| {
            if !self.keys.public_keys().any(|(known, _)| known == name) {
                self.keys.add(name).unwrap();
            }
            let mut keys = self.keys.public_keys();
            let (_, key) = keys.find(|(known, _)| *known == name).unwrap();
            (name.to_owned(), SealingKey(key.0))
        });
        self.phone_sealing_to(sealed_to)
    }

    pub(crate) fn phone_sealing_to(&mut self, participant: Option<(String, SealingKey)>) -> usize {
        self.phone_of(STUDY, participant)
    }

    /// The same of any study, of which there is evidence, and no audit.
    pub(crate) fn phone_of(
        &mut self,
        study: StudyId,
        participant: Option<(String, SealingKey)>,
    ) -> usize {
        let number = self.devices.len() as u32;
        let mut seed = [7; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        let (key, secret) = keys(&seed);
        let link_zero = genesis::<Native>(&Enrolment {
            chain: &self.genesis().0,
            study,
            device_key: &key.verifying_key().to_bytes(),
            predecessor: None,
            secret_commitment: &secret_commitment::<Native>(&secret),
            escrow_commitment: &escrow_commitment::<Native>(&ESCROW),
        });
        self.devices.push(Device {
            phone: Phone::new(key, DeviceId(number), link_zero, &secret),
            study,
            secret: secret_commitment::<Native>(&secret),
            link_zero,
            participant,
            made: Vec::new(),
        });
        number as usize
    }

    /// Seals a payload as the phone's next entry, or writes it plain, and gives its sequence.
    pub(crate) fn entry(&mut self, phone: usize, media_type: &str, payload: &[u8]) -> u64 {
        let content = Content::new(media_type, payload).unwrap();
        let device = &self.devices[phone];
        let sequence = device.phone.length() + 1;
        let envelope = match &device.participant {
            Some((_, key)) => {
                let public = device.phone.public_key();
                seal_envelope(key, &public, sequence, &content, &mut self.random).unwrap()
            }
            None => plain_envelope(&self.random.random(), &content),
        };
        self.bytes(phone, envelope)
    }

    /// Any bytes as the phone's next entry.
    pub(crate) fn bytes(&mut self, phone: usize, envelope: Vec<u8>) -> u64 {
        let device = &mut self.devices[phone];
        let run = device.phone.run_with([&envelope]);
        let mut made = Made {
            sequence: run.first_sequence,
            link: run.last_link(),
            run,
            envelope,
            verdict: "valid",
            registered: true,
            shown: true,
        };
        if let Some((file, cursor)) = &mut self.spill {
            *cursor += 1;
            let line = serde_json::to_string(&exported(&made, *cursor)).unwrap();
            writeln!(file, "{line}").unwrap();
            made.envelope = Vec::new();
        }
        device.made.push(made);
        device.phone.length()
    }

    /// An entry that somebody showed, and that is not registered.
    pub(crate) fn attempt(&mut self, phone: usize, envelope: Vec<u8>) {
        let device = &mut self.devices[phone];
        let run = device.phone.copy().run_with([&envelope]);
        device.made.push(Made {
            sequence: run.first_sequence,
            link: run.last_link(),
            run,
            envelope,
            verdict: "unregistered",
            registered: false,
            shown: true,
        });
    }

    /// What the audit says of a registered entry, and whether the relay shows its envelope.
    pub(crate) fn judge(
        &mut self,
        phone: usize,
        sequence: u64,
        verdict: &'static str,
        shown: bool,
    ) {
        let made = self.devices[phone].made.iter_mut();
        let mut registered = made.filter(|made| made.registered);
        let made = registered.find(|made| made.sequence == sequence).unwrap();
        (made.verdict, made.shown) = (verdict, shown);
    }

    pub(crate) fn made(&self, phone: usize) -> &[Made] {
        &self.devices[phone].made
    }

    /// Writes audit, export and evidence, and gives the job of an export of all of it.
    pub(crate) fn job(&self, out: &str) -> Job {
        self.write();
        Job {
            audit: self.path("audit.json"),
            signed_by: Vec::new(),
            exports: vec![NamedFile {
                name: "dave".into(),
                path: self.path("dave.ndjson"),
            }],
            evidence: self.sources(),
            out: self.path(out),
            formats: Format::ALL.to_vec(),
            include_flagged: false,
            allow_missing_keys: false,
            participant: None,
            devices: Vec::new(),
            made_at: BLOCK_TIME + 86_400,
        }
    }

    pub(crate) fn sources(&self) -> Sources {
        Sources {
            files: vec![self.path("study.evidence")],
            genesis: self.genesis(),
            checkpoints: Vec::new(),
        }
    }

    pub(crate) fn trusted(&self) -> Trusted {
        Trusted {
            evidence: self.sources(),
            holder: self.holder(),
            audit: Some(self.path("audit.json")),
        }
    }

    pub(crate) fn holder(&self) -> Key {
        Key(self.keys.holder().unwrap().verifying_key().to_bytes())
    }

    pub(crate) fn export(&mut self, job: &Job) -> Result<Manifest, DataError> {
        export(job, &mut self.keys, &mut |_| ())
    }

    pub(crate) fn write(&self) {
        self.write_audit(&self.path("audit.json"), BLOCK.into());
        if self.spill.is_none() {
            self.write_export(&self.path("dave.ndjson"));
        }
        std::fs::write(self.path("study.evidence"), self.evidence(BLOCK).to_bytes()).unwrap();
    }

    pub(crate) fn evidence(&self, number: u32) -> Evidence {
        let mut values = vec![
            (genesis_hash_key(), self.genesis().0.encode()),
            (next_device_key(), (self.devices.len() as u32).encode()),
        ];
        let mut heads = Vec::new();
        let mut devices = Vec::new();
        for device in &self.devices {
            let number = device.phone.device();
            let key = device.phone.public_key();
            let sealed_to = device.participant.as_ref().map(|(_, key)| &key.0);
            let record = DeviceRecord {
                key,
                secret_commitment: device.secret,
                escrow: ESCROW.to_vec(),
                auditor_epoch: 0,
                participant: participant_digest::<Native>(sealed_to),
                genesis: device.link_zero,
                predecessor: None,
                successor: None,
                trusted: None,
                enrolled_at: 1,
                retires_at: None,
            };
            values.push((device_key(number), record.encode()));
            let length = device.phone.length();
            heads.push(DeviceHead {
                study: device.study,
                status: DeviceStatus::Active,
                length,
                latest: length.checked_sub(1),
                hash: device.phone.head(),
            });
            let registered = device.made.iter().filter(|made| made.registered);
            let entries = registered.flat_map(|made| made.run.entries.iter().copied());
            devices.push(DeviceEvidence {
                device: number,
                entries: entries.collect::<Vec<RunEntry>>(),
                signature: None,
                envelopes: None,
                secret: None,
            });
        }
        for (page, first) in heads.chunks(HEADS_PER_PAGE as usize).zip(0..) {
            let first = DeviceId(first * HEADS_PER_PAGE);
            values.push((head_page_key(first), page.encode()));
        }
        let (root, nodes) = trie::<LayoutV0<Blake2Hasher>>(&values);
        let block = NodeHeader {
            number,
            ..node::child(&self.start, root, vec![])
        };
        // Of one study, if there is no other.
        let is_own = |device: &Device| device.study == STUDY;
        Evidence {
            genesis: read(&self.start),
            start: Start::Genesis(self.first.iter().collect()),
            finality: FinalityProof {
                handovers: Vec::new(),
                block: read(&block),
                descendants: Vec::new(),
                justification: node::justify(&block, &[1], 0),
                nodes: nodes.iter().collect(),
            },
            study: self.devices.iter().all(is_own).then_some(STUDY),
            devices,
        }
    }

    pub(crate) fn write_export(&self, path: &Path) {
        let mut file = BufWriter::new(File::create(path).unwrap());
        let mut cursor = 0;
        for made in self.devices.iter().flat_map(|device| &device.made) {
            if made.shown {
                cursor += 1;
                let line = exported(made, cursor);
                writeln!(file, "{}", serde_json::to_string(&line).unwrap()).unwrap();
            }
        }
        file.flush().unwrap();
    }
}

const ESCROW: [u8; 81] = [9; 81];
