// SPDX-License-Identifier: Apache-2.0

//! What a hostile relay could send about a large study: exports that want the auditor's memory, made of an honest one.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use hashchain::DeviceId;
use mhealth_api::ExportedRun;

/// The longest line that an auditor reads, and more than that.
const LINE: usize = mhealth_auditor::export::LONGEST_LINE;

/// A kind of export: what it is called, and how it is made of the lines of an honest one.
pub(crate) type Kind = (&'static str, fn(&Path, &Path) -> std::io::Result<()>);

pub(crate) const KINDS: &[Kind] = &[
    ("everything twice", everything_twice),
    ("a rival of every run", rivals),
    ("runs of devices that nobody enrolled", strangers),
    ("as much noise in short lines", noise),
    ("the longest lines", long_lines),
    ("one line without an end", one_line),
    ("nested without an end", nested),
];

fn from_lines(
    honest: &Path,
    to: &Path,
    mut write: impl FnMut(&[u8], &mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(to)?);
    let mut lines = BufReader::new(File::open(honest)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        write(&line, &mut out)?;
        line.clear();
    }
    out.flush()
}

/// A line of the honest export as a run; none of its closing line.
fn run(line: &[u8]) -> Option<ExportedRun> {
    serde_json::from_slice(line).ok()
}

fn everything_twice(honest: &Path, to: &Path) -> std::io::Result<()> {
    from_lines(honest, to, |line, out| {
        out.write_all(line)?;
        out.write_all(line)
    })
}

/// Every run, and one with the same place and other envelopes.
fn rivals(honest: &Path, to: &Path) -> std::io::Result<()> {
    let mut cursor = 0;
    from_lines(honest, to, |line, out| {
        let Some(mut run) = run(line) else {
            return Ok(());
        };
        for byte in 0..2 {
            cursor += 1;
            run.cursor = cursor;
            for entry in &mut run.entries {
                entry.envelope.0[50] ^= byte;
                entry.tag.0[0] ^= byte;
            }
            serde_json::to_writer(&mut *out, &run)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })
}

fn strangers(honest: &Path, to: &Path) -> std::io::Result<()> {
    from_lines(honest, to, |line, out| {
        let Some(mut run) = run(line) else {
            return Ok(());
        };
        run.status.device = DeviceId(run.status.device.0 + 1_000_000);
        serde_json::to_writer(&mut *out, &run)?;
        out.write_all(b"\n")
    })
}

/// As many bytes, in lines that are none.
fn noise(honest: &Path, to: &Path) -> std::io::Result<()> {
    from_lines(honest, to, |line, out| {
        for piece in line.chunks(400) {
            out.write_all(&piece[..piece.len() - 1])?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })
}

/// Runs with as much in them as a line holds.
fn long_lines(honest: &Path, to: &Path) -> std::io::Result<()> {
    let mut left = 64;
    from_lines(honest, to, |line, out| {
        let Some(mut run) = run(line).filter(|_| left > 0) else {
            return Ok(());
        };
        left -= 1;
        // In base64, with room for the rest of the line.
        run.entries[0].envelope.0 = vec![1; LINE / 4 * 3 - (1 << 20)];
        serde_json::to_writer(&mut *out, &run)?;
        out.write_all(b"\n")
    })
}

fn one_line(_: &Path, to: &Path) -> std::io::Result<()> {
    let mut out = File::create(to)?;
    let piece = vec![b'7'; 1 << 20];
    (0..1_024).try_for_each(|_| out.write_all(&piece))
}

fn nested(_: &Path, to: &Path) -> std::io::Result<()> {
    let mut out = File::create(to)?;
    let mut line = vec![b'['; LINE - 1];
    line.push(b'\n');
    (0..16).try_for_each(|_| out.write_all(&line))
}
