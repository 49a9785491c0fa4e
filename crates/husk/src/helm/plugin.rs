//! `helm plugin`, and what plugins do here: they render after the chart has (`--post-renderer`).
//!
//! A plugin is a directory with a `plugin.yaml` below `HELM_PLUGINS`. Husk reads both forms of that file and runs plugins
//! that are programs. Plugins in WebAssembly, and those that add commands or download protocols, are listed but not run.

use super::environment;
use super::flags::{Flag, Kind, Parsed};
use super::output::table;
use super::settings::{Settings, variable};
use super::verb::{Arity, Outcome, Verb};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FILE: &str = "plugin.yaml";

pub(super) const LIST: Verb = Verb {
    names: &["list", "ls"],
    path: "plugin list",
    arguments: "",
    about: "List the plugins.",
    arity: Arity::Any,
    flags: &[&[Flag::new("type", Kind::Text)]],
    run: list,
};

pub(super) const INSTALL: Verb = Verb {
    names: &["install", "add"],
    path: "plugin install",
    arguments: "[options] <path|url>",
    about: "Install a plugin from a directory.",
    arity: Arity::Exactly(1),
    flags: &[super::remote::REMOTE, INSTALL_FLAGS],
    run: install,
};

const INSTALL_FLAGS: &[Flag] =
    &[Flag::new("keyring", Kind::Text), Flag::new("verify", Kind::Switch), Flag::new("version", Kind::Text)];

pub(super) const UNINSTALL: Verb = Verb {
    names: &["uninstall", "rm", "remove"],
    path: "plugin uninstall",
    arguments: "<plugin>...",
    about: "Remove plugins.",
    arity: Arity::Any,
    flags: &[],
    run: uninstall,
};

pub(super) const UPDATE: Verb = Verb {
    names: &["update", "up"],
    path: "plugin update",
    arguments: "<plugin>...",
    about: "Update plugins (those from directories are always as new as these).",
    arity: Arity::Any,
    flags: &[],
    run: update,
};

/// A plugin that is installed.
#[derive(Debug, Clone)]
struct Plugin {
    directory: PathBuf,
    name: String,
    version: String,
    kind: String,
    api_version: String,
    runtime: String,
    source: String,
    /// What runs it, in the order of the file.
    commands: Vec<PlatformCommand>,
    /// What runs on an event: `install`, `delete`.
    hooks: BTreeMap<String, Vec<PlatformCommand>>,
    /// Whether variables in the words of hooks are replaced.
    expand_hooks: bool,
}

#[derive(Debug, Clone, Default)]
struct PlatformCommand {
    os: String,
    arch: String,
    command: String,
    arguments: Vec<String>,
}

