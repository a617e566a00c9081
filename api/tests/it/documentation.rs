//! README.md and docs/: examples give the answers that are shown, tables of settings are complete, and links are valid.

mod links;

use crate::harness::api_process::ApiCommand;
use clap::{Arg, CommandFactory as _};
use reckon_api::args::Cli;
use reckon_contract::{Tuning, tuning};
use reckon_harness::generated::{compare, row};
use serde_json::Value;
use std::time::Duration;

const SETTINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/settings.md");
const README: &str = include_str!("../../../README.md");
const IMPORT_ENDS: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_rows_in_the_readme_give_the_answer_that_it_shows() {
    let directory = tempfile::tempdir().unwrap();
    let with_data = || ApiCommand::new().env("RECKON_DATA", directory.path().join("reckon.db"));
    let mut import = with_data().args(["import"]);
    for (option, header) in [
        ("--searches", "| id | search |"),
        ("--purchases", "| id | product_name |"),
    ] {
        let file = directory.path().join(format!("rows{option}.csv"));
        std::fs::write(&file, csv(header)).unwrap();
        import = import.args([option.as_ref(), file.as_os_str()]);
    }
    let mut import = import.spawn();
    let exit = import.process.exit(IMPORT_ENDS).await;
    assert!(exit.status.success(), "{:?}", import.process.logs());

    let api = with_data().spawn();
    api.ready().await;
    let answer = api.client().get("/recommend/7").await;
    assert_eq!(
        answer.body,
        shown_answer("$ curl localhost:8000/recommend/7\n")
    );
}

/// The rows below a header in the README, as CSV.
fn csv(header: &str) -> String {
    let lines = README.lines().skip_while(|line| !line.starts_with(header));
    let table = lines.take_while(|line| line.starts_with('|'));
    let rows = table.filter(|line| !line.starts_with("|--"));
    rows.map(|line| line.trim_matches('|').replace('|', ","))
        .map(|line| line.replace(" , ", ",").trim().to_owned() + "\n")
        .collect()
}

/// The line below a command in the README.
fn shown_answer(command: &str) -> &'static str {
    let (_, below) = README.split_once(command).unwrap();
    below.lines().next().unwrap()
}

#[test]
fn the_settings_page_has_every_variable_and_option() {
    let command = Cli::command();
    let mut table =
        row(&["variable", "option", "default", "meaning"]) + &row(&["---", "---", "---", "---"]);
    for argument in command.get_arguments() {
        if argument
            .get_long()
            .is_some_and(|long| long != "help" && long != "version")
        {
            table += &option_row(argument);
        }
    }
    compare(SETTINGS, "environment", &table);
}

fn option_row(argument: &Arg) -> String {
    let variable = argument.get_env().and_then(|name| name.to_str());
    let defaults: Vec<_> = argument
        .get_default_values()
        .iter()
        .filter_map(|value| value.to_str())
        .filter(|value| !value.is_empty() && *value != "false")
        .map(code)
        .collect();
    let option = argument.get_long().unwrap_or_default();
    row(&[
        &variable.map(code).unwrap_or_default(),
        &code(&format!("--{option}")),
        &defaults.join(", "),
        &meaning(argument),
    ])
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or_else(|| argument.get_help());
    let mut meaning = help.map(ToString::to_string).unwrap_or_default();
    let values = argument.get_possible_values();
    let described = values.iter().filter_map(|value| {
        let help = value.get_help()?;
        Some(format!("<br>{}: {help}", code(value.get_name())))
    });
    meaning.extend(described);
    meaning
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

#[test]
fn the_settings_page_has_every_field_of_the_tuning_file() {
    let defaults = serde_json::to_value(Tuning::default()).unwrap();
    let mut table =
        row(&["field", "allowed", "default", "meaning"]) + &row(&["---", "---", "---", "---"]);
    add_fields("", &tuning::schema(), &defaults, &mut table);
    compare(SETTINGS, "tuning", &table);
}

fn add_fields(path: &str, schema: &Value, defaults: &Value, table: &mut String) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = match path {
            "" => name.clone(),
            outer => format!("{outer}.{name}"),
        };
        // Absent if a file with the defaults omits the part.
        let default = defaults.get(name).unwrap_or(&field["default"]);
        if field["properties"].is_object() {
            add_fields(&path, field, default, table);
            continue;
        }
        let default = match default {
            Value::Null => String::new(),
            Value::String(text) => code(text),
            other => code(&other.to_string()),
        };
        let description = field["description"].as_str().unwrap_or_default();
        let meaning = without_default(&description.replace('\n', " "));
        *table += &row(&[&code(&path), &allowed(field), &default, &meaning]);
    }
}

/// A description without the default at its end, because the default has a separate column.
fn without_default(description: &str) -> String {
    match description.rsplit_once(" Default ") {
        Some((before, default)) if default.ends_with('.') => before.to_owned(),
        _ => description.to_owned(),
    }
}

fn allowed(field: &Value) -> String {
    if let (Some(least), Some(most)) = (field["minimum"].as_f64(), field["maximum"].as_f64()) {
        return format!("{least} to {most}");
    }
    let choices = field["oneOf"].as_array().into_iter().flatten();
    let choices: Vec<_> = choices
        .filter_map(|choice| choice["const"].as_str())
        .map(code)
        .collect();
    if !choices.is_empty() {
        return choices.join(", ");
    }
    let type_ = match &field["type"] {
        Value::Array(types) => &types[0],
        one => one,
    };
    match type_.as_str() {
        Some("boolean") => "true, false".to_owned(),
        Some("array") => "a list".to_owned(),
        _ => "text".to_owned(),
    }
}
