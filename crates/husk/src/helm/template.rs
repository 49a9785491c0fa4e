//! `helm template`: what a chart renders to.

use super::chart_ref::{self, CHART_PATH, DEPENDENCY_UPDATE};
use super::flags::{Flag, Kind, Parsed};
use super::plugin;
use super::remote::REMOTE;
use super::settings::Settings;
use super::values::{self, VALUES};
use super::verb::{Arity, Outcome, Verb};
use super::{install, operation};
use chart::{KubeVersion, Log, RenderOptions, TemplateOutput};
use release::DryRun;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub(super) const TEMPLATE: Verb = Verb {
    names: &["template"],
    path: "template",
    arguments: "[NAME] [CHART]",
    about: "Render a chart without a cluster and print what it becomes.",
    arity: Arity::AtLeast(1),
    flags: &[VALUES, CHART_PATH, DEPENDENCY_UPDATE, REMOTE, FLAGS, operation::OUTSIDE, OF_INSTALL],
    run,
};

const FLAGS: &[Flag] = &[
    Flag::new("api-versions", Kind::List).short('a'),
    Flag::new("dry-run", Kind::Bare("unset")),
    Flag::new("generate-name", Kind::Switch).short('g'),
    Flag::new("include-crds", Kind::Switch),
    Flag::new("is-upgrade", Kind::Switch),
    Flag::new("kube-version", Kind::Text),
    Flag::new("name-template", Kind::Text),
    Flag::new("no-hooks", Kind::Switch),
    Flag::new("output-dir", Kind::Text),
    Flag::new("release-name", Kind::Switch),
    Flag::new("show-only", Kind::Repeat).short('s'),
    Flag::new("skip-schema-validation", Kind::Switch),
    Flag::new("skip-tests", Kind::Switch),
    Flag::new("validate", Kind::Switch).deprecated("use '--dry-run=server' instead"),
];

/// What concerns an installation: taken, and without effect on what is printed, as in Helm.
const OF_INSTALL: &[Flag] = &[
    Flag::new("atomic", Kind::Switch).deprecated("use --rollback-on-failure instead"),
    Flag::new("create-namespace", Kind::Switch),
    Flag::new("description", Kind::Text),
    Flag::new("disable-openapi-validation", Kind::Switch),
    Flag::new("force", Kind::Switch).deprecated("use --force-replace instead"),
    Flag::new("force-conflicts", Kind::Switch),
    Flag::new("force-replace", Kind::Switch),
    Flag::new("hide-notes", Kind::Switch).deprecated(NO_NOTES),
    Flag::new("labels", Kind::Pairs).short('l'),
    Flag::new("render-subchart-notes", Kind::Switch).deprecated(NO_NOTES),
    Flag::new("replace", Kind::Switch),
    Flag::new("rollback-on-failure", Kind::Switch),
    Flag::new("server-side", Kind::Switch),
    Flag::new("skip-crds", Kind::Switch),
    Flag::new("take-ownership", Kind::Switch),
    Flag::new("timeout", Kind::Duration),
    Flag::new("wait", Kind::Bare("watcher")),
    Flag::new("wait-for-jobs", Kind::Switch),
];

const NO_NOTES: &str = "this flag has no effect for 'helm template' and will be removed in Helm 5";

