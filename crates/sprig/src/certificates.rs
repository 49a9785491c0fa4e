//! X.509 certificates: authorities, self-signed and signed ones.

use std::net::IpAddr;

use gotemplate::{CallResult, FuncError, Functions, NamedType, Object, Type, Value};
use jiff::tz::TimeZone;
use ring::digest::{SHA256, digest};

use crate::args::{any, int, utf8};
use crate::der::{self, Pem, Reader};
use crate::duration::Duration;
use crate::encoding::decode64;
use crate::env::Env;
use crate::keys::PrivateKey;
use crate::text::to_text;

const S: Type = Type::Str;
const I: Type = Type::Int;
const L: Type = Type::ANY_LIST;

static CERTIFICATE: NamedType = NamedType { name: "sprig.certificate", underlying: Type::Struct, methods: &[] };

/// Sizes of RSA keys that certificates are made with.
const BITS: usize = 2048;

/// A certificate with its key, both as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Certificate {
    cert: String,
    key: String,
}

impl Object for Certificate {
    fn named_type(&self) -> &'static NamedType {
        &CERTIFICATE
    }
    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("Cert", self.cert.clone().into()), ("Key", self.key.clone().into())]
    }
    fn equals(&self, other: &dyn Object) -> bool {
        (other as &dyn std::any::Any).downcast_ref::<Certificate>() == Some(self)
    }
}

pub(crate) fn register(table: &mut Functions, env: &Env) {
    static SIGNED: [Type; 5] = [S, L, L, I, Type::Named(&CERTIFICATE)];
    static SIGNED_WITH_KEY: [Type; 6] = [S, L, L, I, Type::Named(&CERTIFICATE), S];
    table.fixed("buildCustomCert", &[S, S], |_, args| build(&utf8(args, 0), &utf8(args, 1)));
    let e = env.clone();
    table.fixed("genCA", &[S, I], move |_, args| authority(&e, args, new_key(&e)?));
    let e = env.clone();
    table.fixed("genCAWithKey", &[S, I, S], move |_, args| authority(&e, args, given_key(args, 2)?));
    let e = env.clone();
    table.fixed("genSelfSignedCert", &[S, L, L, I], move |_, args| {
        // Names are checked before a key is made: that takes long.
        let request = Request::new(args)?;
        self_signed(&e, &request, new_key(&e)?)
    });
    let e = env.clone();
    table.fixed("genSelfSignedCertWithKey", &[S, L, L, I, S], move |_, args| {
        let key = given_key(args, 4)?;
        self_signed(&e, &Request::new(args)?, key)
    });
    let e = env.clone();
    table.fixed("genSignedCert", &SIGNED, move |_, args| {
        let issuer = Issuer::new(any(args, 4))?;
        let request = Request::new(args)?;
        signed(&e, &request, new_key(&e)?, &issuer)
    });
    let e = env.clone();
    table.fixed("genSignedCertWithKey", &SIGNED_WITH_KEY, move |_, args| {
        let key = given_key(args, 5)?;
        let issuer = Issuer::new(any(args, 4))?;
        signed(&e, &Request::new(args)?, key, &issuer)
    });
}

fn new_key(env: &Env) -> Result<PrivateKey, FuncError> {
    PrivateKey::rsa(BITS, env).map_err(|error| format!("error generating rsa key: {error}").into())
}

fn given_key(args: &[Value], i: usize) -> Result<PrivateKey, FuncError> {
    PrivateKey::from_pem(&utf8(args, i)).map_err(|error| format!("parsing private key: {error}").into())
}

/// `buildCustomCert`: a certificate and key from elsewhere.
fn build(cert: &str, key: &str) -> CallResult {
    let text = |encoded: &str, what: &str| -> Result<String, FuncError> {
        let bytes = decode64(encoded.as_bytes()).map_err(|_| format!("unable to decode base64 {what}"))?;
        Ok(gotemplate::lossy(&bytes).into_owned())
    };
    let (cert, key) = (text(cert, "certificate")?, text(key, "private key")?);
    let block = Pem::find(&cert).ok_or("unable to decode certificate")?;
    Parsed::new(&block.bytes).ok_or("error parsing certificate: decodedCert.Bytes: x509: malformed certificate")?;
    PrivateKey::from_pem(&key).map_err(|error| format!("error parsing private key: {error}"))?;
    Ok(Value::object(Certificate { cert, key }))
}

/// What a certificate is asked for.
struct Request {
    common_name: String,
    addresses: Vec<IpAddr>,
    names: Vec<String>,
    days: i64,
    authority: bool,
}

