//! Volumes of a pod: the host's directories, and files made from ConfigMaps, Secrets, tokens and the pod's own fields.

use super::environment::field_value;
use super::tree::{below_root, remove};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, HostPathVolumeSource, KeyToPath, Pod, Secret, ServiceAccount, Volume,
    VolumeProjection,
};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The files of a volume: path to content and mode.
type Files = BTreeMap<PathBuf, (Vec<u8>, u32)>;

/// A volume that is ready.
#[derive(Debug)]
pub struct Prepared {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it belongs to the pod, so that other volumes may be mounted inside.
    pub own: bool,
    /// When its content must be made anew.
    pub refresh: Option<Duration>,
}

/// Why a volume is not ready; the text is what a kubelet would say.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume \"{volume}\" : {message}")]
pub struct VolumeError {
    volume: String,
    message: String,
}

/// Makes a volume ready; `directory` is the place for those that belong to the pod, `host` the host's root.
pub async fn prepare(
    client: &Client,
    pod: &Pod,
    volume: &Volume,
    directory: &Path,
    host: &Path,
) -> Result<Prepared, VolumeError> {
    let fail = |message: String| VolumeError { volume: volume.name.clone(), message };
    if let Some(source) = &volume.host_path {
        let path = host_path(source, host).map_err(fail)?;
        return Ok(Prepared { path, own: false, refresh: None });
    }
    let path = directory.join(&volume.name);
    let io = |error: io::Error| fail(error.to_string());
    if volume.empty_dir.is_some() {
        std::fs::create_dir_all(&path).map_err(io)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).map_err(io)?;
        return Ok(Prepared { path, own: true, refresh: None });
    }
    let mut content = Content { client, pod, files: Files::new(), refresh: None };
    if let Some(source) = &volume.config_map {
        let (mode, optional) = (source.default_mode, source.optional);
        content.config_map(&source.name, source.items.as_deref(), mode, optional).await.map_err(fail)?;
    } else if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        content.secret(name, source.items.as_deref(), source.default_mode, source.optional).await.map_err(fail)?;
    } else if let Some(source) = &volume.downward_api {
        content.downward(source.items.as_deref().unwrap_or_default(), source.default_mode).map_err(fail)?;
    } else if let Some(source) = &volume.projected {
        for projection in source.sources.iter().flatten() {
            content.project(projection, source.default_mode).await.map_err(fail)?;
        }
    } else {
        return Err(fail("the sandbox has no volumes of this type".to_owned()));
    }
    write(&path, &content.files).map_err(io)?;
    Ok(Prepared { path, own: false, refresh: content.refresh })
}

/// Checks the type of a path of the host and creates what the type allows, as a kubelet does.
///
/// A path without a type that does not exist becomes a directory: container runtimes create it when they mount it.
fn host_path(source: &HostPathVolumeSource, host: &Path) -> Result<PathBuf, String> {
    let path = host.join(below_root(Path::new(&source.path))?);
    let shown = &source.path;
    let found = std::fs::metadata(&path).ok();
    let check = |holds: fn(&std::fs::Metadata) -> bool, what: &str| match &found {
        Some(found) if holds(found) => Ok(()),
        _ => Err(format!("hostPath type check failed: {shown} is not a {what}")),
    };
    let create = |path: &Path| std::fs::create_dir_all(path).map_err(|error| format!("cannot create {shown}: {error}"));
    match source.type_.as_deref().unwrap_or_default() {
        "" if found.is_none() => create(&path)?,
        "" => {}
        "DirectoryOrCreate" if found.is_none() => create(&path)?,
        "DirectoryOrCreate" | "Directory" => check(std::fs::Metadata::is_dir, "directory")?,
        "FileOrCreate" if found.is_none() => {
            std::fs::File::create(&path).map_err(|error| format!("cannot create {shown}: {error}"))?;
        }
        "FileOrCreate" | "File" => check(std::fs::Metadata::is_file, "file")?,
        "Socket" => check(|found| found.file_type().is_socket(), "socket file")?,
        "CharDevice" => check(|found| found.file_type().is_char_device(), "character device")?,
        "BlockDevice" => check(|found| found.file_type().is_block_device(), "block device")?,
        other => return Err(format!("{other} is an invalid volume type")),
    }
    Ok(path)
}

