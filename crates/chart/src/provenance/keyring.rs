//! Keyrings: keys with their names, and which of them may sign what.

use super::{Error, armor, keybox};
use pgp::packet::{Packet, PacketParser, PublicKey, PublicSubkey, SecretKey, Signature, SignatureType};
use pgp::types::{KeyDetails, KeyVersion, Tag, Timestamp};
use std::io::Cursor;

/// Keys, public or secret. GnuPG's old binary files, its keyboxes and armoured exports are read.
#[derive(Debug, Clone, Default)]
pub struct Keyring(Vec<Key>);

/// A key with its names.
#[derive(Debug, Clone)]
pub struct Key {
    public: PublicKey,
    secret: Option<SecretKey>,
    names: Vec<Name>,
    subkeys: Vec<Subkey>,
    /// The key's own word that it is no longer good.
    revoked: bool,
}

/// A name and what the key says about it.
#[derive(Debug, Clone)]
struct Name {
    text: String,
    newest: Signature,
    revoked: bool,
}

/// A subkey and what the key says about it.
#[derive(Debug, Clone)]
struct Subkey {
    public: PublicSubkey,
    newest: Signature,
    revoked: bool,
}

impl Keyring {
    /// Reads a keyring; `place` is where it is from, for the texts of errors. Keys that are damaged or of a kind that is not
    /// supported are left out, unless there are no others.
    pub fn read(data: &[u8], place: &str) -> Result<Keyring, Error> {
        if keybox::is_keybox(data) {
            let packets =
                keybox::packets(data).map_err(|why| Error::Keyring(format!("reading keybox {place}: {why}")))?;
            return keys(&packets).map(Keyring);
        }
        let text = data.trim_ascii();
        if !text.starts_with(b"-----BEGIN PGP") {
            return keys(data).map(Keyring);
        }
        let failed = |why: String| Error::Keyring(format!("reading armored keyring {place}: {why}"));
        let mut ring = Vec::new();
        for (kind, packets) in armor::blocks(&String::from_utf8_lossy(text)).map_err(failed)? {
            if !matches!(kind.as_str(), "PGP PUBLIC KEY BLOCK" | "PGP PRIVATE KEY BLOCK") {
                return Err(failed(format!("expected a public or private key block, got {kind:?}")));
            }
            ring.extend(keys(&packets).map_err(|error| failed(error.to_string()))?);
        }
        Ok(Keyring(ring))
    }

    /// The key that has this name, or a name that contains it.
    pub fn find(&self, name: &str) -> Result<&Key, Error> {
        let whole = |key: &&Key| key.names.iter().any(|other| other.text == name);
        if let Some(key) = self.0.iter().find(whole) {
            return Ok(key);
        }
        let fits = |key: &Key| key.names.iter().filter(|other| other.text.contains(name)).count();
        // As with Helm, two fitting names on one key are one too many.
        match self.0.iter().map(fits).sum::<usize>() {
            0 => Err(Error::NoKey),
            1 => self.0.iter().find(|key| fits(key) > 0).ok_or(Error::NoKey),
            _ => Err(Error::Vague(name.to_owned())),
        }
    }

    /// The key that made a signature over some bytes.
    pub(super) fn check(&self, packets: &[u8], signed: &[u8]) -> Result<&Key, Error> {
        for packet in PacketParser::new(Cursor::new(packets)) {
            let Packet::Signature(signature) = packet.map_err(malformed)? else {
                return Err(Error::Malformed("non signature packet found".to_owned()));
            };
            let issuers: Vec<_> = signature.issuer_key_id().into_iter().copied().collect();
            let fingerprints: Vec<_> = signature.issuer_fingerprint().into_iter().cloned().collect();
            if issuers.is_empty() && fingerprints.is_empty() {
                return Err(Error::Malformed("signature doesn't have an issuer".to_owned()));
            }
            let is_issuer = |key: &dyn KeyDetails| {
                issuers.contains(&key.legacy_key_id()) || fingerprints.contains(&key.fingerprint())
            };
            if !matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary)) {
                return Err(Error::Unsupported("unsupported signature type".to_owned()));
            }
            let mut failure = None;
            for key in &self.0 {
                if is_issuer(&key.public) && key.newest().is_some_and(|word| word.key_flags().sign()) {
                    match signature.verify(&key.public, signed) {
                        Ok(()) => return key.is_good(None, &signature).map(|()| key),
                        Err(_) => failure = Some(bad(&key.public)),
                    }
                }
                for subkey in key.subkeys.iter().filter(|subkey| is_issuer(&subkey.public)) {
                    if !subkey.newest.key_flags().sign() {
                        continue;
                    }
                    match signature.verify(&subkey.public, signed) {
                        Ok(()) => return key.is_good(Some(subkey), &signature).map(|()| key),
                        Err(_) => failure = Some(bad(&subkey.public)),
                    }
                }
            }
            if let Some(error) = failure {
                return Err(error);
            }
        }
        Err(Error::UnknownSigner)
    }
}