impl Request {
    /// From the arguments: common name, addresses, names, days.
    fn new(args: &[Value]) -> Result<Request, FuncError> {
        let mut addresses = Vec::new();
        for address in any(args, 1).to_items().unwrap_or_default() {
            let Value::Str(text) = &address else {
                return Err(format!("error parsing ip: {} is not a string", to_text(&address)).into());
            };
            let text = text.lossy();
            addresses.push(text.parse().map_err(|_| format!("error parsing ip: {text}"))?);
        }
        let mut names = Vec::new();
        for name in any(args, 2).to_items().unwrap_or_default() {
            let Value::Str(text) = &name else {
                let shown = to_text(&name);
                return Err(format!("error processing alternate dns name: {shown} is not a string").into());
            };
            names.push(text.lossy().into_owned());
        }
        Ok(Request { common_name: utf8(args, 0), addresses, names, days: int(args, 3), authority: false })
    }
}

/// The authority that signs.
struct Issuer {
    subject: Vec<u8>,
    key_id: Option<Vec<u8>>,
    key: PrivateKey,
}

impl Issuer {
    fn new(certificate: &Value) -> Result<Issuer, FuncError> {
        let certificate = certificate.downcast::<Certificate>().ok_or("unable to decode certificate")?;
        let block = Pem::find(&certificate.cert).ok_or("unable to decode certificate")?;
        let parsed = Parsed::new(&block.bytes)
            .ok_or("error parsing certificate: decodedSignerCert.Bytes: x509: malformed certificate")?;
        let key = PrivateKey::from_pem(&certificate.key);
        let key = key.map_err(|error| format!("error parsing private key: {error}"))?;
        if key.public_info() != parsed.public_info {
            return Err("error creating certificate: x509: provided PrivateKey doesn't match parent's PublicKey".into());
        }
        Ok(Issuer { subject: parsed.subject, key_id: parsed.key_id, key })
    }
}

/// What is needed of a certificate that signs another one.
struct Parsed {
    subject: Vec<u8>,
    public_info: Vec<u8>,
    key_id: Option<Vec<u8>>,
}

const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];

impl Parsed {
    fn new(bytes: &[u8]) -> Option<Parsed> {
        let mut body = Reader::new(bytes).enter()?.enter()?;
        body.optional(der::explicit(0));
        body.expect(der::INTEGER)?;
        for _algorithm_issuer_validity in 0..3 {
            body.expect(der::SEQUENCE)?;
        }
        let subject = body.expect(der::SEQUENCE)?.whole.to_vec();
        let public_info = body.expect(der::SEQUENCE)?.whole.to_vec();
        let mut key_id = None;
        if let Some(extensions) = body.optional(der::explicit(3)) {
            let mut extensions = Reader::new(extensions.content).enter()?;
            while let Some(mut extension) = extensions.enter() {
                let id = extension.expect(der::OBJECT_ID)?.content;
                extension.optional(der::BOOLEAN);
                let content = extension.expect(der::OCTET_STRING)?.content;
                if id == SUBJECT_KEY_ID {
                    key_id = Some(Reader::new(content).expect(der::OCTET_STRING)?.content.to_vec());
                }
            }
        }
        Some(Parsed { subject, public_info, key_id })
    }
}

fn authority(env: &Env, args: &[Value], key: PrivateKey) -> CallResult {
    let request = Request {
        common_name: utf8(args, 0),
        addresses: Vec::new(),
        names: Vec::new(),
        days: int(args, 1),
        authority: true,
    };
    self_signed(env, &request, key)
}

fn self_signed(env: &Env, request: &Request, key: PrivateKey) -> CallResult {
    let bytes = certificate(env, request, &key, &name(&request.common_name), None, &key)?;
    Ok(Value::object(Certificate { cert: Pem::write("CERTIFICATE", &bytes), key: key.to_pem() }))
}

fn signed(env: &Env, request: &Request, key: PrivateKey, issuer: &Issuer) -> CallResult {
    let key_id = issuer.key_id.as_deref().filter(|_| issuer.subject != name(&request.common_name));
    let bytes = certificate(env, request, &key, &issuer.subject, key_id, &issuer.key)?;
    Ok(Value::object(Certificate { cert: Pem::write("CERTIFICATE", &bytes), key: key.to_pem() }))
}

