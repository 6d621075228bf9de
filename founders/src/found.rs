// SPDX-License-Identifier: Apache-2.0

//! `mhealth found`: from the members' public halves to the specification of their chain.

use std::path::{Path, PathBuf};

use mhealth_chain_client::AccountId32;
use serde_json::{json, Value};

use crate::failure::Failure;
use crate::files;
use crate::genesis::Genesis;
use crate::member::{digits, Member, MemberKeys};
use crate::node_program::NodeProgram;
use crate::report::Report;

/// Makes the specification of a new chain from the members' public halves, or checks one.
///
/// Members and validators are those whose files are given, in whatever order; there are no studies yet. The same files and
/// the same release give the same first block. One member makes the specification, sends it to the others, and each of them
/// runs `found --check` with the files that it got from each member itself, and its own mhealth-node. Whoever gets the same
/// hash founds the same chain.
#[derive(Debug, clap::Args)]
pub(crate) struct Found {
    /// What members handed out: member.json of each, your own included.
    #[arg(value_name = "MEMBER", required = true)]
    members: Vec<PathBuf>,
    /// Name of the chain, for people.
    #[arg(long, value_name = "NAME", required_unless_present = "check")]
    name: Option<String>,
    /// Short name of the chain: letters, digits and underscores. Nodes keep it in a folder of this name.
    #[arg(long, value_name = "ID", required_unless_present = "check")]
    id: Option<String>,
    /// A new file for the raw specification, with which nodes are started.
    #[arg(long, value_name = "FILE", required_unless_present = "check")]
    out: Option<PathBuf>,
    /// Check this raw specification instead: that it is what these members and your mhealth-node make.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "id", "out"])]
    check: Option<PathBuf>,
    /// Blocks for which the sponsor can veto a retirement that an authentication server asks for. The default is a day.
    #[arg(long, value_name = "BLOCKS", default_value_t = 43_200)]
    retirement_delay: u32,
    #[command(flatten)]
    node: NodeProgram,
}

/// What a chain begins with.
struct Beginning {
    name: String,
    id: String,
    retirement_delay: u32,
    /// By account, so that the order of files does not count.
    members: Vec<(Member, MemberKeys)>,
}

pub(crate) fn run(found: &Found) -> Result<Report, Failure> {
    let members = read_members(&found.members)?;
    if let Some(file) = &found.check {
        return check(found, file, members);
    }
    let (Some(name), Some(id), Some(out)) = (&found.name, &found.id, &found.out) else {
        let message = "Give --name, --id and --out, or --check.";
        return Err(Failure::input("no_name", message));
    };
    let allowed = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    if id.is_empty() || id.len() > 64 || !id.chars().all(allowed) {
        let message = format!("{id:?} is not 1 to 64 letters, digits and underscores.");
        return Err(Failure::input("bad_id", message));
    }
    let beginning = Beginning {
        name: name.clone(),
        id: id.clone(),
        retirement_delay: found.retirement_delay,
        members,
    };
    let specification = beginning.specification(&found.node)?;
    let genesis = Genesis::of(&specification)?;
    let text = serde_json::to_string_pretty(&specification).expect("it was JSON; qed");
    files::write_public(out, &format!("{text}\n"))?;
    let report = beginning.report(&genesis, out).line(format!(
        "Send {} to the other members. Each runs: mhealth found --check {} MEMBER…",
        out.display(),
        out.display()
    ));
    Ok(report)
}

/// Makes the specification anew, and compares.
fn check(
    found: &Found,
    file: &Path,
    members: Vec<(Member, MemberKeys)>,
) -> Result<Report, Failure> {
    let text = files::read(file)?;
    let given: Value = serde_json::from_str(&text).map_err(|error| {
        let message = format!("{} is not JSON: {error}.", file.display());
        Failure::input("not_a_raw_specification", message)
    })?;
    let word = |name: &str| given[name].as_str().unwrap_or_default().to_owned();
    let beginning = Beginning {
        name: word("name"),
        id: word("id"),
        retirement_delay: found.retirement_delay,
        members,
    };
    let theirs = Genesis::of(&given)?;
    let expected = beginning.specification(&found.node)?;
    let ours = Genesis::of(&expected)?;
    let mut differences = theirs.differences(&ours);
    differences.extend(differences_beside_genesis(&given, &expected));
    if !differences.is_empty() {
        let message = format!(
            "{} is not what these members and your mhealth-node make; do not start a node with it. It differs in: {}. Its first \
             block would be {}, yours {}.",
            file.display(),
            differences.join(", "),
            digits(&theirs.hash()),
            digits(&ours.hash())
        );
        return Err(Failure::wrong("specification_differs", message));
    }
    let report = beginning
        .report(&ours, file)
        .line("It is what these members and your mhealth-node make. Tell the others the hash.");
    Ok(match given["bootNodes"] == expected["bootNodes"] {
        true => report,
        false => report.line(
            "Its bootNodes are others than the members'; they are not part of the first block.",
        ),
    })
}

/// The other fields of a specification by which a node can be led astray, above all code that takes the runtime's place.
fn differences_beside_genesis(given: &Value, expected: &Value) -> Vec<String> {
    let names = |specification: &Value| -> Vec<String> {
        let fields = specification.as_object();
        fields
            .map(|fields| fields.keys().cloned().collect())
            .unwrap_or_default()
    };
    let mut all = [names(given), names(expected)].concat();
    all.sort();
    all.dedup();
    all.retain(|name| !["genesis", "bootNodes"].contains(&name.as_str()));
    all.retain(|name| given[name] != expected[name]);
    all
}

