//! Messages about invalid arguments.

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Ends the process with a message. An invalid value gets a message of one line, for logs; other errors get clap's
/// message.
pub(super) fn end(error: &clap::Error) -> ! {
    if !matches!(
        error.kind(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
    ) {
        error.exit()
    }
    let text = error.to_string();
    let lines = text.lines().map(str::trim);
    let lines: Vec<_> = lines
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .collect();
    eprintln!("{}", lines.join(" "));
    std::process::exit(error.exit_code())
}

/// If the invalid value came from an environment variable, the message names the variable instead of the option.
pub(super) fn with_variable(mut command: Command, mut error: clap::Error) -> clap::Error {
    let is = |kind, text: &str| matches!(error.get(kind), Some(ContextValue::String(known)) if known == text);
    command.build();
    let variable = command
        .get_arguments()
        .filter(|argument| is(ContextKind::InvalidArg, &argument.to_string()))
        .filter_map(|argument| argument.get_env()?.to_str())
        .find(|name| std::env::var(name).is_ok_and(|value| is(ContextKind::InvalidValue, &value)));
    if let Some(name) = variable {
        let name = ContextValue::String(name.to_owned());
        error.insert(ContextKind::InvalidArg, name);
    }
    error
}