impl Key {
    /// The names, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.names.iter().map(|name| name.text.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The fingerprint in capital hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        format!("{:X}", self.public.fingerprint())
    }

    /// The secret half.
    pub(super) fn secret(&self) -> Result<&SecretKey, Error> {
        self.secret.as_ref().ok_or(Error::NotSecret)
    }

    /// Must a passphrase be given before this key signs?
    ///
    /// # Errors
    /// [`Error::NotSecret`] when it cannot sign at all.
    pub fn is_locked(&self) -> Result<bool, Error> {
        Ok(self.secret()?.secret_params().is_encrypted())
    }

    /// What the key says about its main name: it is also what it says about itself.
    fn main(&self) -> Option<&Name> {
        let rank =
            |name: &&Name| (!name.revoked, name.newest.is_primary(), name.newest.created().map(Timestamp::as_secs));
        self.names.iter().max_by_key(rank)
    }

    fn newest(&self) -> Option<&Signature> {
        self.main().map(|name| &name.newest)
    }

    /// May the key sign, now?
    fn is_good(&self, by: Option<&Subkey>, signature: &Signature) -> Result<(), Error> {
        let main = self.main();
        if self.revoked || by.is_some_and(|subkey| subkey.revoked) || main.is_some_and(|name| name.revoked) {
            return Err(Error::Revoked);
        }
        let now = u64::from(Timestamp::now().as_secs());
        let is_old = |created: Timestamp, lifetime: Option<u32>| match lifetime {
            None | Some(0) => false,
            Some(seconds) => now > u64::from(created.as_secs()) + u64::from(seconds),
        };
        let key_time = |word: &Signature| word.key_expiration_time().map(|time| time.as_secs());
        let expired = main.is_some_and(|name| is_old(self.public.created_at(), key_time(&name.newest)))
            || by.is_some_and(|subkey| is_old(subkey.public.created_at(), key_time(&subkey.newest)));
        if expired {
            return Err(Error::KeyExpired);
        }
        let words = [Some(signature), main.map(|name| &name.newest), by.map(|subkey| &subkey.newest)];
        let is_late = |word: &Signature| {
            let lifetime = word.signature_expiration_time().map(|time| time.as_secs());
            word.created().is_some_and(|created| u64::from(created.as_secs()) > now || is_old(created, lifetime))
        };
        if words.into_iter().flatten().any(is_late) { Err(Error::SignatureExpired) } else { Ok(()) }
    }
}

fn malformed(error: pgp::errors::Error) -> Error {
    Error::Malformed(error.to_string())
}

/// The signature names this key and is not made by it for this text.
fn bad(key: &impl KeyDetails) -> Error {
    use pgp::crypto::public_key::PublicKeyAlgorithm as Algorithm;
    let name = match key.algorithm() {
        Algorithm::RSA | Algorithm::RSASign | Algorithm::RSAEncrypt => "RSA",
        Algorithm::DSA => "DSA",
        Algorithm::ECDSA => "ECDSA",
        Algorithm::EdDSALegacy => "EdDSA",
        Algorithm::Ed25519 => "Ed25519",
        Algorithm::Ed448 => "ed448",
        _ => "signature",
    };
    Error::BadSignature(format!("{name} verification failure"))
}

/// Reads keys from packets.
fn keys(data: &[u8]) -> Result<Vec<Key>, Error> {
    if data.first().is_some_and(|byte| byte & 0x80 == 0) {
        return Err(Error::Malformed("tag byte does not have MSB set".to_owned()));
    }
    let (mut found, mut last) = (Vec::new(), None);
    let mut group: Vec<Packet> = Vec::new();
    let mut finish = |group: &mut Vec<Packet>| {
        if !group.is_empty() {
            match key(std::mem::take(group)) {
                Ok(key) => found.push(key),
                Err(error) => last = Some(error),
            }
        }
    };
    for packet in PacketParser::new(Cursor::new(data)) {
        match packet {
            // What GnuPG notes for itself stands between names and signatures.
            Ok(Packet::Trust(_) | Packet::Marker(_) | Packet::Padding(_)) => {}
            Ok(packet) => {
                if matches!(packet, Packet::PublicKey(_) | Packet::SecretKey(_)) {
                    finish(&mut group);
                }
                group.push(packet);
            }
            // Kinds of keys and signatures that are not known leave the others good.
            Err(pgp::errors::Error::Unsupported { .. }) => {}
            Err(error) => {
                finish(&mut group);
                if found.is_empty() {
                    return Err(malformed(error));
                }
                return Ok(found);
            }
        }
    }
    finish(&mut group);
    match (found.is_empty(), last) {
        (true, Some(error)) => Err(error),
        _ => Ok(found),
    }
}

