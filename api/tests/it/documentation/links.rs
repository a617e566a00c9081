//! Links of README.md, of the other documents and of docs/: the file and the heading exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A document without its code blocks.
struct Document {
    links: Vec<String>,
    headings: BTreeSet<String>,
}

#[test]
fn links_lead_to_a_file_and_a_heading() {
    let documents = documents();
    let mut broken = Vec::new();
    let mut checked = 0;
    for (path, document) in &documents {
        for link in document.links.iter().filter(|link| !link.contains("://")) {
            checked += 1;
            if let Err(why) = follow(path, link, &documents) {
                broken.push(format!("{}: {link}: {why}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(checked > 100, "only {checked} links were found");
}

/// Links to other places would be broken in the pages that mdBook creates.
#[test]
fn pages_link_to_pages_only() {
    for (path, document) in pages(&documents()) {
        for link in document.links.iter().filter(|link| !link.contains("://")) {
            let target = target(path, link).0;
            assert!(
                target.starts_with("docs"),
                "{} links to {link}: name a file outside docs/ in code font instead",
                path.display()
            );
        }
    }
}

#[test]
fn every_page_is_in_the_summary() {
    let documents = documents();
    let summary = &documents[Path::new("docs/SUMMARY.md")];
    let listed: BTreeSet<PathBuf> = summary
        .links
        .iter()
        .map(|link| Path::new("docs").join(link))
        .collect();
    let pages = pages(&documents).map(|(path, _)| path.clone());
    let pages: BTreeSet<PathBuf> = pages
        .filter(|path| path != Path::new("docs/SUMMARY.md"))
        .collect();
    assert_eq!(listed, pages);
    assert!(pages.len() > 10);
}

fn pages(documents: &BTreeMap<PathBuf, Document>) -> impl Iterator<Item = (&PathBuf, &Document)> {
    documents
        .iter()
        .filter(|(path, _)| path.starts_with("docs"))
}

/// The file that a link names, by its path from the root, and the heading.
fn target(from: &Path, link: &str) -> (PathBuf, Option<String>) {
    let (file, heading) = link
        .split_once('#')
        .map_or((link, None), |(file, heading)| {
            (file, Some(heading.to_owned()))
        });
    if file.is_empty() {
        return (from.to_owned(), heading);
    }
    let mut path = PathBuf::new();
    for part in from.parent().unwrap().join(file).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            part => path.push(part),
        }
    }
    (path, heading)
}

fn follow(
    from: &Path,
    link: &str,
    documents: &BTreeMap<PathBuf, Document>,
) -> Result<(), &'static str> {
    let (path, heading) = target(from, link);
    if !Path::new(ROOT).join(&path).exists() {
        return Err("there is no such file");
    }
    let Some(heading) = heading else {
        return Ok(());
    };
    match documents.get(&path) {
        None => Err("its headings are not known here"),
        Some(document) if document.headings.contains(&heading) => Ok(()),
        Some(_) => Err("there is no such heading"),
    }
}

fn documents() -> BTreeMap<PathBuf, Document> {
    let mut documents = BTreeMap::new();
    for directory in [
        "",
        "docs",
        "docs/kubernetes",
        "docs/runbooks",
        "e2e/cluster",
    ] {
        for entry in fs::read_dir(Path::new(ROOT).join(directory)).unwrap() {
            let name = entry.unwrap().file_name();
            let path = Path::new(directory).join(name);
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(Path::new(ROOT).join(&path)).unwrap();
                documents.insert(path, read(&text));
            }
        }
    }
    documents
}

fn read(text: &str) -> Document {
    let mut document = Document {
        links: Vec::new(),
        headings: BTreeSet::new(),
    };
    for line in outside_code(text) {
        if let Some(heading) = heading(line) {
            let anchor = anchor(heading);
            let repeated = (1..).map(|number| format!("{anchor}-{number}"));
            let free = std::iter::once(anchor.clone())
                .chain(repeated)
                .find(|anchor| !document.headings.contains(anchor));
            document.headings.extend(free);
        } else {
            let ends = line.split("](").skip(1);
            let targets = ends.filter_map(|rest| rest.split_once(')'));
            document
                .links
                .extend(targets.map(|(link, _)| link.to_owned()));
        }
    }
    document
}

fn outside_code(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

fn heading(line: &str) -> Option<&str> {
    let (level, heading) = line.split_once("# ")?;
    level.chars().all(|sign| sign == '#').then_some(heading)
}

/// The anchor that GitHub and mdBook create from a heading.
fn anchor(heading: &str) -> String {
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|sign| match sign {
            ' ' => Some('-'),
            '-' | '_' => Some(sign),
            _ => sign.is_alphanumeric().then_some(sign),
        })
        .collect()
}

#[test]
fn a_heading_in_a_code_block_is_ignored_and_a_repeated_one_gets_a_number() {
    let document = read(
        "# A `b` c?\n```sh\n# comment [x](y)\n```\n## A b c\n[link](to.md#a-b-c-1) ![two](too.png)\n",
    );
    let headings: Vec<_> = document.headings.iter().collect();
    assert_eq!(headings, ["a-b-c", "a-b-c-1"]);
    assert_eq!(document.links, ["to.md#a-b-c-1", "too.png"]);
}