fn run(parsed: &Parsed, settings: &Settings) -> Outcome {
    let dry_run = operation::dry_run(parsed, true)?;
    let server = dry_run == DryRun::Server || parsed.on("validate");
    let (name, chart) = chart_ref::name_and_chart(parsed, Some("release-name"))?;
    let located = chart_ref::locate(&chart, parsed)?;
    let user = values::gather(parsed)?;
    let mut log = Log::default();
    let chart = chart_ref::complete(&located, parsed, settings.debug)?;
    if let Err(error) = release::operation::check_name(&name) {
        return Err(install::name_refused(&error));
    }
    let mut options = options(&name, settings);
    options.resolve_host = operation::resolver(parsed);
    options.post_render = plugin::post_renderer(parsed)?;
    if let Some(text) = parsed.text("kube-version").filter(|text| !text.is_empty()) {
        options.capabilities.kube_version = KubeVersion::parse(text).map_err(|error| error.to_string())?;
    }
    options.capabilities.api_versions.0.extend(parsed.all("api-versions"));
    options.is_upgrade = parsed.on("is-upgrade");
    options.is_install = !options.is_upgrade;
    options.skip_schema_validation = parsed.on("skip-schema-validation");
    let wanted = TemplateOutput {
        include_crds: parsed.on("include-crds"),
        no_hooks: parsed.on("no-hooks"),
        skip_tests: parsed.on("skip-tests"),
        show_only: parsed.all("show-only"),
        hide_secrets: false,
    };
    let rendered = match server {
        false => chart::render_logged(&chart, &user, &options, &mut log),
        true => on_server(&chart, &user, &mut options, &mut log, settings)?,
    };
    super::say(&mut log);
    let rendered = match rendered {
        Ok(rendered) => rendered,
        Err(error) if !error.has_debug_hint() => return Err(error.to_string()),
        Err(error) if !settings.debug => return Err(format!("{error}\n\nUse --debug flag to render out invalid YAML")),
        Err(error) => {
            // What rendered is shown even though it is no manifest.
            if let Ok(files) = chart::render::render_files(&chart, &user, &options, &mut log) {
                let shown = files.iter().filter(|(path, text)| !text.trim().is_empty() && !path.ends_with("NOTES.txt"));
                shown.for_each(|(path, text)| super::out(&format!("---\n# Source: {path}\n{text}\n")));
            }
            return Err(error.to_string());
        }
    };
    match parsed.text("output-dir").filter(|text| !text.is_empty()) {
        None => super::out(&rendered.template_output(&wanted).map_err(|error| error.to_string())?),
        Some(place) => {
            let directory = if parsed.on("release-name") { format!("{place}/{name}") } else { place.to_owned() };
            write(&directory, &rendered, &wanted)?;
            if !wanted.show_only.is_empty() {
                return Err(chart::Error::NoSuchTemplate(wanted.show_only[0].clone()).to_string());
            }
            super::out("\n");
        }
    }
    // The process ends here: giving all of it back piece by piece would only take time.
    std::mem::forget((rendered, chart));
    Ok(())
}

/// Renders with what the cluster says about itself. Readers of live objects block, so the rendering has its own thread.
fn on_server(
    chart: &chart::Chart,
    user: &chart::Values,
    options: &mut RenderOptions,
    log: &mut Log,
    settings: &Settings,
) -> Result<Result<chart::Rendered, chart::Error>, String> {
    let mut rendered = None;
    operation::on_cluster(settings, async |engine| {
        let unreachable = |error: release::Error| format!("cluster reachability check failed: {error}");
        engine.cluster.version().await.map_err(unreachable)?;
        let facts = engine.facts().await.map_err(|error| error.to_string())?;
        let (versions, own) = (options.capabilities.api_versions.clone(), &mut *options);
        release::look_at(&facts, own).map_err(|error| error.to_string())?;
        // What was given on the command line counts besides.
        own.capabilities.api_versions.0.extend(versions.0.into_iter().skip(chart::ApiVersions::default().0.len()));
        let render = || chart::render_logged(chart, user, own, &mut *log);
        rendered = Some(tokio::task::block_in_place(render));
        Ok(())
    })?;
    rendered.ok_or_else(|| "nothing was rendered".to_owned())
}

/// The rendering of a first installation, now.
pub(super) fn options(name: &str, settings: &Settings) -> RenderOptions {
    let mut options = RenderOptions::new(name, settings.namespace(), SystemTime::now(), crate::charts::entropy());
    options.time_zone = jiff::tz::TimeZone::system;
    options
}

/// Writes one file for each template. Files that are there are written anew; further documents of one are appended.
fn write(directory: &str, rendered: &chart::Rendered, wanted: &TemplateOutput) -> Outcome {
    let hooks: Vec<&str> = rendered.hooks.iter().map(|hook| hook.path.as_str()).collect();
    let mut begun: Vec<PathBuf> = Vec::new();
    for file in rendered.output_files(wanted) {
        let shown = format!("{directory}/{}", file.path);
        let path = PathBuf::from(&shown);
        let fail = |error: std::io::Error| format!("open {shown}: {}", super::os_error(&error));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(fail)?;
        }
        // Helm appends hooks to whatever is there.
        let append = begun.contains(&path) || hooks.contains(&file.path.as_str()) && path.exists();
        let mut open = open(&path, append).map_err(fail)?;
        open.write_all(file.content.as_bytes()).map_err(fail)?;
        begun.push(path);
        super::out(&format!("wrote {shown}\n"));
    }
    Ok(())
}

fn open(path: &Path, append: bool) -> std::io::Result<File> {
    if append { OpenOptions::new().append(true).open(path) } else { File::create(path) }
}
