//! DSA keys of 2048 bits with a subgroup of 256. Nobody should use them; `genPrivateKey "dsa"` makes them.

use num_bigint::BigUint;

use crate::der;
use crate::env::Env;

const LENGTH: u64 = 2048;
const SUBGROUP: u64 = 256;
/// Rounds of the primality test; each lets at most a quarter of the composite numbers pass.
const ROUNDS: usize = 64;

/// A new key in the form that OpenSSL writes: version, p, q, g, y, x.
pub(crate) fn generate(env: &Env) -> Vec<u8> {
    let one = BigUint::from(1u8);
    let q = loop {
        let candidate = random_bits(env, SUBGROUP);
        if is_prime(env, &candidate) {
            break candidate;
        }
    };
    let p = loop {
        // The next lower number of which q divides the predecessor.
        let start = random_bits(env, LENGTH);
        let remainder = &start % (&q * 2u8);
        let candidate = start - remainder + &one;
        if candidate.bits() == LENGTH && is_prime(env, &candidate) {
            break candidate;
        }
    };
    let exponent = (&p - &one) / &q;
    let g = (2u8..).map(|h| BigUint::from(h).modpow(&exponent, &p)).find(|g| *g != one).unwrap_or_default();
    let x = loop {
        let candidate = random_bits(env, SUBGROUP) % &q;
        if candidate.bits() > 0 {
            break candidate;
        }
    };
    let y = g.modpow(&x, &p);
    let numbers: Vec<Vec<u8>> = [&p, &q, &g, &y, &x].into_iter().map(|n| der::integer(&n.to_bytes_be())).collect();
    der::element(der::SEQUENCE, &[der::integer(&[0]), numbers.concat()].concat())
}

/// A random odd number of exactly so many bits.
fn random_bits(env: &Env, bits: u64) -> BigUint {
    let mut bytes = vec![0; bits as usize / 8];
    env.fill(&mut bytes);
    let mut number = BigUint::from_bytes_be(&bytes);
    number.set_bit(bits - 1, true);
    number.set_bit(0, true);
    number
}

/// Trial division, then Miller and Rabin's test.
fn is_prime(env: &Env, n: &BigUint) -> bool {
    let zero = BigUint::ZERO;
    let (one, two) = (BigUint::from(1u8), BigUint::from(2u8));
    if n < &two || (3u32..4000).step_by(2).any(|d| n % d == zero && *n != BigUint::from(d)) {
        return false;
    }
    let before = n - &one;
    let twos = before.trailing_zeros().unwrap_or(0);
    let odd = &before >> twos;
    (0..ROUNDS).all(|_| {
        let mut x = (random_bits(env, n.bits().next_multiple_of(8)) % n).modpow(&odd, n);
        if x == one || x == before || x == zero {
            return true;
        }
        for _ in 1..twos {
            x = x.modpow(&two, n);
            if x == before {
                return true;
            }
        }
        false
    })
}
