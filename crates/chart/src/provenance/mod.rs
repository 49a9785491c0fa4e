//! Provenance: who packed a chart, and that it is still what was packed.
//!
//! A provenance file stands beside an archive (`app-1.0.0.tgz.prov`). It is a text signed in OpenPGP's clear form: the
//! chart's metadata, a line of three dots, and the SHA-256 of the archive by its file name. [`sign`] writes it, [`verify`]
//! checks it. [`Keyring`] reads what GnuPG keeps and exports. Everything works on bytes; files are the caller's.

mod armor;
mod cleartext;
mod keybox;
mod keyring;

pub use keyring::{Key, Keyring};

use crate::{Log, load, package};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails as _, KeyVersion, Password, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What parts the metadata from the digests.
const DIVIDER: &str = "\n...\n";

/// Something could not be signed or is not what it should be. `Display` is what Helm prints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The provenance file is no signed text.
    #[error("signature block not found")]
    NoSignature,
    /// No key of the ring made the signature.
    #[error("openpgp: signature made by unknown entity")]
    UnknownSigner,
    /// The signature is not one of this text.
    #[error("openpgp: invalid signature: {0}")]
    BadSignature(String),
    /// The key, or the name on it, was revoked.
    #[error("openpgp: signature made by revoked key")]
    Revoked,
    /// The key is too old.
    #[error("openpgp: key expired")]
    KeyExpired,
    /// The signature is too old.
    #[error("openpgp: signature expired")]
    SignatureExpired,
    /// The signed text has no digests.
    #[error("message block must have at least two parts")]
    NoSums,
    /// The signed text does not speak of this file.
    #[error("provenance does not contain a SHA for a file named {0:?}")]
    NoSum(String),
    /// The file is another one than was signed.
    #[error("sha256 sum does not match for {file}: {signed:?} != {found:?}")]
    SumDiffers {
        /// The file's name.
        file: String,
        /// The digest that was signed.
        signed: String,
        /// The digest that the file has.
        found: String,
    },
    /// The ring has no key of this name.
    #[error("private key not found")]
    NoKey,
    /// The ring has only the public half of the key.
    #[error("provided key is not a private key. Try providing a keyring with secret keys")]
    NotSecret,
    /// A part of a name fits several keys.
    #[error("more than one key contain the id {0:?}")]
    Vague(String),
    /// The passphrase is not the key's.
    #[error("openpgp: invalid data: private key checksum failure")]
    Passphrase,
    /// Something is not as OpenPGP has it.
    #[error("openpgp: invalid data: {0}")]
    Malformed(String),
    /// Something is not supported.
    #[error("openpgp: unsupported feature: {0}")]
    Unsupported(String),
    /// The digests are not YAML.
    #[error("{0}")]
    Sums(String),
    /// A keyring is not one.
    #[error("{0}")]
    Keyring(String),
    /// The archive cannot be read.
    #[error("failed to load chart for signing: {0}")]
    Chart(#[from] crate::Error),
}

/// What a good provenance file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The names on the signer's key.
    pub identities: Vec<String>,
    /// The fingerprint of the signer's primary key, in capital hexadecimal digits.
    pub fingerprint: String,
    /// `sha256:` and the archive's digest.
    pub file_hash: String,
}

/// Checks an archive against its provenance file. `file_name` is the archive's name without directories.
pub fn verify(keyring: &Keyring, archive: &[u8], provenance: &[u8], file_name: &str) -> Result<Verified, Error> {
    let message = cleartext::read(provenance).ok_or(Error::NoSignature)?;
    let signer = keyring.check(&message.signature, &message.signed)?;
    let found = digest(archive);
    match sums(&message.text)?.get(file_name).and_then(Value::as_str) {
        None => Err(Error::NoSum(file_name.to_owned())),
        Some(signed) if signed != found => {
            Err(Error::SumDiffers { file: file_name.to_owned(), signed: signed.to_owned(), found })
        }
        Some(_) => Ok(Verified { identities: signer.names(), fingerprint: signer.fingerprint(), file_hash: found }),
    }
}

