// SPDX-License-Identifier: Apache-2.0

//! Network namespaces with addresses of their own, on one bridge, whose links can be cut, slowed and made lossy.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use anyhow::{bail, Context, Result};
use mhealth_testing::node::{Place, PLACE_PORT};

/// The bridge's own place in the network, at which this program is.
const HERE: u8 = 254;

/// Set where this program runs in namespaces of its own.
const INSIDE: &str = "MHEALTH_FAULTS_INSIDE";
/// What has to be done in them before anything else: a place for names of network namespaces, and this machine's own address.
const FURNISH: &str = "mount -t tmpfs run /run && ip link set dev lo up";

/// With processes of their own, all of which end with the first. That one ends with whoever began it.
const PROCESSES: &[&str] = &["--pid", "--mount-proc", "--fork", "--kill-child"];

/// Runs this program again in namespaces of its own for network, mounts and processes, which are gone with it, and says
/// whether it ended well. Needs no privileges where the system gives namespaces to everybody. None where it does not, and
/// within. Whatever ends the one that waits here ends the other one, too.
pub(crate) fn enter() -> Result<Option<bool>> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(None);
    }
    let Some(way) = way_in() else {
        return Ok(None);
    };
    let ended = within(&way)
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status()?;
    Ok(Some(ended.success()))
}

/// The options of `unshare` with which this system makes such namespaces. Some give no processes of their own: they let nobody
/// mount `/proc`.
fn way_in() -> Option<Vec<&'static str>> {
    let users: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];
    let ways = [PROCESSES, &[]].into_iter();
    let mut ways = ways.flat_map(|processes| users.map(|user| [processes, user].concat()));
    ways.find(|way| {
        let mut tried = within(way);
        tried.arg("true").stdin(Stdio::null()).stderr(Stdio::null());
        tried.status().is_ok_and(|tried| tried.success())
    })
}

/// What runs a command in them; its arguments are still to come. It is killed when the thread ends that started it.
fn within(way: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    // Programs for administrators, such as `tc` and `iptables`, are not on everybody's path.
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .args(["--pdeathsig", "KILL", "unshare", "--net", "--mount"])
        .args(way)
        .args(["sh", "-c", &format!("{FURNISH} && exec \"$@\""), "network"]);
    command
}

/// A network of its own. Dropping it takes it down.
pub(crate) struct Wires {
    /// Distinguishes it from those of other runs.
    run: u32,
    places: usize,
    /// By what links are slowed, if they can be.
    pub(crate) slows: Option<Slows>,
    /// By what packets are lost, if they can be.
    pub(crate) loses: Option<Loses>,
}

/// By what a link is slowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slows {
    /// Packets are held back for 300 ms (`netem`).
    Delay,
    /// It carries 96 kbit/s (`tbf`).
    Rate,
}

impl Slows {
    /// The queue before the link.
    fn queue(self) -> &'static [&'static str] {
        match self {
            Slows::Delay => &["netem", "delay", "300ms", "100ms"],
            Slows::Rate => &["tbf", "rate", "96kbit", "burst", "4kb", "latency", "3000ms"],
        }
    }
}

/// By what packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loses {
    /// The queue before the link.
    Netem,
    /// The packet filter.
    Filter,
}

impl Wires {
    /// Lays wires to so many places. Fails where the system does not let this program do so, and says why.
    pub(crate) fn lay(places: usize) -> Result<Self> {
        if std::env::var_os(INSIDE).is_none() {
            bail!("the system makes no network namespaces for this program");
        }
        let mut wires = Wires {
            run: std::process::id() % 10_000,
            places,
            slows: None,
            loses: None,
        };
        wires.connect()?;
        for how in [Slows::Rate, Slows::Delay] {
            if wires.queue(0, how.queue()).is_ok() {
                wires.slows = Some(how);
                wires.mend()?;
            }
        }
        let filters = wires.within(0, &["iptables", "-L"]).is_ok();
        wires.loses = match (wires.slows, filters) {
            (Some(Slows::Delay), _) => Some(Loses::Netem),
            (_, true) => Some(Loses::Filter),
            (_, false) => None,
        };
        wires.mend()?;
        Ok(wires)
    }

    /// The place of this number.
    pub(crate) fn place(&self, number: usize) -> Place {
        Place {
            namespace: self.namespace(number),
            address: self.address(number),
        }
    }

    /// Cuts every link between places of the one side and of the other. Nobody is told: packets vanish.
    pub(crate) fn part(&self, one: &[usize], other: &[usize]) -> Result<()> {
        for from in one {
            for to in other {
                self.silence(*from, *to)?;
                self.silence(*to, *from)?;
            }
        }
        Ok(())
    }

    /// Makes the link of a place slow.
    pub(crate) fn slow(&self, place: usize) -> Result<()> {
        let slows = self.slows.context("this system slows no links")?;
        self.queue(place, slows.queue())
    }

