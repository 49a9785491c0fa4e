//! `helm template` over files in memory or on disk, as far as the recorded cases use it.

use chart::values::UserValues;
use chart::{Chart, Error, KubeVersion, Log, RenderOptions, Rendered, TemplateOutput};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A command line of `helm template`, taken apart.
pub(crate) struct Template {
    pub(crate) args: Vec<String>,
    pub(crate) user: UserValues,
    pub(crate) options: RenderOptions,
    pub(crate) output: TemplateOutput,
    pub(crate) output_dir: Option<String>,
    pub(crate) use_release_name: bool,
    /// A flag that no case of this crate should have.
    pub(crate) unknown: Option<String>,
}

/// Options of a rendering whose clock stands still and whose randomness repeats.
pub(crate) fn options(name: &str, namespace: &str) -> RenderOptions {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let state = std::sync::Mutex::new(1u64);
    let entropy = move |bytes: &mut [u8]| {
        let mut state = state.lock().expect("lock");
        for byte in bytes {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (*state >> 33) as u8;
        }
    };
    RenderOptions::new(name, namespace, now, Arc::new(entropy))
}

impl Template {
    pub(crate) fn parse(arguments: &[String]) -> Result<Template, Error> {
        let mut template = Template {
            args: Vec::new(),
            user: UserValues::default(),
            options: options("release-name", "default"),
            output: TemplateOutput::default(),
            output_dir: None,
            use_release_name: false,
            unknown: None,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().cloned().unwrap_or_default();
            match argument.as_str() {
                "-f" | "--values" => template.user.files.extend(value().split(',').map(String::from)),
                "--set" => template.user.set.push(value()),
                "--set-string" => template.user.string.push(value()),
                "--set-file" => template.user.file.push(value()),
                "--set-json" => template.user.json.push(value()),
                "--set-literal" => template.user.literal.push(value()),
                "-n" | "--namespace" => template.options.namespace = value(),
                "-s" | "--show-only" => template.output.show_only.push(value()),
                "--output-dir" => template.output_dir = Some(value()),
                "--release-name" => template.use_release_name = true,
                "--include-crds" => template.output.include_crds = true,
                "--no-hooks" => template.output.no_hooks = true,
                "--skip-tests" => template.output.skip_tests = true,
                "--skip-schema-validation" => template.options.skip_schema_validation = true,
                "--is-upgrade" => {
                    template.options.is_upgrade = true;
                    template.options.is_install = false;
                }
                "--kube-version" => template.options.capabilities.kube_version = KubeVersion::parse(&value())?,
                "-a" | "--api-versions" => {
                    let more = value();
                    template.options.capabilities.api_versions.0.extend(more.split(',').map(String::from));
                }
                flag if flag.starts_with('-') => template.unknown = Some(flag.to_string()),
                _ => template.args.push(argument.clone()),
            }
        }
        Ok(template)
    }
}

/// Reads values files out of a map.
pub(crate) fn reader<'a>(
    files: &'a BTreeMap<String, Vec<u8>>,
    stdin: &'a str,
) -> impl FnMut(&str) -> Result<Vec<u8>, String> + 'a {
    move |name| match name {
        "-" => Ok(stdin.as_bytes().to_vec()),
        name => files.get(name).cloned().ok_or_else(|| format!("open {name}: no such file or directory")),
    }
}

/// Renders the chart at `path`.
pub(crate) fn render(
    path: &Path,
    template: &Template,
    files: &BTreeMap<String, Vec<u8>>,
    log: &mut Log,
) -> Result<Rendered, Error> {
    let user = template.user.resolve(reader(files, ""))?;
    let chart = chart::load::path(path, log)?;
    chart::render_logged(&chart, &user, &template.options, log)
}

/// As [`render`] for a chart that is loaded already.
pub(crate) fn render_loaded(
    chart: &Chart,
    template: &Template,
    files: &BTreeMap<String, Vec<u8>>,
    log: &mut Log,
) -> Result<Rendered, Error> {
    let user = template.user.resolve(reader(files, ""))?;
    chart::render_logged(chart, &user, &template.options, log)
}
