//! Private keys: making them, reading and writing them, signing with them.

use gotemplate::Functions;
use num_bigint::BigUint;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair,
};
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};

use crate::args::utf8;
use crate::der::{self, Pem, Reader};
use crate::dsa;
use crate::env::Env;

/// What the content of a 32-byte SHA-256 sum is preceded by in an RSA signature.
const SHA256_PREFIX: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

pub(crate) fn register(table: &mut Functions, env: &Env) {
    let env = env.clone();
    table.fixed("genPrivateKey", &[gotemplate::Type::Str], move |_, args| {
        let sort = utf8(args, 0);
        // Failures are returned as text: that is what Sprig does.
        Ok(match sort.as_str() {
            "" | "rsa" => PrivateKey::rsa(4096, &env).map(|key| key.to_pem()),
            "ecdsa" => PrivateKey::p256().map(|key| key.to_pem()),
            "ed25519" => Ok(PrivateKey::ed25519(&env).to_pem()),
            "dsa" => Ok(Pem::write("DSA PRIVATE KEY", &dsa::generate(&env))),
            other => Ok(format!("Unknown type {other}")),
        }
        .unwrap_or_else(|error| format!("failed to generate private key: {error}"))
        .into())
    });
}

/// A private key that can sign certificates.
pub(crate) enum PrivateKey {
    Rsa(Box<RsaPrivateKey>),
    Ec { curve: Curve, private: Vec<u8>, public: Vec<u8> },
    Ed25519 { seed: [u8; 32], public: Vec<u8> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
}

impl Curve {
    fn from_oid(oid: &[u8]) -> Option<Curve> {
        match oid {
            P256 => Some(Curve::P256),
            P384 => Some(Curve::P384),
            _ => None,
        }
    }

    fn oid(self) -> &'static [u8] {
        match self {
            Curve::P256 => P256,
            Curve::P384 => P384,
        }
    }

    /// Bytes of a private key.
    fn size(self) -> usize {
        match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
        }
    }

    fn algorithm(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Curve::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
            Curve::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        }
    }
}

/// The environment's randomness in the form that the RSA library wants.
struct Source<'e>(&'e Env);

impl rsa::rand_core::RngCore for Source<'_> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl rsa::rand_core::CryptoRng for Source<'_> {}

fn oid(bytes: &[u8]) -> Vec<u8> {
    der::element(der::OBJECT_ID, bytes)
}

impl PrivateKey {
    pub(crate) fn rsa(bits: usize, env: &Env) -> Result<PrivateKey, String> {
        let key = RsaPrivateKey::new(&mut Source(env), bits).map_err(|error| error.to_string())?;
        Ok(PrivateKey::Rsa(Box::new(key)))
    }

    pub(crate) fn ed25519(env: &Env) -> PrivateKey {
        let mut seed = [0; 32];
        env.fill(&mut seed);
        PrivateKey::from_seed(seed)
    }

    fn from_seed(seed: [u8; 32]) -> PrivateKey {
        let public = Ed25519KeyPair::from_seed_unchecked(&seed).map(|pair| pair.public_key().as_ref().to_vec());
        PrivateKey::Ed25519 { seed, public: public.unwrap_or_default() }
    }

    /// A key on the curve P-256, from the system's randomness: the library takes no other.
    pub(crate) fn p256() -> Result<PrivateKey, String> {
        let document = EcdsaKeyPair::generate_pkcs8(Curve::P256.algorithm(), &SystemRandom::new());
        let document = document.map_err(|_| "no randomness")?;
        pkcs8(document.as_ref()).ok_or_else(|| "the generated key cannot be read".to_owned())
    }

    /// Reads a key; errors are in the words of Sprig.
    pub(crate) fn from_pem(text: &str) -> Result<PrivateKey, String> {
        let block = Pem::find(text).ok_or("no PEM data in input")?;
        if block.label == "PRIVATE KEY" {
            return pkcs8(&block.bytes).ok_or_else(|| "decoding PEM as PKCS#8: unusable key".to_owned());
        }
        let Some(sort) = block.label.strip_suffix(" PRIVATE KEY") else {
            return Err(format!("no private key data in PEM block of type {}", block.label));
        };
        match sort {
            "RSA" => RsaPrivateKey::from_pkcs1_der(&block.bytes)
                .map(|key| PrivateKey::Rsa(Box::new(key)))
                .map_err(|error| format!("parsing RSA private key from PEM: {error}")),
            "EC" => sec1(&block.bytes, None).ok_or_else(|| {
                "parsing EC private key from PEM: not a P-256 or P-384 key with its public key".to_owned()
            }),
            "DSA" => Err("DSA keys cannot sign certificates".to_owned()),
            other => Err(format!("invalid private key type {other}")),
        }
    }