/// Where plugins are.
fn directories() -> Vec<PathBuf> {
    let default = || format!("{}/plugins", environment::data_home());
    std::env::split_paths(&variable("HELM_PLUGINS").unwrap_or_else(default)).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn commands(value: &Value) -> Vec<PlatformCommand> {
    let words = |value: &Value| value.as_array().into_iter().flatten().map(text).collect();
    let command = |value: &Value| PlatformCommand {
        os: text(&value["os"]),
        arch: text(&value["arch"]),
        command: text(&value["command"]),
        arguments: words(&value["args"]),
    };
    value.as_array().into_iter().flatten().map(command).collect()
}

fn hooks(value: &Value) -> BTreeMap<String, Vec<PlatformCommand>> {
    value.as_object().into_iter().flatten().map(|(event, list)| (event.clone(), commands(list))).collect()
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

impl Plugin {
    fn load(directory: &Path) -> Result<Plugin, String> {
        let file = directory.join(FILE);
        let shown = file.display().to_string();
        let data = std::fs::read_to_string(&file).map_err(|error| {
            format!("failed to read plugin at {shown:?}: open {shown}: {}", super::os_error(&error))
        })?;
        Plugin::parse(directory, &data)
            .map_err(|error| format!("failed to load plugin {:?}: {error}", directory.display().to_string()))
    }

    fn parse(directory: &Path, data: &str) -> Result<Plugin, String> {
        let value = goyaml::unmarshal(data).map_err(|error| error.to_string())?;
        let api_version = text(&value["apiVersion"]);
        let mut plugin = Plugin {
            directory: directory.to_owned(),
            name: text(&value["name"]),
            version: text(&value["version"]),
            kind: text(&value["type"]),
            runtime: text(&value["runtime"]),
            source: text(&value["sourceURL"]),
            commands: commands(&value["runtimeConfig"]["platformCommand"]),
            hooks: hooks(&value["runtimeConfig"]["platformHooks"]),
            expand_hooks: true,
            api_version,
        };
        match plugin.api_version.as_str() {
            "v1" if !is_name(&plugin.name) => return Err("invalid plugin `name`".to_owned()),
            "v1" if plugin.version.is_empty() => return Err("plugin `version` is required".to_owned()),
            "v1" if plugin.kind.is_empty() => return Err("`type` missing".to_owned()),
            "v1" if plugin.runtime.is_empty() => return Err("`runtime` missing".to_owned()),
            "v1" => {}
            "" => plugin.complete_legacy(&value)?,
            other => return Err(format!("invalid plugin apiVersion: {other:?}")),
        }
        match chart::version::Version::parse(&plugin.version) {
            Ok(_) => Ok(plugin),
            Err(_) => Err(format!("invalid plugin `version` {:?}: must be valid semver", plugin.version)),
        }
    }

    /// Fills in what the form of Helm 3 says in other words.
    fn complete_legacy(&mut self, value: &Value) -> Result<(), String> {
        if !is_name(&self.name) {
            return Err("invalid plugin name".to_owned());
        }
        let downloads = value["downloaders"].as_array().is_some_and(|list| !list.is_empty());
        self.api_version = "legacy".to_owned();
        self.kind = if downloads { "getter/v1" } else { "cli/v1" }.to_owned();
        self.runtime = "subprocess".to_owned();
        self.commands = commands(&value["platformCommand"]);
        if self.commands.is_empty() {
            self.commands = vec![PlatformCommand { command: text(&value["command"]), ..PlatformCommand::default() }];
        }
        self.hooks = hooks(&value["platformHooks"]);
        if self.hooks.is_empty() {
            self.expand_hooks = false;
            let shell = |script: &Value| {
                let arguments = vec!["-c".to_owned(), text(script)];
                vec![PlatformCommand { command: "sh".to_owned(), arguments, ..PlatformCommand::default() }]
            };
            let scripts = value["hooks"].as_object().into_iter().flatten();
            self.hooks = scripts.map(|(event, script)| (event.clone(), shell(script))).collect();
        }
        Ok(())
    }

    /// A command that is ready to be run.
    fn command(&self, commands: &[PlatformCommand], expand: bool, more: &[String]) -> Result<Command, String> {
        let own = [("HELM_PLUGIN_NAME", self.name.clone()), ("HELM_PLUGIN_DIR", self.directory.display().to_string())];
        let lookup = |name: &str| {
            let set = own.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone());
            set.or_else(|| std::env::var(name).ok()).unwrap_or_default()
        };
        let chosen = chosen(commands).filter(|chosen| !chosen.command.is_empty());
        let chosen = chosen.ok_or("no plugin command is applicable")?;
        let mut words = chosen.command.split(' ');
        let program = expanded(words.next().unwrap_or_default(), &lookup);
        let rest = words.map(str::to_owned).chain(chosen.arguments.iter().cloned());
        let mut command = Command::new(program);
        command.args(rest.map(|word| if expand { expanded(&word, &lookup) } else { word }));
        command.args(more).envs(own);
        Ok(command)
    }

    /// Runs what the plugin wants to be run on an event.
    fn on(&self, event: &str) -> Outcome {
        let Some(commands) = self.hooks.get(event).filter(|commands| !commands.is_empty()) else { return Ok(()) };
        let status = self.command(commands, self.expand_hooks, &[])?.status().map_err(|error| error.to_string())?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("plugin {event} hook for {:?} exited with error", self.name)),
        }
    }

    /// Gives the documents of a rendering to the plugin and returns what it makes of them.
    fn post_render(&self, documents: &str, arguments: &[String]) -> Result<String, String> {
        let invoked = |why: String| format!("failed to invoke post-renderer plugin {:?}: {why}", self.name);
        let mut command = self.command(&self.commands, true, arguments).map_err(invoked)?;
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => invoked(format!("exec: {program:?}: executable file not found in $PATH")),
            _ => invoked(format!("fork/exec {program}: {}", super::os_error(&error))),
        })?;
        let input = child.stdin.take();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || input.map(|mut input| input.write_all(documents.as_bytes())));
            child.wait_with_output()
        });
        let output = output.map_err(|error| invoked(error.to_string()))?;
        if !output.status.success() {
            return Err(invoked(format!("plugin {:?} exited with error", self.name)));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match text.trim().is_empty() {
            true => Err(format!("post-renderer {:?} produced empty output", self.name)),
            false => Ok(text),
        }
    }
}

/// The command for this machine: that for its system and architecture, then for its system, then for any.
fn chosen(commands: &[PlatformCommand]) -> Option<&PlatformCommand> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let is = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let exact = commands.iter().find(|command| is(&command.os, "linux") && is(&command.arch, arch));
    let system = || commands.iter().find(|command| is(&command.os, "linux") && command.arch.is_empty());
    let any = || commands.iter().find(|command| command.os.is_empty() && command.arch.is_empty());
    exact.or_else(system).or_else(any)
}