/// A name that consists of a common name.
fn name(common_name: &str) -> Vec<u8> {
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    if common_name.is_empty() {
        return der::sequence(&[]);
    }
    let printable = |b: u8| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b);
    let tag = if common_name.bytes().all(printable) { der::PRINTABLE_STRING } else { der::UTF8_STRING };
    let attribute =
        der::sequence(&[&der::element(der::OBJECT_ID, COMMON_NAME), &der::element(tag, common_name.as_bytes())]);
    der::sequence(&[&der::element(der::SET, &attribute)])
}

/// A moment: two digits of the year up to 2049.
fn moment(time: &crate::Time) -> Vec<u8> {
    let time = time.shown_in(TimeZone::UTC);
    match time.fields().year {
        1950..2050 => der::element(der::UTC_TIME, time.format("060102150405Z").as_bytes()),
        _ => der::element(der::GENERALIZED_TIME, time.format("20060102150405Z").as_bytes()),
    }
}

fn certificate(
    env: &Env,
    request: &Request,
    key: &PrivateKey,
    issuer: &[u8],
    issuer_key_id: Option<&[u8]>,
    signer: &PrivateKey,
) -> Result<Vec<u8>, FuncError> {
    const DAY: i64 = 86_400_000_000_000;
    let mut serial = [0; 16];
    env.fill(&mut serial);
    let now = crate::Time::new(env.now().timestamp(), TimeZone::UTC);
    let until = now.plus(Duration(DAY.wrapping_mul(request.days)));
    let body = der::sequence(&[
        &der::element(der::explicit(0), &der::integer(&[2])),
        &der::integer(&serial),
        &signer.signature_algorithm(),
        issuer,
        &der::sequence(&[&moment(&now), &moment(&until)]),
        &name(&request.common_name),
        &key.public_info(),
        &der::element(der::explicit(3), &extensions(request, key, issuer_key_id)?),
    ]);
    let signature = signer.sign(&body).map_err(|error| format!("error creating certificate: {error}"))?;
    Ok(der::sequence(&[&body, &signer.signature_algorithm(), &der::bit_string(&signature)]))
}

fn extension(id: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let mut parts = der::element(der::OBJECT_ID, id);
    if critical {
        parts.extend(der::element(der::BOOLEAN, &[0xff]));
    }
    parts.extend(der::element(der::OCTET_STRING, content));
    der::element(der::SEQUENCE, &parts)
}

fn extensions(request: &Request, key: &PrivateKey, issuer_key_id: Option<&[u8]>) -> Result<Vec<u8>, FuncError> {
    const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
    const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
    const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
    const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
    const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
    const SERVER: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
    const CLIENT: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
    // Digital signature and key encipherment; authorities also sign certificates. The first byte counts unused bits.
    let usage: &[u8] = if request.authority { &[2, 0b1010_0100] } else { &[5, 0b1010_0000] };
    let constraints: &[u8] = if request.authority { &[der::BOOLEAN, 1, 0xff] } else { &[] };
    let purposes = [der::element(der::OBJECT_ID, SERVER), der::element(der::OBJECT_ID, CLIENT)].concat();
    let mut list = vec![
        extension(KEY_USAGE, true, &der::element(der::BIT_STRING, usage)),
        extension(EXTENDED_KEY_USAGE, false, &der::element(der::SEQUENCE, &purposes)),
        extension(BASIC_CONSTRAINTS, true, &der::element(der::SEQUENCE, constraints)),
    ];
    if request.authority {
        // RFC 7093, method 1.
        let sum = digest(&SHA256, &key.public_bytes());
        list.push(extension(SUBJECT_KEY_ID, false, &der::element(der::OCTET_STRING, &sum.as_ref()[..20])));
    }
    if let Some(id) = issuer_key_id {
        list.push(extension(AUTHORITY_KEY_ID, false, &der::sequence(&[&der::element(der::implicit(0), id)])));
    }
    let names = alternative_names(request)?;
    if !names.is_empty() {
        let critical = request.common_name.is_empty();
        list.push(extension(ALTERNATIVE_NAME, critical, &der::element(der::SEQUENCE, &names)));
    }
    Ok(der::element(der::SEQUENCE, &list.concat()))
}

fn alternative_names(request: &Request) -> Result<Vec<u8>, FuncError> {
    let mut out = Vec::new();
    for name in &request.names {
        if !name.is_ascii() {
            let shown = gotemplate::quote::quoted(name.as_bytes());
            return Err(format!("error creating certificate: x509: {shown} cannot be encoded as an IA5String").into());
        }
        out.extend(der::element(der::implicit(2), name.as_bytes()));
    }
    for address in &request.addresses {
        let bytes = match address.to_canonical() {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        out.extend(der::element(der::implicit(7), &bytes));
    }
    Ok(out)
}