    pub(crate) fn to_pem(&self) -> String {
        match self {
            PrivateKey::Rsa(key) => {
                let bytes = key.to_pkcs1_der().map(|document| document.as_bytes().to_vec());
                Pem::write("RSA PRIVATE KEY", &bytes.unwrap_or_default())
            }
            PrivateKey::Ec { curve, private, public } => {
                let bytes = der::sequence(&[
                    &der::integer(&[1]),
                    &der::element(der::OCTET_STRING, private),
                    &der::element(der::explicit(0), &oid(curve.oid())),
                    &der::element(der::explicit(1), &der::bit_string(public)),
                ]);
                Pem::write("EC PRIVATE KEY", &bytes)
            }
            PrivateKey::Ed25519 { seed, .. } => {
                let inner = der::element(der::OCTET_STRING, seed);
                let bytes = der::sequence(&[
                    &der::integer(&[0]),
                    &der::sequence(&[&oid(ED25519)]),
                    &der::element(der::OCTET_STRING, &inner),
                ]);
                Pem::write("PRIVATE KEY", &bytes)
            }
        }
    }

    /// The content of the public key's bit string.
    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        match self {
            PrivateKey::Rsa(key) => {
                der::sequence(&[&der::integer(&key.n().to_bytes_be()), &der::integer(&key.e().to_bytes_be())])
            }
            PrivateKey::Ec { public, .. } | PrivateKey::Ed25519 { public, .. } => public.clone(),
        }
    }

    /// The public key with its algorithm, as certificates hold it.
    pub(crate) fn public_info(&self) -> Vec<u8> {
        let algorithm = match self {
            PrivateKey::Rsa(_) => der::sequence(&[&oid(RSA_ENCRYPTION), &der::element(der::NULL, &[])]),
            PrivateKey::Ec { curve, .. } => der::sequence(&[&oid(EC_PUBLIC_KEY), &oid(curve.oid())]),
            PrivateKey::Ed25519 { .. } => der::sequence(&[&oid(ED25519)]),
        };
        der::sequence(&[&algorithm, &der::bit_string(&self.public_bytes())])
    }

    /// The algorithm of the signatures that [`PrivateKey::sign`] makes.
    pub(crate) fn signature_algorithm(&self) -> Vec<u8> {
        match self {
            PrivateKey::Rsa(_) => der::sequence(&[&oid(SHA256_WITH_RSA), &der::element(der::NULL, &[])]),
            PrivateKey::Ec { curve: Curve::P256, .. } => der::sequence(&[&oid(ECDSA_WITH_SHA256)]),
            PrivateKey::Ec { curve: Curve::P384, .. } => der::sequence(&[&oid(ECDSA_WITH_SHA384)]),
            PrivateKey::Ed25519 { .. } => der::sequence(&[&oid(ED25519)]),
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            PrivateKey::Rsa(key) => {
                let scheme = Pkcs1v15Sign { hash_len: Some(32), prefix: SHA256_PREFIX.into() };
                key.sign(scheme, digest(&SHA256, message).as_ref()).map_err(|error| error.to_string())
            }
            PrivateKey::Ec { curve, private, public } => {
                let random = SystemRandom::new();
                let pair = EcdsaKeyPair::from_private_key_and_public_key(curve.algorithm(), private, public, &random);
                let pair = pair.map_err(|error| error.to_string())?;
                pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()).map_err(|e| e.to_string())
            }
            PrivateKey::Ed25519 { seed, .. } => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|error| error.to_string())?;
                Ok(pair.sign(message).as_ref().to_vec())
            }
        }
    }
}

/// Reads PKCS #8.
fn pkcs8(bytes: &[u8]) -> Option<PrivateKey> {
    let mut key = Reader::new(bytes).enter()?;
    key.expect(der::INTEGER)?;
    let mut algorithm = key.enter()?;
    let sort = algorithm.expect(der::OBJECT_ID)?.content;
    let inner = key.expect(der::OCTET_STRING)?.content;
    match sort {
        RSA_ENCRYPTION => RsaPrivateKey::from_pkcs1_der(inner).ok().map(|key| PrivateKey::Rsa(Box::new(key))),
        EC_PUBLIC_KEY => sec1(inner, Curve::from_oid(algorithm.expect(der::OBJECT_ID)?.content)),
        ED25519 => {
            let seed = Reader::new(inner).expect(der::OCTET_STRING)?.content;
            Some(PrivateKey::from_seed(seed.try_into().ok()?))
        }
        _ => None,
    }
}

/// Reads SEC 1; the curve comes from outside when the key does not name it.
fn sec1(bytes: &[u8], curve: Option<Curve>) -> Option<PrivateKey> {
    let mut key = Reader::new(bytes).enter()?;
    key.expect(der::INTEGER)?;
    let private = key.expect(der::OCTET_STRING)?.content;
    let named = key.optional(der::explicit(0));
    let named = named.and_then(|e| Curve::from_oid(Reader::new(e.content).expect(der::OBJECT_ID)?.content));
    let curve = named.or(curve)?;
    let public = Reader::new(key.optional(der::explicit(1))?.content).expect(der::BIT_STRING)?.content;
    let number = BigUint::from_bytes_be(private).to_bytes_be();
    let padding = curve.size().checked_sub(number.len())?;
    let private = [vec![0; padding], number].concat();
    Some(PrivateKey::Ec { curve, private, public: public.get(1..)?.to_vec() })
}