    /// Lets so many percent of the packets that nodes send to a place and from it get lost.
    pub(crate) fn lose(&self, place: usize, percent: u32) -> Result<()> {
        let share = format!("0.{percent:02}");
        match self.loses {
            None => bail!("this system loses no packets"),
            Some(Loses::Netem) => {
                let percent = format!("{percent}%");
                self.queue(place, &["netem", "loss", &percent])
            }
            Some(Loses::Filter) => {
                let here = self.host();
                // What this program asks and is answered is not lost, so that it sees what happens.
                for (chain, link, side) in [("INPUT", "-i", "-s"), ("OUTPUT", "-o", "-d")] {
                    let of = ["iptables", "-A", chain, link, "eth0", "!", side, &here];
                    let by = ["-m", "statistic", "--mode", "random", "--probability"];
                    let rule = [&of[..], &by, &[share.as_str(), "-j", "DROP"]].concat();
                    self.within(place, &rule)?;
                }
                Ok(())
            }
        }
    }

    /// Makes all links good again.
    pub(crate) fn mend(&self) -> Result<()> {
        for place in 0..self.places {
            let flush = ["ip", "route", "flush", "type", "blackhole"];
            self.within(place, &flush)?;
            // Most have none, which is an error to `tc`.
            let _ = self.tc(place, &["del", "dev", "eth0", "root"]);
            if self.loses == Some(Loses::Filter) {
                self.within(place, &["iptables", "-F"])?;
            }
        }
        Ok(())
    }

    fn connect(&self) -> Result<()> {
        let bridge = self.bridge();
        run(&["ip", "link", "add", "name", &bridge, "type", "bridge"])?;
        let here = format!("{}/24", self.host());
        run(&["ip", "addr", "add", &here, "dev", &bridge])?;
        run(&["ip", "link", "set", "dev", &bridge, "up"])?;
        for place in 0..self.places {
            let (namespace, cable) = (self.namespace(place), self.cable(place));
            run(&["ip", "netns", "add", &namespace])?;
            let inner = ["peer", "name", "eth0", "netns", &namespace];
            let outer = ["ip", "link", "add", "name", &cable, "type", "veth"];
            run(&[&outer[..], &inner].concat())?;
            run(&["ip", "link", "set", "dev", &cable, "master", &bridge, "up"])?;
            let address = format!("{}/24", self.address(place));
            self.within(place, &["ip", "addr", "add", &address, "dev", "eth0"])?;
            for device in ["eth0", "lo"] {
                self.within(place, &["ip", "link", "set", "dev", device, "up"])?;
            }
        }
        Ok(())
    }

    fn silence(&self, from: usize, to: usize) -> Result<()> {
        let to = format!("{}/32", self.address(to));
        self.within(from, &["ip", "route", "add", "blackhole", &to])
    }

    /// Puts this queue before the link of a place.
    fn queue(&self, place: usize, how: &[&str]) -> Result<()> {
        self.tc(place, &[&["add", "dev", "eth0", "root"], how].concat())
    }

    fn tc(&self, place: usize, what: &[&str]) -> Result<()> {
        self.within(place, &[&["tc", "qdisc"], what].concat())
    }

    fn within(&self, place: usize, command: &[&str]) -> Result<()> {
        let namespace = self.namespace(place);
        run(&[&["ip", "netns", "exec", &namespace], command].concat()).map(drop)
    }

    fn bridge(&self) -> String {
        format!("mhb{}", self.run)
    }

    fn namespace(&self, place: usize) -> String {
        format!("mhn{}-{place}", self.run)
    }

    fn cable(&self, place: usize) -> String {
        format!("mhv{}-{place}", self.run)
    }

    fn address(&self, place: usize) -> Ipv4Addr {
        self.number(place as u8 + 1)
    }

    fn host(&self) -> String {
        self.number(HERE).to_string()
    }

    fn number(&self, last: u8) -> Ipv4Addr {
        let [.., high, low] = self.run.to_be_bytes();
        Ipv4Addr::new(10, 64 + high % 64, low, last)
    }

    /// Where the node of a place listens for others.
    pub(crate) fn listens(&self, place: usize) -> String {
        format!("/ip4/{}/tcp/{PLACE_PORT}", self.address(place))
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        // What is not there any more need not go. A namespace takes its cable with it.
        for place in 0..self.places {
            let _ = run(&["ip", "netns", "del", &self.namespace(place)]);
        }
        let _ = run(&["ip", "link", "del", "dev", &self.bridge()]);
    }
}

/// Runs a command of the system, and returns what it prints. Fails with what it complains of.
pub(crate) fn run(command: &[&str]) -> Result<String> {
    let shown = command.join(" ");
    let output = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .output()
        .with_context(|| shown.clone())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{shown}: {}", said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// As when the program is killed that waits for the other one.
    #[test]
    fn what_runs_in_the_namespaces_ends_with_whoever_began_it() {
        let way = way_in().unwrap_or_default();
        if !way.starts_with(PROCESSES) {
            eprintln!("this system gives this program no processes of its own");
            return;
        }
        let (sender, began) = mpsc::channel();
        let beginner = thread::spawn(move || {
            let mut command = within(&way);
            command.args(["sh", "-c", "echo begun; sleep 600 & sleep 600"]);
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            let mut said = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            assert_eq!(line, "begun\n");
            sender.send((child, said)).unwrap();
        });
        beginner.join().unwrap();
        let (mut child, said) = began.recv().unwrap();
        // Whoever still runs keeps it open.
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || sender.send(said.lines().count()));
        assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(0));
        child.wait().unwrap();
    }
}
