//! Transient units: the properties that `StartTransientUnit` takes, and the units that they make.

use super::file::UnitFile;
use std::time::Duration;
use zbus::OwnedVariant;

/// A transient service: what it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) description: String,
    /// Each `ExecStart`: program, arguments with the name first, whether failure is ignored.
    pub(crate) commands: Vec<(String, Vec<String>, bool)>,
    pub(crate) environment: Vec<String>,
    pub(crate) kind: String,
    pub(crate) remain: bool,
}

/// A transient timer: when it fires.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timer {
    pub(crate) description: String,
    pub(crate) after: Option<Duration>,
    /// The unit that it starts, unless that is the one of its own name.
    pub(crate) unit: Option<String>,
    /// Whether it is gone after it has fired.
    pub(crate) once: bool,
}

/// A property as it comes over D-Bus.
pub(crate) type Property = (String, OwnedVariant);

/// Why a property was not taken; systemd's words.
fn unknown(name: &str) -> String {
    format!("Cannot set property {name}, or unknown property.")
}

fn take<T: TryFrom<OwnedVariant>>(name: &str, value: &OwnedVariant) -> Result<T, String> {
    let value = value.try_clone().map_err(|error| error.to_string())?;
    T::try_from(value).map_err(|_| format!("Property {name} has the wrong type."))
}

pub(crate) fn service(properties: &[Property]) -> Result<Service, String> {
    let mut service = Service { kind: "simple".to_owned(), ..Service::default() };
    for (name, value) in properties {
        match name.as_str() {
            "Description" => service.description = take(name, value)?,
            "ExecStart" => service.commands = take::<Vec<(String, Vec<String>, bool)>>(name, value)?,
            "Environment" => service.environment = take(name, value)?,
            "Type" => service.kind = take(name, value)?,
            "RemainAfterExit" => service.remain = take(name, value)?,
            // Known, and of no effect on a simulated host.
            "CollectMode"
            | "KillMode"
            | "Restart"
            | "User"
            | "Slice"
            | "TimeoutStartUSec"
            | "TimeoutStopUSec"
            | "RuntimeMaxUSec"
            | "StandardOutput"
            | "StandardError"
            | "SyslogIdentifier"
            | "DefaultDependencies"
            | "After"
            | "Before"
            | "Wants"
            | "Requires"
            | "Conflicts"
            | "WorkingDirectory"
            | "OOMScoreAdjust"
            | "Documentation"
            | "KillSignal"
            | "SendSIGKILL"
            | "Nice"
            | "IgnoreOnIsolate" => {}
            _ => return Err(unknown(name)),
        }
    }
    for (program, arguments, _) in &service.commands {
        if !program.starts_with('/') || arguments.is_empty() {
            return Err("Invalid argument: ExecStart needs an absolute path and the name as first argument.".to_owned());
        }
    }
    Ok(service)
}

pub(crate) fn timer(properties: &[Property]) -> Result<Timer, String> {
    let mut timer = Timer::default();
    for (name, value) in properties {
        match name.as_str() {
            "Description" => timer.description = take(name, value)?,
            "TimersMonotonic" => {
                for (base, micros) in take::<Vec<(String, u64)>>(name, value)? {
                    if !matches!(base.as_str(), "OnActiveSec" | "OnActiveUSec") {
                        return Err(format!("Invalid timer base: {base}"));
                    }
                    timer.after = Some(Duration::from_micros(micros));
                }
            }
            "OnActiveSec" | "OnActiveUSec" => timer.after = Some(Duration::from_micros(take(name, value)?)),
            "Unit" => timer.unit = Some(take(name, value)?),
            "RemainAfterElapse" => timer.once = !take::<bool>(name, value)?,
            "AccuracyUSec"
            | "RandomizedDelayUSec"
            | "WakeSystem"
            | "Persistent"
            | "CollectMode"
            | "DefaultDependencies"
            | "After"
            | "Before"
            | "Documentation" => {}
            _ => return Err(unknown(name)),
        }
    }
    Ok(timer)
}

impl Service {
    pub(crate) fn unit(&self, name: &str) -> UnitFile {
        UnitFile::transient(
            name,
            vec![("Unit", "Description", self.description.clone()), ("Service", "Type", self.kind.clone())],
        )
    }
}

impl Timer {
    pub(crate) fn unit(&self, name: &str) -> UnitFile {
        UnitFile::transient(name, vec![("Unit", "Description", self.description.clone())])
    }
}