/// Replaces `$NAME` and `${NAME}`.
fn expanded(text: &str, lookup: &dyn Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_str(before);
        let (name, after) = match behind.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(parts) => parts,
            None => {
                let end = behind.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
                behind.split_at(end.unwrap_or(behind.len()))
            }
        };
        if name.is_empty() {
            out.push('$');
        } else {
            out.push_str(&lookup(name));
        }
        rest = after;
    }
    out + rest
}

/// All plugins; those that cannot be read are told of and left out.
fn installed() -> Result<Vec<Plugin>, String> {
    let mut found: Vec<Plugin> = Vec::new();
    for place in directories() {
        let Ok(entries) = std::fs::read_dir(&place) else { continue };
        let mut below: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        below.retain(|directory| directory.join(FILE).exists());
        below.sort();
        let first = found.len();
        for directory in below {
            match Plugin::load(&directory) {
                Ok(plugin) => found.push(plugin),
                Err(error) => {
                    let mut log = chart::Log::default();
                    let fields = vec![("plugin_yaml", directory.join(FILE).display().to_string()), ("error", error)];
                    log.add(chart::LogLevel::Warn, "failed to load plugin (ignoring)", fields);
                    super::say(&mut log);
                }
            }
        }
        for (place, plugin) in found.iter().enumerate().skip(first) {
            if let Some(other) = found[first..place].iter().find(|other| other.name == plugin.name) {
                let shown = |plugin: &Plugin| plugin.directory.display().to_string();
                let (a, b) = (shown(other), shown(plugin));
                return Err(format!("two plugins claim the name {:?} at {a:?} and {b:?}", plugin.name));
            }
        }
    }
    Ok(found)
}

/// What the flags `--post-renderer` and `--post-renderer-args` ask for.
pub(super) fn post_renderer(parsed: &Parsed) -> Result<Option<chart::PostRender>, String> {
    let given: Vec<String> = parsed.all("post-renderer").into_iter().filter(|name| !name.is_empty()).collect();
    let Some(name) = given.first() else { return Ok(None) };
    let refused = |name: &str, why: &str| format!("invalid argument {name:?} for \"--post-renderer\" flag: {why}");
    let plugins = installed()?;
    let plugin = plugins.into_iter().find(|plugin| plugin.name == *name && plugin.kind == "postrenderer/v1");
    let absent = || refused(name, &format!("plugin: {{Name:{name} Type:postrenderer/v1}} not found"));
    let plugin = plugin.ok_or_else(absent)?;
    if let Some(second) = given.get(1) {
        return Err(refused(second, "cannot specify --post-renderer flag more than once"));
    }
    if plugin.runtime != "subprocess" {
        return Err(refused(name, &format!("husk runs plugins that are programs, not runtime {:?}", plugin.runtime)));
    }
    let arguments = parsed.all("post-renderer-args");
    Ok(Some(std::sync::Arc::new(move |documents: &str| plugin.post_render(documents, &arguments))))
}

fn list(parsed: &Parsed, _: &Settings) -> Outcome {
    let mut rows = vec![["NAME", "VERSION", "TYPE", "APIVERSION", "PROVENANCE", "SOURCE"].map(str::to_owned).to_vec()];
    let kind = parsed.text("type").filter(|kind| !kind.is_empty());
    for plugin in installed()?.into_iter().filter(|plugin| kind.is_none_or(|kind| plugin.kind == kind)) {
        let linked = plugin.directory.is_symlink();
        let origin = if linked { "local dev" } else { "unknown" }.to_owned();
        let source = if plugin.source.is_empty() { "unknown".to_owned() } else { plugin.source };
        rows.push(vec![plugin.name, plugin.version, plugin.kind, plugin.api_version, origin, source]);
    }
    super::done(&table(&rows))
}

fn install(parsed: &Parsed, _: &Settings) -> Outcome {
    let given = &parsed.arguments[0];
    let path = Path::new(given);
    if !path.is_dir() {
        return Err(format!("husk installs plugins from directories only, not from {given:?}"));
    }
    super::out("Installing plugin from local directory (development mode)\n");
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    let path: PathBuf = path.components().collect();
    if !path.join(FILE).exists() {
        return Err("plugin is missing plugin.yaml".to_owned());
    }
    let plugin = Plugin::load(&path)?;
    let place = directories().into_iter().next().ok_or("HELM_PLUGINS names no directory")?;
    let target = place.join(path.file_name().unwrap_or_default());
    if target.symlink_metadata().is_ok() {
        return Err("plugin already exists".to_owned());
    }
    std::fs::create_dir_all(&place)
        .and_then(|()| std::os::unix::fs::symlink(&path, &target))
        .map_err(|error| format!("symlink {} {}: {}", path.display(), target.display(), super::os_error(&error)))?;
    Plugin { directory: target, ..plugin.clone() }.on("install")?;
    super::done(&format!("Installed plugin: {}\n", plugin.name))
}

