//! What docs/ says of the resource: every field, every reason.

use reckon_harness::generated::{compare, row};
use reckon_operator::crd;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const RESOURCE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/kubernetes/resource.md"
);
const TROUBLESHOOTING: &str = include_str!("../../../docs/troubleshooting.md");
/// Fields of Kubernetes' own types, which its documentation describes.
const OF_KUBERNETES: [&str; 3] = ["pod.affinity", "pod.resources", "training.resources"];

#[test]
fn the_resource_page_has_every_field() {
    let definition: Value = serde_yaml::from_str(&crd::yaml().unwrap()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    compare(RESOURCE, "spec", &sections(&schema["spec"]));
    let mut status = head();
    add_fields("", &schema["status"], &mut status);
    compare(RESOURCE, "status", &status);
}

/// Fields without fields of their own first, then a section for each other one.
fn sections(spec: &Value) -> String {
    let fields = spec["properties"].as_object().unwrap();
    let (outer, plain): (Vec<_>, Vec<_>) = fields
        .iter()
        .partition(|(_, field)| field["properties"].is_object());
    let mut text = head();
    for (name, field) in plain {
        text += &field_row(name, field, is_required(spec, name));
    }
    for (name, field) in outer {
        text += &["\n### ", name, "\n\n", &description(field), "\n\n"].concat();
        text += &head();
        add_fields(name, field, &mut text);
        text += &rules(field);
    }
    let whole: Vec<_> = own_rules(spec).collect();
    text + "\n### The whole resource\n" + &list(&whole)
}

fn head() -> String {
    row(&["field", "type", "default", "meaning"]) + &row(&["---", "---", "---", "---"])
}

fn add_fields(path: &str, schema: &Value, text: &mut String) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = match path {
            "" => name.clone(),
            outer => format!("{outer}.{name}"),
        };
        *text += &field_row(&path, field, is_required(schema, name));
        if !OF_KUBERNETES.contains(&path.as_str()) {
            add_fields(&path, field, text);
        }
    }
}

fn is_required(schema: &Value, name: &str) -> bool {
    let required = schema["required"].as_array().into_iter().flatten();
    required.into_iter().any(|required| required == name)
}

fn field_row(path: &str, field: &Value, is_required: bool) -> String {
    let default = match &field["default"] {
        _ if is_required => "required".to_owned(),
        Value::Null => String::new(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    };
    let path = format!("`{path}`");
    row(&[&path, &type_of(field), &default, &description(field)])
}

fn type_of(field: &Value) -> String {
    if let Some(choices) = field["enum"].as_array() {
        let choices = choices.iter().filter_map(Value::as_str);
        return choices
            .map(|choice| format!("`{choice}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    match (field["minimum"].as_u64(), field["maximum"].as_u64()) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        _ => field["type"].as_str().unwrap_or("any").to_owned(),
    }
}

fn description(field: &Value) -> String {
    field["description"].as_str().unwrap_or_default().to_owned()
}

/// The rules of a field and of those in it, each once.
fn rules(field: &Value) -> String {
    let mut messages = Vec::new();
    collect_rules(field, &mut messages);
    let mut seen = BTreeSet::new();
    messages.retain(|message| seen.insert(*message));
    list(&messages)
}

fn collect_rules<'a>(field: &'a Value, messages: &mut Vec<&'a str>) {
    messages.extend(own_rules(field));
    for (_, inner) in field["properties"].as_object().into_iter().flatten() {
        collect_rules(inner, messages);
    }
}

fn own_rules(schema: &Value) -> impl Iterator<Item = &str> {
    let rules = schema["x-kubernetes-validations"].as_array();
    let rules = rules.into_iter().flatten();
    rules.filter_map(|rule| rule["message"].as_str())
}

fn list(messages: &[&str]) -> String {
    if messages.is_empty() {
        return String::new();
    }
    let items = messages.iter().map(|message| format!("\n- {message}"));
    "\nRules:\n".to_owned() + &items.collect::<String>() + "\n"
}

#[test]
fn exactly_the_existing_reasons_are_explained() {
    let (_, by_reason) = TROUBLESHOOTING.split_once("## By reason").unwrap();
    let first_cells = by_reason
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let explained: BTreeSet<&str> = first_cells
        .flat_map(|cell| cell.split(", "))
        .map(|reason| reason.trim_matches('`'))
        .collect();
    assert!(explained.len() > 40, "{explained:?}");
    assert_eq!(explained, BTreeSet::from(crd::CONDITION_REASONS));

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let conditions = source(&root.join("src/controller"));
    let given = reasons(&conditions);
    assert!(given.len() > 20, "{given:?}");
    let missing: Vec<_> = given.difference(&explained).collect();
    assert!(missing.is_empty(), "not explained: {missing:?}");

    let all = conditions + &source(&root.join("src")) + &source(&root.join("../api/contract/src"));
    let unknown: Vec<_> = explained
        .iter()
        .filter(|reason| !all.contains(**reason))
        .collect();
    assert!(unknown.is_empty(), "no such reason: {unknown:?}");
}

/// The words that follow a condition's status in the source: `Status::False, "SecretMissing"`.
fn reasons(source: &str) -> BTreeSet<&str> {
    let statuses = source.split("Status::").skip(1);
    let arguments = statuses.filter_map(|rest| Some(rest.split_once(',')?.1.trim_start()));
    arguments
        .filter_map(|argument| argument.strip_prefix('"')?.split('"').next())
        .filter(|word| word.chars().all(char::is_alphanumeric))
        .collect()
}

/// All of the Rust files in a directory, without tests and without the list of reasons.
fn source(directory: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &source(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("tests.rs")
            && !path.ends_with("crd/status.rs")
        {
            text += &fs::read_to_string(&path).unwrap();
        }
    }
    text
}
