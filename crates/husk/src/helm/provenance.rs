//! `helm verify`, and the signatures that other verbs make and check.

use super::flags::{Flag, Kind, Parsed};
use super::remote;
use super::settings::{Settings, variable};
use super::verb::{Arity, Outcome, Verb};
use chart::provenance::{self, Error, Keyring, Verified};
use registry::download::{Signature, Verifier};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) const VERIFY: Verb = Verb {
    names: &["verify"],
    path: "verify",
    arguments: "PATH",
    about: "Check the signature of a packed chart.",
    arity: Arity::Exactly(1),
    flags: &[&[Flag::new("keyring", Kind::Text)]],
    run: verify,
};

fn verify(parsed: &Parsed, _: &Settings) -> Outcome {
    let verified = check(Path::new(&parsed.arguments[0]), &keyring(parsed))?;
    super::done(&told(&verified.identities, &verified.fingerprint, &verified.file_hash))
}

/// What is said about a good signature.
pub(super) fn told(identities: &[String], fingerprint: &str, file_hash: &str) -> String {
    let signers: String = identities.iter().map(|name| format!("Signed by: {name}\n")).collect();
    format!("{signers}Using Key With Fingerprint: {fingerprint}\nChart Hash Verified: {file_hash}\n")
}

/// The keyring of the flags, else GnuPG's: the old file if it is there, else the keybox.
pub(super) fn keyring(parsed: &Parsed) -> PathBuf {
    if let Some(given) = parsed.text("keyring") {
        return given.into();
    }
    let home = std::env::var_os("GNUPGHOME")
        .map_or_else(|| PathBuf::from(variable("HOME").unwrap_or_default()).join(".gnupg"), PathBuf::from);
    let is_absent = |path: &Path| matches!(path.try_exists(), Ok(false));
    let (old, keybox) = (home.join("pubring.gpg"), home.join("pubring.kbx"));
    if is_absent(&old) && !is_absent(&keybox) { keybox } else { old }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("open {}: {}", path.display(), super::os_error(&error)))
}

fn load(path: &Path) -> Result<Keyring, String> {
    Keyring::read(&read(path)?, &path.display().to_string()).map_err(|error| error.to_string())
}

/// Checks an archive on this machine against the provenance file beside it.
pub(super) fn check(archive: &Path, keyring: &Path) -> Result<Verified, String> {
    let shown = archive.display();
    let missing = |path: &str, error: &std::io::Error| format!("stat {path}: {}", super::os_error(error));
    match std::fs::metadata(archive) {
        Err(error) => return Err(missing(&shown.to_string(), &error)),
        Ok(found) if found.is_dir() => return Err("unpacked charts cannot be verified".to_owned()),
        Ok(_) => {}
    }
    if !archive.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tgz")) {
        return Err("chart must be a tgz file".to_owned());
    }
    let beside = format!("{shown}.prov");
    if let Err(error) = std::fs::metadata(&beside) {
        return Err(format!("could not load provenance file {beside}: {}", missing(&beside, &error)));
    }
    let ring = load(keyring).map_err(|error| format!("failed to load keyring: {error}"))?;
    let data = read(archive).map_err(|error| format!("failed to read chart archive: {error}"))?;
    let signed = read(Path::new(&beside)).map_err(|error| format!("failed to read provenance file: {error}"))?;
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    provenance::verify(&ring, &data, &signed, &name).map_err(|error| error.to_string())
}

/// Checks what is fetched.
pub(super) fn verifier(parsed: &Parsed) -> Verifier {
    let path = keyring(parsed);
    Arc::new(move |archive, signed, name| {
        let ring = load(&path).map_err(|error| format!("failed to load keyring: {error}"))?;
        let Verified { identities, fingerprint, file_hash } =
            provenance::verify(&ring, archive, signed, name).map_err(|error| error.to_string())?;
        Ok(Signature { identities, fingerprint, file_hash })
    })
}

/// Signs what `helm package` packs.
pub(super) struct Signer {
    keyring: PathBuf,
    key: String,
    passphrase_file: Option<String>,
    /// What was read from the standard input is there only once.
    passphrase: Option<Vec<u8>>,
}

impl Signer {
    /// The signer of the flags, if signing is asked for.
    pub(super) fn of(parsed: &Parsed) -> Result<Option<Signer>, String> {
        if !parsed.on("sign") {
            return Ok(None);
        }
        let text = |name: &str| parsed.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let key = text("key").ok_or("--key is required for signing a package")?;
        let keyring = keyring(parsed);
        if keyring.as_os_str().is_empty() {
            return Err("--keyring is required for signing a package".to_owned());
        }
        Ok(Some(Signer { keyring, key, passphrase_file: text("passphrase-file"), passphrase: None }))
    }

    /// Writes the provenance file beside an archive.
    pub(super) fn sign(&mut self, archive: &Path) -> Outcome {
        let told = |error: Error| error.to_string();
        let ring = load(&self.keyring)?;
        let key = ring.find(&self.key);
        if let Err(error @ Error::Vague(_)) = key {
            return Err(told(error));
        }
        if let (Some(file), None) = (&self.passphrase_file, &self.passphrase) {
            self.passphrase = Some(passphrase(file)?);
        }
        let key = key.map_err(told)?;
        let passphrase = match (&self.passphrase, key.is_locked().map_err(told)?) {
            (_, false) => Vec::new(),
            (Some(passphrase), true) => passphrase.clone(),
            (None, true) => {
                let name = key.names().into_iter().next().unwrap_or_else(|| "Unknown".to_owned());
                let asked = remote::ask(&format!("Password for key {name:?} >  "), true);
                asked.inspect_err(|_| super::out("\n"))?.into_bytes()
            }
        };
        let data = read(archive).map_err(|error| format!("failed to read chart archive: {error}"))?;
        let name = archive.file_name().unwrap_or_default().to_string_lossy();
        let signed = provenance::sign(key, &passphrase, &data, &name).map_err(told)?;
        let beside = format!("{}.prov", archive.display());
        std::fs::write(&beside, signed).map_err(|error| format!("open {beside}: {}", super::os_error(&error)))
    }
}

/// The first line of a file, or of the standard input, which must be a pipe.
fn passphrase(file: &str) -> Result<Vec<u8>, String> {
    use rustix::fs::{FileType, fstat};
    let mut line = Vec::new();
    let read = if file == "-" {
        let input = fstat(std::io::stdin()).map_err(|error| error.to_string())?;
        if FileType::from_raw_mode(input.st_mode) != FileType::Fifo {
            return Err("specified reading passphrase from stdin, without input on stdin".to_owned());
        }
        std::io::stdin().lock().read_until(b'\n', &mut line)
    } else {
        let opened = std::fs::File::open(file).map_err(|error| format!("open {file}: {}", super::os_error(&error)))?;
        BufReader::new(opened).read_until(b'\n', &mut line)
    };
    match read {
        Err(error) => Err(format!("read {file}: {}", super::os_error(&error))),
        Ok(0) => Err("EOF".to_owned()),
        Ok(_) => {
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            Ok(text.strip_suffix(b"\r").unwrap_or(text).to_vec())
        }
    }
}
