//! What depends on the environment: clock, time zone, random numbers; and that every function is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use gotemplate::{Run, TemplateSet, Value};
use jiff::tz::{Offset, TimeZone};

fn render(env: &sprig::Env, text: &str) -> String {
    let mut set = TemplateSet::new(Arc::new(sprig::functions(env)));
    set.parse("t", text).unwrap();
    Arc::new(set).execute("t", &Value::Nil, &mut Run::default()).unwrap().to_string()
}

/// A clock that stands still three hours east of Greenwich, and random bytes that count.
fn fixed() -> sprig::Env {
    let zone = TimeZone::fixed(Offset::constant(3));
    let now = jiff::Timestamp::from_second(1_700_000_000).unwrap().to_zoned(zone);
    let next = AtomicU8::new(0);
    sprig::Env::new(
        move || now.clone(),
        move |bytes| bytes.iter_mut().for_each(|b| *b = next.fetch_add(1, Ordering::Relaxed)),
    )
}

#[test]
fn the_clock_and_its_zone_come_from_outside() {
    assert_eq!(render(&fixed(), "{{ now | unixEpoch }}"), "1700000000");
    assert_eq!(render(&fixed(), r#"{{ date "2006-01-02 15:04 -07" now }}"#), "2023-11-15 01:13 +03");
    assert_eq!(render(&fixed(), r#"{{ htmlDate 0 }} {{ ago 1699999990 }}"#), "1970-01-01 10s");
    assert_eq!(render(&fixed(), r#"{{ toDate "2006-01-02" "2020-01-01" | unixEpoch }}"#), "1577826000");
}

#[test]
fn randomness_comes_from_outside() {
    let text = "{{ uuidv4 }} {{ randAlphaNum 8 }} {{ randBytes 3 }} {{ randInt 0 100 }} {{ shuffle \"abcdef\" }}";
    assert_eq!(render(&fixed(), text), render(&fixed(), text));
    assert!(render(&fixed(), "{{ uuidv4 }}").starts_with("00010203-0405-4607-8809-"));
    let key = "{{ genPrivateKey \"ed25519\" }}";
    assert_eq!(render(&fixed(), key), render(&fixed(), key));
}

#[test]
fn every_function_of_sprig_is_there() {
    let functions = sprig::functions(&fixed());
    let missing: Vec<_> = include_str!("../golden/names.txt").lines().filter(|n| functions.get(n).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(functions.names().count(), include_str!("../golden/names.txt").lines().count());
}

#[test]
fn certificates_verify() {
    let text = r#"{{ $ca := genCA "authority" 2 }}{{ $c := genSignedCert "host" (list "10.0.0.1" "::1") (list "a.example") 1 $ca }}{{ $ca.Cert }}{{ $c.Cert }}"#;
    let certificates = render(&sprig::Env::system(), text);
    let blocks: Vec<Vec<u8>> = certificates.split("-----BEGIN CERTIFICATE-----").skip(1).map(decode).collect();
    let [authority, certificate] = &blocks[..] else { panic!("{certificates}") };
    let key = public_key(authority);
    for certificate in [authority, certificate] {
        let (body, signature) = parts(certificate);
        let public = ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, &key);
        public.verify(body, signature).expect("signed by the authority");
    }
    let contains = |needle: &[u8]| certificate.windows(needle.len()).any(|window| window == needle);
    assert!(contains(b"authority") && contains(b"host") && contains(b"a.example") && contains(&[0x87, 4, 10, 0, 0, 1]));
}

fn decode(pem: &str) -> Vec<u8> {
    let body: String = pem.split("-----END").next().unwrap().split_whitespace().collect();
    let text = format!("{{{{ {body:?} | b64dec }}}}");
    let mut set = TemplateSet::new(Arc::new(sprig::functions(&fixed())));
    set.parse("t", &text).unwrap();
    Arc::new(set).execute("t", &Value::Nil, &mut Run::default()).unwrap().to_vec()
}

/// One DER element: its content, itself, and what follows.
fn element(bytes: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (header, length) = match bytes[1] {
        n if n < 0x80 => (2, usize::from(n)),
        n => {
            let count = usize::from(n & 0x7f);
            (2 + count, bytes[2..2 + count].iter().fold(0, |sum, b| sum << 8 | usize::from(*b)))
        }
    };
    (&bytes[header..header + length], &bytes[..header + length], &bytes[header + length..])
}

/// The signed body and the signature.
fn parts(certificate: &[u8]) -> (&[u8], &[u8]) {
    let (inside, ..) = element(certificate);
    let (_, body, rest) = element(inside);
    let (_, _, rest) = element(rest);
    (body, &element(rest).0[1..])
}

/// The content of the public key's bit string.
fn public_key(certificate: &[u8]) -> Vec<u8> {
    let (mut rest, ..) = element(parts(certificate).0);
    for _version_serial_algorithm_issuer_validity_subject in 0..6 {
        rest = element(rest).2;
    }
    let (info, ..) = element(rest);
    let (_, _, key) = element(info);
    element(key).0[1..].to_vec()
}