fn uninstall(parsed: &Parsed, _: &Settings) -> Outcome {
    if parsed.arguments.is_empty() {
        return Err("please provide plugin name to uninstall".to_owned());
    }
    let plugins = installed()?;
    let mut failed = Vec::new();
    for name in &parsed.arguments {
        let Some(plugin) = plugins.iter().find(|plugin| plugin.name == *name) else {
            failed.push(format!("plugin: {name} not found"));
            continue;
        };
        let is_link = plugin.directory.is_symlink();
        let gone =
            if is_link { std::fs::remove_file(&plugin.directory) } else { std::fs::remove_dir_all(&plugin.directory) };
        if let Err(error) = gone {
            failed.push(format!("failed to uninstall plugin {name}, got error ({})", super::os_error(&error)));
            continue;
        }
        match plugin.on("delete") {
            Ok(()) => super::out(&format!("Uninstalled plugin: {name}\n")),
            Err(error) => failed.push(format!("failed to uninstall plugin {name}, got error ({error})")),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn update(parsed: &Parsed, _: &Settings) -> Outcome {
    if parsed.arguments.is_empty() {
        return Err("please provide plugin name to update".to_owned());
    }
    let plugins = installed()?;
    let mut failed = Vec::new();
    for name in &parsed.arguments {
        match plugins.iter().find(|plugin| plugin.name == *name) {
            None => failed.push(format!("plugin: {name} not found")),
            Some(plugin) if plugin.directory.is_symlink() => {
                super::out(&format!("Updated plugin: {name}\n"));
            }
            Some(_) => failed
                .push(format!("failed to update plugin {name}, got error (husk updates no plugins from elsewhere)")),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_file() {
        let v1 = "apiVersion: v1\nname: p\nversion: 1.0.0\ntype: postrenderer/v1\nruntime: subprocess\nruntimeConfig:\n  \
                  platformCommand:\n  - {os: plan9, command: no}\n  - command: \"$HELM_PLUGIN_DIR/run a\"\n    args: [b]\n";
        let plugin = Plugin::parse(Path::new("/p"), v1).unwrap();
        let command = plugin.command(&plugin.commands, true, &["c".to_owned()]).unwrap();
        assert_eq!(command.get_program(), "/p/run");
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["a", "b", "c"]);
        let legacy =
            Plugin::parse(Path::new("/p"), "name: old\nversion: 0.1.0\ncommand: x\nhooks: {install: 'echo $A'}\n");
        let legacy = legacy.unwrap();
        assert_eq!((legacy.kind.as_str(), legacy.api_version.as_str()), ("cli/v1", "legacy"));
        assert_eq!(legacy.hooks["install"][0].arguments, ["-c", "echo $A"]);
        let bad = |text: &str| Plugin::parse(Path::new("/p"), text).unwrap_err();
        assert_eq!(bad("apiVersion: v2\nname: p\n"), "invalid plugin apiVersion: \"v2\"");
        assert_eq!(bad("apiVersion: v1\nname: ../p\n"), "invalid plugin `name`");
        assert_eq!(bad("apiVersion: v1\nname: p\n"), "plugin `version` is required");
    }

    #[test]
    fn the_most_fitting_command() {
        let command = |os: &str, arch: &str| PlatformCommand { os: os.into(), arch: arch.into(), ..Default::default() };
        let all = [command("", ""), command("Linux", ""), command("windows", "")];
        assert_eq!(chosen(&all).unwrap().os, "Linux");
        assert_eq!(chosen(&all[2..]).map(|command| command.os.clone()), None);
        assert_eq!(expanded("a${B}c$D-$", &|name| format!("<{name}>")), "a<B>c<D>-$");
    }

    #[test]
    fn a_program_changes_documents() {
        let with = |command: &str| {
            let text = format!(
                "apiVersion: v1\nname: p\nversion: 1.0.0\ntype: postrenderer/v1\nruntime: subprocess\nruntimeConfig: \
                 {{platformCommand: [{{command: {command}}}]}}\n"
            );
            Plugin::parse(Path::new("/p"), &text).unwrap()
        };
        let run = |command: &str, arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
            with(command).post_render("kind: A\n", &arguments)
        };
        assert_eq!(run("sed", &["s/A/B/"]).unwrap(), "kind: B\n");
        assert_eq!(run("'true'", &[]).unwrap_err(), "post-renderer \"p\" produced empty output");
        assert!(run("'false'", &[]).unwrap_err().ends_with("plugin \"p\" exited with error"));
        assert!(run("/no/such", &[]).unwrap_err().contains("executable file not found in $PATH"));
    }
}
