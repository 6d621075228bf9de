// SPDX-License-Identifier: Apache-2.0

//! The program `mhealth`, as an organisation runs it.

// Every test program compiles this and uses its part of it.
#![allow(dead_code, unreachable_pub)]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs the program with these arguments, with none of the variables that it reads but the node's program.
pub fn mhealth<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mhealth"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MHEALTH_") {
            command.env_remove(name);
        }
    }
    let node = mhealth_testing::node::node_binary().expect("the node is built");
    let output = command
        .env("MHEALTH_NODE", node)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    output.expect("the program starts")
}

/// Somebody who runs the program: at a node, with an account or without.
#[derive(Clone, Debug, Default)]
pub struct Person {
    node: Option<String>,
    secret: Option<PathBuf>,
}

impl Person {
    /// Somebody without a node, who makes keys and files.
    pub fn alone() -> Self {
        Person::default()
    }

    /// Somebody at a node, who reads.
    pub fn at(node: &str) -> Self {
        Person {
            node: Some(node.to_owned()),
            secret: None,
        }
    }

    /// The same with an account.
    pub fn with(&self, secret: &Path) -> Self {
        Person {
            secret: Some(secret.to_owned()),
            ..self.clone()
        }
    }

    /// What a command gives, which must succeed.
    pub fn does(&self, command: &str, more: &[&str]) -> Value {
        self.says(command, more).0
    }

    /// What a command that must succeed gives, and what it says meanwhile.
    pub fn says(&self, command: &str, more: &[&str]) -> (Value, String) {
        let output = self.run(command, more);
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "{command} {more:?}: {stderr}");
        let result = serde_json::from_str(&stdout);
        let result = result.unwrap_or_else(|error| panic!("{command}: {error}: {stdout}"));
        (result, stderr)
    }

    /// The code of the error and the exit code of a command, which must fail and say so twice.
    pub fn fails(&self, command: &str, more: &[&str]) -> (String, i32) {
        let output = self.run(command, more);
        let (stdout, stderr) = texts(&output);
        assert!(!output.status.success(), "{command} {more:?}: {stdout}");
        let answer: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
        let code = answer["error"].as_str().expect("a code").to_owned();
        assert!(stderr.contains(&format!("error[{code}]: ")), "{stderr}");
        (code, output.status.code().expect("it ended by itself"))
    }

    fn run(&self, command: &str, more: &[&str]) -> Output {
        let mut arguments: Vec<String> = command.split(' ').map(str::to_owned).collect();
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        arguments.push("--json".to_owned());
        if let Some(node) = &self.node {
            arguments.push(format!("--node={node}"));
        }
        if let Some(secret) = &self.secret {
            arguments.push(format!("--account-file={}", secret.display()));
        }
        mhealth(arguments)
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("its name is ASCII")
}
