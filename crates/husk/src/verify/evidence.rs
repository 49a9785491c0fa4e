//! Evidence from a guest, read as far as it tells whether the guest is what it claims to be.
//!
//! Looked at are form, freshness (our data is in it) and the debug bit. Signatures are not: that is the key broker's
//! work, which level 3 asks for a secret.

use serde_json::Value;

/// What evidence says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) tee: &'static str,
    /// The launch measurement, in hexadecimal digits.
    pub(crate) measurement: String,
}

/// Reads evidence as the guest's attestation agent gives it; `data` is what was asked to be in it.
pub(crate) fn read(text: &str, data: &str) -> Result<Proof, String> {
    let json: Value = serde_json::from_str(text).map_err(|error| format!("evidence is not JSON: {error}"))?;
    // Newer agents put several devices' evidence into one answer.
    let json = match &json["primary_evidence"] {
        Value::Null => &json,
        primary => primary,
    };
    if let Some(quote) = json["quote"].as_str() {
        return tdx(&base64(quote).ok_or("the quote is not base64")?, data);
    }
    if json["attestation_report"].is_object() {
        return snp(&json["attestation_report"], data);
    }
    if json.get("svn").is_some() && json.get("report_data").is_some() {
        return Err("evidence is a sample's, which proves nothing: there is no TEE".to_owned());
    }
    Err("evidence of a kind that is not known here".to_owned())
}

fn fresh(found: &[u8], data: &str) -> Result<(), String> {
    let rest =
        found.strip_prefix(data.as_bytes()).ok_or("evidence does not hold our data: it was made for somebody else")?;
    if rest.iter().all(|byte| *byte == 0) { Ok(()) } else { Err("evidence holds more than our data".to_owned()) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn snp(report: &Value, data: &str) -> Result<Proof, String> {
    let bytes = |key: &str| -> Option<Vec<u8>> {
        report[key].as_array()?.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect()
    };
    let report_data = bytes("report_data").ok_or("the report has no report_data")?;
    fresh(&report_data, data)?;
    let policy = report["policy"].as_u64().ok_or("the report has no policy")?;
    if policy & (1 << 19) != 0 {
        return Err("the guest's policy allows debugging: its memory can be read".to_owned());
    }
    let measurement = bytes("measurement").filter(|bytes| bytes.len() == 48).ok_or("the report has no measurement")?;
    Ok(Proof { tee: "SEV-SNP", measurement: hex(&measurement) })
}

/// Offsets in a TDX quote of version 4: a header of 48 bytes, then the TD report.
const ATTRIBUTES: usize = 48 + 120;
const MRTD: usize = 48 + 136;
const REPORT_DATA: usize = 48 + 520;
const END: usize = REPORT_DATA + 64;

fn tdx(quote: &[u8], data: &str) -> Result<Proof, String> {
    let quote = quote.get(..END).ok_or("the quote is too short")?;
    if quote[..2] != [4, 0] || quote[4..8] != [0x81, 0, 0, 0] {
        return Err("the quote is not TDX's, version 4".to_owned());
    }
    fresh(&quote[REPORT_DATA..], data)?;
    if quote[ATTRIBUTES] & 1 != 0 {
        return Err("the guest allows debugging: its memory can be read".to_owned());
    }
    Ok(Proof { tee: "TDX", measurement: hex(&quote[MRTD..MRTD + 48]) })
}

/// Reads base64, both alphabets, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for c in text.bytes().filter(|c| !c.is_ascii_whitespace() && *c != b'=') {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded on hardware: the answer of a guest's attestation agent to `runtime_data=test`, as a user published it.
    const SNP: &str = include_str!("../../tests/data/evidence/snp.json");
    /// Recorded on hardware: header and report of a quote that was published as an example, in base64.
    const TDX: &str = include_str!("../../tests/data/evidence/tdx-quote.base64");
    const TDX_DATA: &str = "Hello from Edgeless Systems!";

    fn quote() -> String {
        format!("{{\"quote\": \"{}\", \"cc_eventlog\": \"\"}}", TDX.trim())
    }

    #[test]
    fn recorded_evidence_is_accepted_for_the_data_that_it_was_made_for_only() {
        let snp = read(SNP, "test").unwrap();
        assert_eq!(snp.tee, "SEV-SNP");
        assert!(snp.measurement.starts_with("6b434162") && snp.measurement.len() == 96);
        assert!(read(SNP, "tess").unwrap_err().contains("somebody else"));
        assert!(read(SNP, "tes").unwrap_err().contains("more than our data"));
        let tdx = read(&quote(), TDX_DATA).unwrap();
        assert!(tdx.tee == "TDX" && tdx.measurement.starts_with("b65ea009"), "{tdx:?}");
        assert!(read(&quote(), "another nonce").is_err());
    }

    #[test]
    fn a_guest_that_may_be_debugged_is_refused() {
        let debug = SNP.replacen("\"policy\":196608", &format!("\"policy\":{}", 196_608 | (1 << 19)), 1);
        assert!(read(&debug, "test").unwrap_err().contains("debugging"));
        let mut bytes = base64(TDX.trim()).unwrap();
        bytes[ATTRIBUTES] |= 1;
        assert!(tdx(&bytes, TDX_DATA).unwrap_err().contains("debugging"));
    }

    #[test]
    fn samples_and_nonsense_prove_nothing() {
        assert!(read(r#"{"svn": "1", "report_data": "dGVzdA=="}"#, "test").unwrap_err().contains("no TEE"));
        for text in ["", "{}", "[]", r#"{"quote": "BAAC"}"#, r#"{"quote": "?"}"#, r#"{"attestation_report": {}}"#] {
            assert!(read(text, "test").is_err(), "{text}");
        }
    }

    #[test]
    fn evidence_inside_an_envelope_is_found() {
        let text = format!("{{\"primary_evidence\": {SNP}, \"additional_evidence\": \"{{}}\"}}");
        assert_eq!(read(&text, "test").unwrap().tee, "SEV-SNP");
    }
}
