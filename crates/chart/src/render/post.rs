//! Post-rendering: another program sees all documents as one stream and gives back what is to be installed.
//!
//! An annotation carries each document's path there and back. Texts are left as they are wherever the annotation can be
//! put in and taken out as lines of their own; other documents are written anew.

use super::manifests::split;
use crate::Error;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const ANNOTATION: &str = "postrenderer.helm.sh/postrender-filename";

/// Gives the stream of documents to the program and takes what comes back apart.
pub(super) fn run(
    files: &BTreeMap<String, String>,
    program: &(dyn Fn(&str) -> Result<String, String> + Send + Sync),
) -> Result<BTreeMap<String, String>, Error> {
    let fail = |doing: &str, why: &str| Error::Template(format!("{doing}: {why}"));
    let mut stream: Vec<String> = Vec::new();
    for (path, text) in files {
        let base = path.rsplit('/').next().unwrap_or(path);
        if base.starts_with('_') || text.trim().is_empty() {
            continue;
        }
        for document in split(text) {
            let marked = marked(document, path);
            stream.extend(marked.map_err(|why| fail("error merging manifests", &format!("parsing {path}: {why}")))?);
        }
    }
    let answer =
        program(&stream.join("---\n")).map_err(|why| fail("error while running post render on files", &why))?;
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut place = 0;
    for document in split(&answer) {
        let cleared = cleared(document)
            .map_err(|why| fail("error while parsing post rendered output", &format!("error parsing YAML: {why}")))?;
        let Some((path, text)) = cleared else { continue };
        let path = path.unwrap_or_else(|| format!("generated-by-postrender-{place}.yaml"));
        place += 1;
        let file = files.entry(path).or_default();
        if !file.is_empty() {
            file.push_str("---\n");
        }
        file.push_str(&text);
    }
    Ok(files)
}

fn parse(document: &str) -> Result<Value, String> {
    goyaml::unmarshal(document).map_err(|error| error.to_string())
}