/// Signs an archive: returns the provenance file. The passphrase is not looked at when the key has none.
pub fn sign(key: &Key, passphrase: &[u8], archive: &[u8], file_name: &str) -> Result<String, Error> {
    let secret = key.secret()?;
    if secret.version() != KeyVersion::V4 {
        return Err(Error::Unsupported("signing with keys of another version than 4".to_owned()));
    }
    let metadata = package::yaml(&load::archive(archive, &mut Log::default())?.metadata)?;
    let sums = json!({"files": {file_name: digest(archive)}});
    let text = format!("{metadata}{DIVIDER}{}", package::yaml(&sums)?);
    let malformed = |error: pgp::errors::Error| Error::Malformed(error.to_string());
    let subpacket = |data| Subpacket::regular(data).map_err(malformed);
    let mut config = SignatureConfig::v4(SignatureType::Text, secret.algorithm(), HashAlgorithm::Sha512);
    config.hashed_subpackets = vec![
        subpacket(SubpacketData::SignatureCreationTime(Timestamp::now()))?,
        subpacket(SubpacketData::IssuerKeyId(secret.legacy_key_id()))?,
        subpacket(SubpacketData::IssuerFingerprint(secret.fingerprint()))?,
    ];
    let body = cleartext::Body::of(&text);
    let password = Password::from(passphrase);
    // Wrong passphrases show in as many ways as there are kinds of keys.
    secret.unlock(&password, |_, _| Ok(())).map_err(|_| Error::Passphrase)?.map_err(malformed)?;
    let signature = config.sign(secret, &password, body.signed.as_bytes()).map_err(malformed)?;
    Ok(body.with_signature(&packet(&signature)?))
}

fn packet(signature: &Signature) -> Result<Vec<u8>, Error> {
    use pgp::packet::PacketTrait as _;
    let mut bytes = Vec::with_capacity(signature.write_len());
    signature.to_writer_with_header(&mut bytes).map_err(|error| Error::Malformed(error.to_string()))?;
    Ok(bytes)
}