/// Makes a key of the packets from one primary key to the next.
fn key(packets: Vec<Packet>) -> Result<Key, Error> {
    let mut packets = packets.into_iter().peekable();
    let (public, secret) = match packets.next() {
        Some(Packet::PublicKey(public)) => (public, None),
        Some(Packet::SecretKey(secret)) => (secret.public_key().clone(), Some(secret)),
        _ => return Err(Error::Malformed("first packet was not a public/private key".to_owned())),
    };
    if public.version() != KeyVersion::V4 && public.version() != KeyVersion::V6 {
        return Err(Error::Unsupported("keys of another version than 4 and 6".to_owned()));
    }
    let mut key = Key { public, secret, names: Vec::new(), subkeys: Vec::new(), revoked: false };
    while let Some(packet) = packets.next() {
        let mut words = Vec::new();
        while let Some(Packet::Signature(_)) = packets.peek() {
            if let Some(Packet::Signature(word)) = packets.next() {
                words.push(word);
            }
        }
        match packet {
            Packet::UserId(id) => name(&mut key, &id, words)?,
            Packet::PublicSubkey(public) => subkey(&mut key, public, &words)?,
            Packet::SecretSubkey(secret) => subkey(&mut key, secret.public_key().clone(), &words)?,
            Packet::Signature(first) => {
                for word in std::iter::once(first).chain(words) {
                    if word.typ() == Some(SignatureType::KeyRevocation) {
                        let by_other = "revocation signature signed by alternate key";
                        word.verify_key(&key.public).map_err(|_| Error::Malformed(by_other.to_owned()))?;
                        key.revoked = true;
                    }
                }
            }
            _ => {}
        }
    }
    if key.names.is_empty() {
        return Err(Error::Malformed("v4 entity without any identities".to_owned()));
    }
    Ok(key)
}

/// Did this key make a signature, as far as it says?
fn is_own(word: &Signature, key: &PublicKey) -> bool {
    word.issuer_key_id().contains(&&key.legacy_key_id()) || word.issuer_fingerprint().contains(&&key.fingerprint())
}

/// The word that counts: the newest.
fn newer(word: &Signature, than: Option<&Signature>) -> bool {
    let time = |word: &Signature| word.created().map(Timestamp::as_secs);
    than.is_none_or(|than| time(word) > time(than))
}

fn name(key: &mut Key, id: &pgp::packet::UserId, words: Vec<Signature>) -> Result<(), Error> {
    let (mut newest, mut revoked): (Option<Signature>, bool) = (None, false);
    for word in words.into_iter().filter(|word| is_own(word, &key.public)) {
        word.verify_certification(&key.public, Tag::UserId, id)
            .map_err(|error| Error::Malformed(format!("user ID self-signature invalid: {error}")))?;
        match word.typ() {
            Some(SignatureType::CertRevocation) => revoked = true,
            _ if newer(&word, newest.as_ref()) => newest = Some(word),
            _ => {}
        }
    }
    if let Some(newest) = newest {
        key.names.push(Name { text: String::from_utf8_lossy(id.id()).into_owned(), newest, revoked });
    }
    Ok(())
}

fn subkey(key: &mut Key, public: PublicSubkey, words: &[Signature]) -> Result<(), Error> {
    let (mut newest, mut revoked): (Option<&Signature>, bool) = (None, false);
    let invalid = |why: String| Error::Malformed(format!("subkey signature invalid: {why}"));
    for word in words {
        word.verify_subkey_binding(&key.public, &public).map_err(|error| invalid(error.to_string()))?;
        match word.typ() {
            Some(SignatureType::SubkeyRevocation) => revoked = true,
            _ if newer(word, newest) => newest = Some(word),
            _ => {}
        }
    }
    let newest = newest.ok_or_else(|| Error::Malformed("subkey packet not followed by signature".to_owned()))?;
    // A subkey that signs says itself whose it is: else anybody's key could be made a subkey.
    if newest.key_flags().sign() {
        let back = newest.embedded_signature().ok_or_else(|| invalid("no cross-signature".to_owned()))?;
        back.verify_primary_key_binding(&public, &key.public).map_err(|error| invalid(error.to_string()))?;
    }
    key.subkeys.push(Subkey { public, newest: newest.clone(), revoked });
    Ok(())
}