fn read_members(files: &[PathBuf]) -> Result<Vec<(Member, MemberKeys)>, Failure> {
    let members: Result<Vec<_>, _> = files.iter().map(|file| Member::read(file)).collect();
    let mut members = members?;
    members.sort_by_key(|(_, keys)| keys.account);
    if members.len() == 2 {
        let message = "Two members would need each other for every decision, so that one lost key would end the \
                       consortium. Begin with one, or with three and more.";
        return Err(Failure::input("two_members", message));
    }
    for (place, (one, keys)) in members.iter().enumerate() {
        for (other, others) in &members[..place] {
            let same = [
                (keys.account == others.account, "account"),
                (keys.aura == others.aura, "Aura key"),
                (keys.grandpa == others.grandpa, "GRANDPA key"),
            ];
            if let Some((_, what)) = same.iter().find(|(same, _)| *same) {
                let message = format!("{} and {} have the same {what}.", other.name, one.name);
                return Err(Failure::input("key_used_twice", message));
            }
        }
    }
    Ok(members)
}

impl Beginning {
    /// The raw specification.
    fn specification(&self, node: &NodeProgram) -> Result<Value, Failure> {
        let mut specification = node.specification(Path::new("local"), false)?;
        self.put_into(&mut specification);
        let file = tempfile::Builder::new().suffix(".json").tempfile();
        let file = file.map_err(|error| Failure::file(&std::env::temp_dir(), &error))?;
        let text = specification.to_string();
        std::fs::write(file.path(), text).map_err(|error| Failure::file(file.path(), &error))?;
        node.specification(file.path(), true)
    }

    /// Puts the members where the preset has keys that everybody knows.
    fn put_into(&self, specification: &mut Value) {
        let address = |key: &[u8; 32]| AccountId32(*key).to_string();
        let keys = self.members.iter().map(|(_, keys)| keys);
        let accounts: Vec<String> = keys.clone().map(|keys| address(&keys.account)).collect();
        let sessions: Vec<Value> = keys
            .map(|keys| {
                let account = address(&keys.account);
                let session =
                    json!({ "aura": address(&keys.aura), "grandpa": address(&keys.grandpa) });
                json!([account, account, session])
            })
            .collect();
        let addresses = self
            .members
            .iter()
            .flat_map(|(member, _)| &member.addresses);
        specification["name"] = json!(self.name);
        specification["id"] = json!(self.id);
        specification["chainType"] = json!("Live");
        specification["bootNodes"] = addresses.cloned().collect();
        specification["genesis"]["runtimeGenesis"]["patch"] = json!({
            "session": { "keys": sessions },
            "members": { "members": accounts },
            "clientHashchain": { "retirementDelay": self.retirement_delay },
        });
    }

    fn report(&self, genesis: &Genesis, file: &Path) -> Report {
        let hash = digits(&genesis.hash());
        let code = genesis.code_hash().map(|hash| digits(&hash));
        let code = code.unwrap_or_default();
        let mut report = Report::default()
            .line(format!("{} ({})", self.name, self.id))
            .line(format!("First block: {hash}"))
            .line(format!("Runtime:     {code}"));
        let mut members = Vec::new();
        for (member, keys) in &self.members {
            let account = AccountId32(keys.account).to_string();
            report = report.line(format!("Member:      {account} {}", member.name));
            members.push(json!({ "name": member.name, "account": account }));
        }
        report
            .with("name", self.name.as_str())
            .with("id", self.id.as_str())
            .with("genesis", hash)
            .with("code_hash", code)
            .with("members", members)
            .with("chain", file.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mhealth_chain_client::Account;

    fn member_file(folder: &Path, name: &str, seed: u8) -> PathBuf {
        let account = Account::from_secret_uri(&format!("//{name}")).expect("a secret");
        let member = Member::sign(name, &account, [seed; 32], [seed + 100; 32], Vec::new());
        let file = folder.join(format!("{name}.json"));
        files::write_public(&file, &member.json()).expect("written");
        file
    }

    fn refused(files: &[PathBuf]) -> String {
        let refused = read_members(files).expect_err("it is refused");
        refused.code().to_owned()
    }

    #[test]
    fn the_order_of_files_does_not_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut files = vec![
            member_file(folder.path(), "one", 1),
            member_file(folder.path(), "two", 2),
            member_file(folder.path(), "three", 3),
        ];
        let one = read_members(&files).expect("members");
        files.reverse();
        assert_eq!(read_members(&files).expect("members"), one);
    }

    #[test]
    fn two_members_and_keys_that_are_there_twice_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let one = member_file(folder.path(), "one", 1);
        let two = member_file(folder.path(), "two", 2);
        let same = member_file(folder.path(), "same", 1);
        assert_eq!(refused(&[one.clone(), two.clone()]), "two_members");
        assert_eq!(
            refused(&[one.clone(), two.clone(), one.clone()]),
            "key_used_twice"
        );
        assert_eq!(refused(&[one, two, same]), "key_used_twice");
    }

    #[test]
    fn code_that_takes_the_runtimes_place_is_a_difference() {
        let expected = json!({ "name": "x", "codeSubstitutes": {}, "genesis": 1, "bootNodes": [] });
        let mut given = expected.clone();
        assert!(differences_beside_genesis(&given, &expected).is_empty());
        given["codeSubstitutes"] = json!({ "1": "0x00" });
        given["forkId"] = json!("other");
        given["bootNodes"] = json!(["/ip4/192.0.2.1"]);
        let names = differences_beside_genesis(&given, &expected);
        assert_eq!(names, ["codeSubstitutes", "forkId"]);
    }
}