/// `sha256:` and the digest of some bytes.
fn digest(data: &[u8]) -> String {
    Sha256::digest(data).iter().fold("sha256:".to_owned(), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The digests by file name of a signed text.
fn sums(text: &str) -> Result<serde_json::Map<String, Value>, Error> {
    let part = text.split(DIVIDER).nth(1).ok_or(Error::NoSums)?;
    let value = goyaml::unmarshal(part).map_err(|error| Error::Sums(error.to_string()))?;
    Ok(value["files"].as_object().cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys made with GnuPG, and what real Helm (`locked`, `open`, `revoked`) and GnuPG (the others) signed with them.
    macro_rules! data {
        ($name:literal) => {
            include_bytes!(concat!("../../tests/data/provenance/", $name)).as_slice()
        };
    }
    const ARCHIVE: &[u8] = data!("small-1.0.0.tgz");
    const NAME: &str = "small-1.0.0.tgz";
    const OPEN: &str = "Husk Open (test) <open@husk.example>";

    fn public() -> Keyring {
        Keyring::read(data!("pubring.gpg"), "pubring.gpg").unwrap()
    }

    fn secret() -> Keyring {
        Keyring::read(data!("secring.gpg"), "secring.gpg").unwrap()
    }

    fn check(provenance: &[u8]) -> Result<Verified, String> {
        verify(&public(), ARCHIVE, provenance, NAME).map_err(|error| error.to_string())
    }

    #[test]
    fn what_others_signed() {
        let verified = check(data!("open.prov")).unwrap();
        assert_eq!(verified.identities, [OPEN]);
        assert_eq!(verified.fingerprint, "89B78EB255FF0E22EB9C541AAD11D863A2071191");
        assert_eq!(verified.file_hash, "sha256:302299c27751efdc61c879dcf97c689306103da8daed41766174b3b069c8c31d");
        // A signing subkey signs in the name of its key.
        assert_eq!(check(data!("subkey.prov")).unwrap(), verified);
        assert_eq!(check(data!("locked.prov")).unwrap().identities, ["Husk Locked (test) <locked@husk.example>"]);
        for (signed, why) in [
            (data!("revoked.prov"), "openpgp: signature made by revoked key"),
            (data!("old.prov"), "openpgp: key expired"),
            (data!("late.prov"), "openpgp: signature expired"),
        ] {
            assert_eq!(check(signed).unwrap_err(), why);
        }
    }

    #[test]
    fn a_changed_text_or_archive_is_found_out() {
        for (signed, algorithm) in [(data!("open.prov"), "EdDSA"), (data!("locked.prov"), "RSA")] {
            let changed = String::from_utf8_lossy(signed).replace("sha256:3", "sha256:4");
            let why = format!("openpgp: invalid signature: {algorithm} verification failure");
            assert_eq!(check(changed.as_bytes()).unwrap_err(), why);
        }
        assert_eq!(check(b"text").unwrap_err(), "signature block not found");
        let other = verify(&public(), b"other", data!("open.prov"), NAME).unwrap_err().to_string();
        assert!(other.starts_with("sha256 sum does not match for small-1.0.0.tgz: \"sha256:302"), "{other}");
        let renamed = verify(&public(), ARCHIVE, data!("open.prov"), "x.tgz").unwrap_err();
        assert_eq!(renamed.to_string(), "provenance does not contain a SHA for a file named \"x.tgz\"");
        let stranger = verify(&Keyring::default(), ARCHIVE, data!("open.prov"), NAME).unwrap_err();
        assert_eq!(stranger, Error::UnknownSigner);
    }

    #[test]
    fn every_form_of_a_keyring() {
        for (ring, name) in
            [(data!("pubring.asc"), "asc"), (data!("pubring.kbx"), "kbx"), (data!("secring.gpg"), "secret")]
        {
            let ring = Keyring::read(ring, name).unwrap();
            assert_eq!(verify(&ring, ARCHIVE, data!("open.prov"), NAME).unwrap().identities, [OPEN], "{name}");
        }
        let twice = [data!("pubring.asc"), data!("pubring.asc")].concat();
        assert!(Keyring::read(&twice, "").is_ok());
        let bad = |data: &[u8]| Keyring::read(data, "ring").unwrap_err().to_string();
        assert_eq!(bad(b"text"), "openpgp: invalid data: tag byte does not have MSB set");
        assert_eq!(bad(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"), "reading armored keyring ring: unexpected EOF");
        assert!(bad(b"-----BEGIN PGP X-----\n\n\n-----END PGP X-----\n").contains("got \"PGP X\""));
        assert_eq!(Keyring::read(b"", "").unwrap().find("x").unwrap_err(), Error::NoKey);
    }

    #[test]
    fn what_is_signed_here_verifies() {
        let ring = secret();
        for (name, passphrase) in [("open@husk", ""), ("locked@husk", "correct horse")] {
            let key = ring.find(name).unwrap();
            assert_eq!(key.is_locked(), Ok(!passphrase.is_empty()));
            let signed = sign(key, passphrase.as_bytes(), ARCHIVE, NAME).unwrap();
            assert_eq!(check(signed.as_bytes()).unwrap().identities, key.names());
            // The text is the very one that Helm signs.
            let text = |whole: &str| whole.split("-----BEGIN PGP SIGNATURE").next().map(str::to_owned);
            assert_eq!(text(&signed), text(&String::from_utf8_lossy(data!("open.prov"))));
        }
    }

    #[test]
    fn who_cannot_sign() {
        let fails = |ring: &Keyring, name: &str, passphrase: &str| {
            let signed = ring.find(name).and_then(|key| sign(key, passphrase.as_bytes(), ARCHIVE, NAME));
            signed.unwrap_err().to_string()
        };
        assert_eq!(fails(&secret(), "nobody", ""), "private key not found");
        assert_eq!(fails(&secret(), "husk", ""), "more than one key contain the id \"husk\"");
        assert!(secret().find(OPEN).is_ok());
        assert_eq!(
            fails(&public(), "open", ""),
            "provided key is not a private key. Try providing a keyring with secret keys"
        );
        assert_eq!(fails(&secret(), "locked", "x"), "openpgp: invalid data: private key checksum failure");
    }

    /// Bytes that are cut or changed anywhere are refused or read as something else, and never panic.
    #[test]
    fn damage_never_panics() {
        for ring in [data!("pubring.gpg"), data!("secring.gpg"), data!("pubring.kbx")] {
            for place in (0..ring.len()).step_by(211) {
                let _ = Keyring::read(&ring[..place], "");
                let mut changed = ring.to_vec();
                changed[place] ^= 0x55;
                let _ = Keyring::read(&changed, "");
            }
        }
        let (ring, provenance) = (public(), data!("open.prov"));
        for place in (0..provenance.len()).step_by(5) {
            let mut changed = provenance.to_vec();
            changed[place] ^= 0x11;
            for bytes in [&provenance[..place], &changed] {
                assert!(verify(&ring, ARCHIVE, bytes, NAME).is_err() || !(40..=300).contains(&place), "{place}");
            }
        }
    }
}
