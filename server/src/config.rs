// SPDX-License-Identifier: Apache-2.0

//! Command line, environment and configuration file as one set of options.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::Path;

use clap::builder::OsStr;
use clap::error::ErrorKind;
use clap::{Arg, Command, Parser};
use toml::{Table, Value};

use crate::database::has_password;
use crate::{DatabaseUrl, SecretText};

/// What separates the values of an option in the environment that may be given several times.
pub const LIST_DELIMITER: char = ' ';

/// Reads this process's options, or ends it with a message.
pub fn read_options<P: Parser>() -> P {
    read_options_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Reads options from a command line, the environment and the file that either names with `--config` or MHEALTH_CONFIG,
/// in this order of precedence.
///
/// The file holds options by their long names (`log-format = "json"`). An option that may be given several times is an
/// array there, and in the environment its values are separated by spaces ([`LIST_DELIMITER`]). An option of the form
/// `key=value,…` may be a table. Secrets ([`SecretText`]) are refused in the file, and
/// so are addresses of databases with a password.
pub fn read_options_from<P: Parser>(
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<P, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let mut command = P::command();
    if let Some(path) = config_path(&arguments) {
        command = with_file(command, Path::new(&path))?;
    }
    let mut matches = command.clone().try_get_matches_from(arguments)?;
    P::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The file must be known before the rest can be parsed.
fn config_path(arguments: &[OsString]) -> Option<OsString> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        if text == "--config" {
            return arguments.next().cloned();
        }
        if let Some(path) = text.strip_prefix("--config=") {
            return Some(path.into());
        }
    }
    std::env::var_os("MHEALTH_CONFIG").filter(|path| !path.is_empty())
}

fn with_file(command: Command, path: &Path) -> Result<Command, clap::Error> {
    let fail = |command: &Command, message: String| {
        let message = format!("the configuration file {}: {message}", path.display());
        Err(command.clone().error(ErrorKind::InvalidValue, message))
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return fail(&command, error.to_string()),
    };
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            // The error's own text shows the line, which may hold what should not be shown.
            let error: toml::de::Error = error;
            return fail(&command, error.message().to_owned());
        }
    };
    let mut command = command;
    for (key, value) in table {
        let name = key.replace('_', "-");
        let Some(argument) = find(&command, &name) else {
            return fail(&command, format!("there is no option {key}"));
        };
        if argument.get_value_parser().type_id() == TypeId::of::<SecretText>() {
            return fail(
                &command,
                format!("{key} is a secret (secret_in_file); give it by the environment or a file of its own"),
            );
        }
        let is_address = argument.get_value_parser().type_id() == TypeId::of::<DatabaseUrl>();
        let values = match texts(&value) {
            Some(values) => values,
            None => {
                return fail(
                    &command,
                    format!("the value of {key} has no form that an option can have"),
                )
            }
        };
        if is_address && values.iter().any(|address| has_password(address)) {
            return fail(
                &command,
                format!(
                    "{key} has a password in it (secret_in_file); give the address by the environment, or by a file of its own \
                     with --{name}-url-file"
                ),
            );
        }
        command = with_defaults(command, &name, &values);
    }
    Ok(command)
}

fn find<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let own = command
        .get_arguments()
        .find(|argument| argument.get_long() == Some(name));
    own.filter(|argument| argument.get_long() != Some("config"))
        .or_else(|| {
            command
                .get_subcommands()
                .find_map(|command| find(command, name))
        })
}

/// An option's texts on the command line; none for what has no such text.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        single => text(single).map(|text| vec![text]),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        Value::Table(table) => {
            let members = table.iter().map(|(key, value)| match value {
                Value::Table(_) | Value::Array(_) => None,
                value => text(value).map(|text| format!("{key}={text}")),
            });
            members
                .collect::<Option<Vec<_>>>()
                .map(|members| members.join(","))
        }
        Value::Array(_) | Value::Datetime(_) => None,
    }
}

/// clap keeps defaults for as long as the process lives, and so do these: they are read at the start, and when an operator asks
/// for it.
fn with_defaults(command: Command, name: &str, values: &[String]) -> Command {
    let own = command
        .get_arguments()
        .find(|argument| argument.get_long() == Some(name));
    let id = own.map(|argument| argument.get_id().clone());
    let subcommands: Vec<String> = command
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    let mut command = command;
    if let Some(id) = id {
        let defaults: Vec<OsStr> = values
            .iter()
            .map(|value| OsStr::from(&*Box::leak(value.clone().into_boxed_str())))
            .collect();
        command = command.mut_arg(id, |argument| {
            argument.default_values(defaults).required(false)
        });
    }
    for subcommand in subcommands {
        command =
            command.mut_subcommand(subcommand, |command| with_defaults(command, name, values));
    }
    command
}
