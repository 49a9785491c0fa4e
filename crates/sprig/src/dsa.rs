//! DSA keys of 2048 bits with a subgroup of 256. Nobody should use them; `genPrivateKey "dsa"` makes them.

use num_bigint::BigUint;

use crate::der;
use crate::env::Env;

/// Bits of the modulus.
const LENGTH: u64 = 2048;
/// Bits of the subgroup's order.
const SUBGROUP: u64 = 256;
/// Rounds of the primality test; each lets at most a quarter of the composite numbers pass.
const ROUNDS: usize = 64;

/// A new key in the form that OpenSSL writes: version, p, q, g, y, x.
pub(crate) fn generate(env: &Env) -> Vec<u8> {
    let Key { p, q, g, y, x } = &Key::new(env, LENGTH, SUBGROUP);
    let numbers: Vec<Vec<u8>> = [p, q, g, y, x].into_iter().map(|n| der::integer(&n.to_bytes_be())).collect();
    der::element(der::SEQUENCE, &[der::integer(&[0]), numbers.concat()].concat())
}

/// The numbers of a key: modulus, order, generator, public and private key.
struct Key {
    p: BigUint,
    q: BigUint,
    g: BigUint,
    y: BigUint,
    x: BigUint,
}

impl Key {
    fn new(env: &Env, length: u64, subgroup: u64) -> Key {
        let one = BigUint::from(1u8);
        let q = loop {
            let candidate = random_bits(env, subgroup);
            if is_prime(env, &candidate) {
                break candidate;
            }
        };
        let p = loop {
            // The next lower number of which q divides the predecessor.
            let start = random_bits(env, length);
            let remainder = &start % (&q * 2u8);
            let candidate = start - remainder + &one;
            if candidate.bits() == length && is_prime(env, &candidate) {
                break candidate;
            }
        };
        let exponent = (&p - &one) / &q;
        let g = (2u8..).map(|h| BigUint::from(h).modpow(&exponent, &p)).find(|g| *g != one).unwrap_or_default();
        let x = loop {
            let candidate = random_bits(env, subgroup) % &q;
            if candidate.bits() > 0 {
                break candidate;
            }
        };
        let y = g.modpow(&x, &p);
        Key { p, q, g, y, x }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_told_from_others() {
        let env = Env::system();
        let prime = |n: u64| is_prime(&env, &BigUint::from(n));
        let primes: Vec<u64> = (0..60).filter(|n| n % 2 == 1 && prime(*n)).collect();
        assert_eq!(primes, [3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59]);
        assert!(prime(18_446_744_073_709_551_557));
        // A product of two primes beyond trial division, and a Carmichael number.
        assert!(!prime(4_294_967_291 * 4_294_967_279) && !prime(9_746_347_772_161));
    }

    #[test]
    fn keys_fit_together() {
        let Key { p, q, g, y, x } = Key::new(&Env::system(), 256, 96);
        let one = BigUint::from(1u8);
        assert_eq!((p.bits(), q.bits()), (256, 96));
        assert_eq!((&p - &one) % &q, BigUint::ZERO);
        assert!(g != one && g.modpow(&q, &p) == one);
        assert!(x < q && y == g.modpow(&x, &p));
    }
}