struct Content<'a> {
    client: &'a Client,
    pod: &'a Pod,
    files: Files,
    refresh: Option<Duration>,
}

fn mode_of(mode: Option<i32>, default: Option<i32>) -> u32 {
    mode.or(default).and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644) & 0o777
}

impl Content<'_> {
    fn namespace(&self) -> String {
        self.pod.namespace().unwrap_or_default()
    }

    /// Takes over the keys of an object: all, or those that `items` name.
    fn keys(
        &mut self,
        what: &str,
        data: BTreeMap<String, Vec<u8>>,
        items: Option<&[KeyToPath]>,
        mode: Option<i32>,
        optional: bool,
    ) -> Result<(), String> {
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            self.files.extend(data.into_iter().map(|(key, bytes)| (PathBuf::from(key), (bytes, mode_of(None, mode)))));
            return Ok(());
        };
        for item in items {
            match data.get(&item.key) {
                Some(bytes) => {
                    let path = below_root(Path::new(&item.path))?;
                    self.files.insert(path, (bytes.clone(), mode_of(item.mode, mode)));
                }
                None if optional => {}
                None => return Err(format!("{what} references non-existent config key: {}", item.key)),
            }
        }
        Ok(())
    }

    async fn config_map(
        &mut self,
        name: &str,
        items: Option<&[KeyToPath]>,
        mode: Option<i32>,
        optional: Option<bool>,
    ) -> Result<(), String> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace());
        let optional = optional == Some(true);
        let Some(found) = api.get_opt(name).await.map_err(|error| error.to_string())? else {
            return if optional { Ok(()) } else { Err(format!("configmap \"{name}\" not found")) };
        };
        let mut data: BTreeMap<String, Vec<u8>> =
            found.data.unwrap_or_default().into_iter().map(|(key, text)| (key, text.into_bytes())).collect();
        data.extend(found.binary_data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0)));
        self.keys("configmap", data, items, mode, optional)
    }

    async fn secret(
        &mut self,
        name: &str,
        items: Option<&[KeyToPath]>,
        mode: Option<i32>,
        optional: Option<bool>,
    ) -> Result<(), String> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace());
        let optional = optional == Some(true);
        let Some(found) = api.get_opt(name).await.map_err(|error| error.to_string())? else {
            return if optional { Ok(()) } else { Err(format!("secret \"{name}\" not found")) };
        };
        let data = found.data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0)).collect();
        self.keys("secret", data, items, mode, optional)
    }

    fn downward(&mut self, items: &[DownwardAPIVolumeFile], mode: Option<i32>) -> Result<(), String> {
        for item in items {
            let Some(field) = &item.field_ref else {
                return Err(format!("the sandbox cannot resolve resourceFieldRef of {}", item.path));
            };
            let value = field_value(self.pod, &field.field_path)
                .ok_or_else(|| format!("unsupported fieldPath: {}", field.field_path))?;
            let path = below_root(Path::new(&item.path))?;
            self.files.insert(path, (value.into_bytes(), mode_of(item.mode, mode)));
        }
        Ok(())
    }

    async fn project(&mut self, projection: &VolumeProjection, mode: Option<i32>) -> Result<(), String> {
        if let Some(source) = &projection.config_map {
            self.config_map(&source.name, source.items.as_deref(), mode, source.optional).await?;
        }
        if let Some(source) = &projection.secret {
            self.secret(&source.name, source.items.as_deref(), mode, source.optional).await?;
        }
        if let Some(source) = &projection.downward_api {
            self.downward(source.items.as_deref().unwrap_or_default(), mode)?;
        }
        if let Some(source) = &projection.service_account_token {
            let seconds = source.expiration_seconds.unwrap_or(3600);
            let token = self.token(source.audience.as_deref(), seconds).await?;
            self.files.insert(below_root(Path::new(&source.path))?, (token.into_bytes(), mode_of(None, mode)));
            // A kubelet replaces a token when four fifths of its life are over.
            let refresh = Duration::from_secs(u64::try_from(seconds).unwrap_or(3600) * 4 / 5);
            self.refresh = Some(self.refresh.map_or(refresh, |known| known.min(refresh)));
        }
        if projection.cluster_trust_bundle.is_some() {
            return Err("the sandbox has no cluster trust bundles".to_owned());
        }
        Ok(())
    }

    async fn token(&self, audience: Option<&str>, seconds: i64) -> Result<String, String> {
        let account = self.pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audience.map(str::to_owned).into_iter().collect(),
                expiration_seconds: Some(seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: self.pod.metadata.name.clone(),
                    uid: self.pod.metadata.uid.clone(),
                }),
            },
            ..Default::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace());
        let answer = api.create_token_request(account, &PostParams::default(), &request).await;
        let answer = answer.map_err(|error| format!("failed to fetch token: {error}"))?;
        answer.status.map(|status| status.token).ok_or_else(|| "failed to fetch token: no status".to_owned())
    }
}

