//! ServiceAccount tokens: JSON Web Tokens signed with a key that only this server has (HS256).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// `iss` of the tokens and default audience.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The signing key.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// HMAC with SHA-256 (RFC 2104) for keys of at most one block.
fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let pad = |with: u8| -> [u8; 64] { std::array::from_fn(|i| key.get(i).copied().unwrap_or(0) ^ with) };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

impl TokenKey {
    /// A key from 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        TokenKey(bytes)
    }

    /// Signs claims.
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "HS256", "typ": "JWT"}).to_string();
        let body = format!("{}.{}", B64.encode(header), B64.encode(claims.to_string()));
        let signature = B64.encode(hmac_sha256(&self.0, body.as_bytes()));
        format!("{body}.{signature}")
    }

    /// The claims of a token with a good signature that has not expired at `now` (seconds since 1970).
    pub fn verify(&self, token: &str, now: i64) -> Option<Value> {
        let (body, signature) = token.rsplit_once('.')?;
        let signature = B64.decode(signature).ok()?;
        let expected = hmac_sha256(&self.0, body.as_bytes());
        // Compares every byte, so that the time taken does not tell where the first difference is.
        let same = signature.len() == expected.len()
            && signature.iter().zip(expected).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0;
        let claims: Value = serde_json::from_slice(&B64.decode(body.split_once('.')?.1).ok()?).ok()?;
        (same && claims["exp"].as_i64()? > now).then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_matches_a_known_answer() {
        // HMAC-SHA256 with an all-zero 32-byte key over the empty message.
        let mac = hmac_sha256(&[0; 32], b"");
        let hex: String = mac.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
    }

    #[test]
    fn tokens_expire_and_cannot_be_changed() {
        let key = TokenKey::new([7; 32]);
        let token = key.sign(&json!({"sub": "x", "exp": 100}));
        assert_eq!(key.verify(&token, 99).unwrap()["sub"], "x");
        assert_eq!(key.verify(&token, 100), None);
        assert_eq!(TokenKey::new([8; 32]).verify(&token, 99), None);
        let forged = B64.encode(json!({"sub": "y", "exp": 100}).to_string());
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(key.verify(&format!("{}.{forged}.{}", parts[0], parts[2]), 99), None);
        assert_eq!(key.verify("", 0), None);
    }
}
