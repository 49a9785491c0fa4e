//! What `helm template` prints.

use crate::glob::matches_path;
use crate::render::split_documents;
use crate::{Error, HookEvent, Rendered};

/// What of a rendering is printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateOutput {
    /// `--include-crds`: custom resource definitions come first.
    pub include_crds: bool,
    /// `--no-hooks`: leave all hooks out.
    pub no_hooks: bool,
    /// `--skip-tests`: leave test hooks out.
    pub skip_tests: bool,
    /// `--show-only`: patterns of paths below the chart; empty means everything.
    pub show_only: Vec<String>,
    /// `--hide-secret`: say that a Secret would be here instead of showing it.
    pub hide_secrets: bool,
}

/// One file of `--output-dir`: its path below that directory, and what is appended to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Path with the chart's name in front.
    pub path: String,
    /// The document with its separator and source line.
    pub content: String,
}

impl Rendered {
    /// The text of `helm template`, hooks included.
    ///
    /// Errors: [`Error::NoSuchTemplate`] for a pattern of `show_only` that nothing matches.
    pub fn template_output(&self, wanted: &TemplateOutput) -> Result<String, Error> {
        let mut text = self.release_text(wanted);
        let blank = text.len() - text.trim_start().len();
        text.drain(..blank);
        text.truncate(text.trim_end().len());
        text.push('\n');
        for hook in self.shown_hooks(wanted) {
            push_framed(&mut text, &hook.path, &hook.manifest);
        }
        if wanted.show_only.is_empty() { Ok(text) } else { show_only(&text, &wanted.show_only) }
    }

    /// What `helm template --output-dir` writes, in order. Several documents of one file are appended to each other.
    pub fn output_files(&self, wanted: &TemplateOutput) -> Vec<OutputFile> {
        let mut files = Vec::new();
        if wanted.include_crds {
            files.extend(
                self.crds.iter().map(|crd| OutputFile {
                    path: crd.filename.clone(),
                    content: frame(&crd.filename, &crd.file.text()),
                }),
            );
        }
        files.extend(self.manifests.iter().map(|m| OutputFile { path: m.path.clone(), content: m.framed() }));
        files.extend(self.shown_hooks(wanted).map(|h| OutputFile { path: h.path.clone(), content: h.framed() }));
        files
    }

    fn shown_hooks(&self, wanted: &TemplateOutput) -> impl Iterator<Item = &crate::Hook> {
        let (none, no_tests) = (wanted.no_hooks, wanted.skip_tests);
        self.hooks.iter().filter(move |h| !(none || no_tests && h.runs_on(HookEvent::Test)))
    }

    /// The manifest as `helm template` prints it, which is the stored one with what the options add or hide.
    pub fn release_text(&self, wanted: &TemplateOutput) -> String {
        let mut text = String::with_capacity(self.manifests.iter().map(|m| m.path.len() + m.content.len() + 32).sum());
        if wanted.include_crds {
            for crd in &self.crds {
                push_framed(&mut text, &crd.filename, &crd.file.text());
            }
        }
        for manifest in &self.manifests {
            if wanted.hide_secrets && manifest.kind == "Secret" && manifest.api_version == "v1" {
                text.push_str(&format!(
                    "---\n# Source: {}\n# HIDDEN: The Secret output has been suppressed\n",
                    manifest.path
                ));
            } else {
                push_framed(&mut text, &manifest.path, &manifest.content);
            }
        }
        text
    }
}

fn frame(path: &str, content: &str) -> String {
    let mut text = String::new();
    push_framed(&mut text, path, content);
    text
}

fn push_framed(text: &mut String, path: &str, content: &str) {
    ["---\n# Source: ", path, "\n", content, "\n"].into_iter().for_each(|part| text.push_str(part));
}

/// The documents whose path below the chart matches, pattern by pattern.
fn show_only(text: &str, patterns: &[String]) -> Result<String, Error> {
    let documents: Vec<&str> = split_documents(text).collect();
    let mut out = String::new();
    for pattern in patterns {
        let before = out.len();
        for document in &documents {
            if source_of(document).is_some_and(|path| matches_path(pattern, path)) {
                out.push_str(&format!("---\n{document}\n"));
            }
        }
        if out.len() == before {
            return Err(Error::NoSuchTemplate(pattern.clone()));
        }
    }
    Ok(out)
}

/// The path in a document's source line, without the chart's name.
fn source_of(document: &str) -> Option<&str> {
    document.lines().find_map(|line| {
        let (_, path) = line.split_once("# Source: ")?;
        let (chart, below) = path.split_once('/')?;
        (!chart.is_empty() && !below.is_empty()).then_some(below)
    })
}