/// Makes a directory hold exactly these files; each is replaced in one step.
fn write(directory: &Path, files: &Files) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (path, (content, mode)) in files {
        let path = directory.join(path);
        let current = std::fs::metadata(&path).is_ok_and(|found| found.permissions().mode() & 0o777 == *mode);
        if current && std::fs::read(&path).is_ok_and(|found| found == *content) {
            continue;
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        std::fs::create_dir_all(parent)?;
        let mut temporary = std::ffi::OsString::from("..new-");
        temporary.push(name);
        let temporary = parent.join(temporary);
        std::fs::write(&temporary, content)?;
        std::fs::set_permissions(&temporary, PermissionsExt::from_mode(*mode))?;
        std::fs::rename(temporary, path)?;
    }
    let wanted: BTreeSet<PathBuf> =
        files.keys().filter_map(|path| path.components().next()).map(|it| PathBuf::from(it.as_os_str())).collect();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if !wanted.contains(Path::new(&entry.file_name())) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, kind: &str) -> HostPathVolumeSource {
        HostPathVolumeSource { path: path.to_owned(), type_: Some(kind.to_owned()) }
    }

    #[test]
    fn host_paths_are_checked_and_created_by_type() {
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(host.path().join("etc")).unwrap();
        std::fs::write(host.path().join("etc/machine-id"), "x").unwrap();
        for (path, kind, ok) in [
            ("/etc", "Directory", true),
            ("/etc", "File", false),
            ("/etc/machine-id", "File", true),
            ("/etc/machine-id", "Directory", false),
            ("/absent", "Directory", false),
            ("/absent", "Socket", false),
            ("/absent", "File", false),
            ("/dev/null", "CharDevice", false),
            ("/made", "DirectoryOrCreate", true),
            ("/etc/made", "FileOrCreate", true),
            ("/mounted", "", true),
            ("/etc", "Odd", false),
            ("/../x", "", false),
        ] {
            assert_eq!(host_path(&source(path, kind), host.path()).is_ok(), ok, "{path} as {kind}");
        }
        assert!(host.path().join("made").is_dir() && host.path().join("etc/made").is_file());
        assert!(host.path().join("mounted").is_dir() && !host.path().join("absent").exists());
        let error = host_path(&source("/etc", "Socket"), host.path()).unwrap_err();
        assert_eq!(error, "hostPath type check failed: /etc is not a socket file");
    }

    #[test]
    fn a_volume_holds_exactly_its_files() {
        let directory = tempfile::tempdir().unwrap();
        let file = |text: &str, mode| (text.as_bytes().to_vec(), mode);
        let first = Files::from([("a".into(), file("1", 0o644)), ("d/b".into(), file("2", 0o400))]);
        write(directory.path(), &first).unwrap();
        let second = Files::from([("a".into(), file("3", 0o600))]);
        write(directory.path(), &second).unwrap();
        assert_eq!(std::fs::read_to_string(directory.path().join("a")).unwrap(), "3");
        assert_eq!(std::fs::metadata(directory.path().join("a")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