fn ended(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

/// A document with its path in an annotation; nothing when there are only comments.
fn marked(document: &str, path: &str) -> Result<Option<String>, String> {
    let mut value = parse(document)?;
    let Value::Object(object) = &mut value else {
        return if value.is_null() { Ok(None) } else { Err("a document is no mapping".to_owned()) };
    };
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    if !metadata["annotations"].is_object() {
        metadata["annotations"] = Value::Object(Map::new());
    }
    metadata["annotations"][ANNOTATION] = path.into();
    let line = format!("{ANNOTATION}: '{}'", path.replace('\'', "''"));
    let text = inserted(document, &line).filter(|text| parse(text).as_ref() == Ok(&value));
    text.map_or_else(|| goyaml::to_yaml(&value).map_err(|error| error.to_string()), Ok).map(Some)
}

/// Puts a line below `metadata.annotations` where these stand in block style.
fn inserted(document: &str, line: &str) -> Option<String> {
    let mut lines: Vec<String> = document.trim_end().lines().map(str::to_owned).collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let metadata = lines.iter().position(|line| line.trim_end() == "metadata:")?;
    let behind = |start: usize, least: usize| {
        let inside = |line: &&String| line.trim().is_empty() || indent(line) >= least;
        start + lines[start..].iter().take_while(inside).count()
    };
    let end = behind(metadata + 1, 1);
    let child = lines[metadata + 1..end].iter().find(|line| !line.trim().is_empty()).map_or(2, |line| indent(line));
    let is_annotations = |line: &String| indent(line) == child && line.trim() == "annotations:";
    match (metadata + 1..end).find(|place| is_annotations(&lines[*place])) {
        Some(annotations) => {
            let stop = behind(annotations + 1, child + 1);
            let first = lines[annotations + 1..stop].iter().find(|line| !line.trim().is_empty());
            let deeper = first.map_or(child + 2, |line| indent(line));
            lines.insert(annotations + 1, format!("{:deeper$}{line}", ""));
        }
        None => {
            let mut last = end;
            while lines[last - 1].trim().is_empty() {
                last -= 1;
            }
            lines.insert(last, format!("{:child$}annotations:", ""));
            lines.insert(last + 1, format!("{:deeper$}{line}", "", deeper = child + 2));
        }
    }
    Some(ended(&lines.join("\n")))
}

/// The path in a document's annotation, and the document without it; nothing when there are only comments.
fn cleared(document: &str) -> Result<Option<(Option<String>, String)>, String> {
    let mut value = parse(document)?;
    if value.is_null() {
        return Ok(None);
    }
    let path = value["metadata"]["annotations"][ANNOTATION].as_str().map(str::to_owned);
    if path.is_none() {
        return Ok(Some((None, ended(document))));
    }
    let metadata = value.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = metadata
        && let Some(Value::Object(annotations)) = metadata.get_mut("annotations")
    {
        annotations.shift_remove(ANNOTATION);
        if annotations.is_empty() {
            metadata.shift_remove("annotations");
        }
    }
    let bare = |line: &str| line.trim().trim_matches(['"', '\'']).to_owned();
    let is_mark = |line: &str| bare(line).split(':').next().map(bare) == Some(ANNOTATION.to_owned());
    let mut lines: Vec<&str> = document.lines().filter(|line| !is_mark(line)).collect();
    let same = |lines: &[&str]| Some(ended(&lines.join("\n"))).filter(|text| parse(text).as_ref() == Ok(&value));
    let mut text = same(&lines);
    if text.is_none()
        && let Some(empty) = lines.iter().position(|line| line.trim() == "annotations:")
    {
        lines.remove(empty);
        text = same(&lines);
    }
    let text = text.map_or_else(|| goyaml::to_yaml(&value).map_err(|error| error.to_string()), Ok)?;
    Ok(Some((path, text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> BTreeMap<String, String> {
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn what_a_program_leaves_alone_stays_as_it_is() {
        let plain = "# said\nkind: A\nmetadata:\n  name: a # why\nspec: {x: \"1\"}\n";
        let annotated = "kind: B\nmetadata:\n    annotations:\n        k: v\n    name: b\ndata: |\n  metadata:\n";
        let flow = "kind: C\nmetadata: {name: c}\n";
        let given = files(&[
            ("c/templates/a.yaml", &format!("{plain}---\n{annotated}")),
            ("c/templates/b.yaml", flow),
            ("c/templates/_x.tpl", "no"),
            ("c/templates/n.yaml", "# only words\n"),
        ]);
        let seen = std::sync::Mutex::new(String::new());
        let echo = |text: &str| {
            text.clone_into(&mut seen.lock().unwrap());
            Ok(text.to_owned())
        };
        let back = run(&given, &echo).unwrap();
        assert_eq!(back["c/templates/a.yaml"], format!("{plain}---\n{annotated}"));
        assert_eq!(parse(&back["c/templates/b.yaml"]), parse(flow));
        assert_eq!(back.len(), 2);
        let stream = seen.into_inner().unwrap();
        assert!(stream.contains("annotations:\n    postrenderer.helm.sh/postrender-filename: 'c/templates/a.yaml'\n"));
        assert_eq!(stream.matches("postrender-filename").count(), 3);
    }

    #[test]
    fn what_a_program_adds_has_a_name_and_failures_are_told() {
        let given = files(&[("c/templates/a.yaml", "kind: A\n")]);
        let back = run(&given, &|text| Ok(format!("kind: New\n---\n{text}"))).unwrap();
        assert_eq!(back["generated-by-postrender-0.yaml"], "kind: New\n");
        assert_eq!(parse(&back["c/templates/a.yaml"]).unwrap()["kind"], "A");
        let error = |program: &(dyn Fn(&str) -> Result<String, String> + Send + Sync)| {
            run(&given, program).unwrap_err().to_string()
        };
        assert_eq!(error(&|_| Err("x".to_owned())), "error while running post render on files: x");
        assert!(error(&|_| Ok("a: [".to_owned())).starts_with("error while parsing post rendered output: "));
        assert!(
            run(&files(&[("f", "- 1\n")]), &|_| Ok(String::new())).unwrap_err().to_string().contains("parsing f: ")
        );
    }
}
