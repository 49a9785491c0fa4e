//! Exact decimal numbers, so that 0.1 and 0.2 make 0.3.

use num_bigint::{BigInt, Sign};

/// Decimal places of a quotient.
const PLACES: u32 = 16;

/// `digits × 10^exponent`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    digits: BigInt,
    exponent: i32,
}

/// An operation without a result.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum DecimalError {
    #[error("decimal division by 0")]
    DivisionByZero,
    #[error("Cannot create a Decimal from {0}")]
    NotFinite(String),
}

impl Decimal {
    /// The decimal number that the float is the nearest one to.
    pub(crate) fn from_float(float: f64) -> Result<Decimal, DecimalError> {
        if !float.is_finite() {
            let shown = gotemplate::format::format_float(float, gotemplate::format::FloatStyle::General, None);
            return Err(DecimalError::NotFinite(shown));
        }
        let text = format!("{float:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let places = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i32);
        let digits = mantissa.replace('.', "").parse().unwrap_or_default();
        Ok(Decimal { digits, exponent: exponent.parse::<i32>().unwrap_or(0) - places })
    }

    /// The nearest float.
    pub(crate) fn to_float(&self) -> f64 {
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or(0.0)
    }

    /// The digits when the exponent is lowered to this.
    fn at(&self, exponent: i32) -> BigInt {
        &self.digits * ten_to((self.exponent - exponent) as u32)
    }

    pub(crate) fn add(&self, other: &Decimal) -> Decimal {
        let exponent = self.exponent.min(other.exponent);
        Decimal { digits: self.at(exponent) + other.at(exponent), exponent }
    }

    pub(crate) fn sub(&self, other: &Decimal) -> Decimal {
        let exponent = self.exponent.min(other.exponent);
        Decimal { digits: self.at(exponent) - other.at(exponent), exponent }
    }

    pub(crate) fn mul(&self, other: &Decimal) -> Decimal {
        Decimal { digits: &self.digits * &other.digits, exponent: self.exponent + other.exponent }
    }

    /// The quotient, rounded half away from zero at the sixteenth place.
    pub(crate) fn div(&self, other: &Decimal) -> Result<Decimal, DecimalError> {
        if other.digits.sign() == Sign::NoSign {
            return Err(DecimalError::DivisionByZero);
        }
        let shift = self.exponent - other.exponent + PLACES as i32;
        let (above, below) = if shift >= 0 {
            (&self.digits * ten_to(shift as u32), other.digits.clone())
        } else {
            (self.digits.clone(), &other.digits * ten_to(shift.unsigned_abs()))
        };
        let (mut quotient, remainder) = (&above / &below, &above % &below);
        if remainder.magnitude() * 2u32 >= *below.magnitude() {
            quotient += if (above.sign() == Sign::Minus) == (below.sign() == Sign::Minus) { 1 } else { -1 };
        }
        Ok(Decimal { digits: quotient, exponent: -(PLACES as i32) })
    }
}

fn ten_to(power: u32) -> BigInt {
    BigInt::from(10).pow(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(float: f64) -> Decimal {
        Decimal::from_float(float).unwrap()
    }

    #[test]
    fn sums_are_exact() {
        assert_eq!(decimal(0.1).add(&decimal(0.2)).to_float(), 0.3);
        assert_eq!(decimal(1e300).sub(&decimal(1e-300)).to_float(), 1e300);
    }

    #[test]
    fn quotients_have_sixteen_places() {
        assert_eq!(decimal(2.0).div(&decimal(3.0)).unwrap().to_float(), 0.6666666666666667);
        assert_eq!(decimal(-2.0).div(&decimal(3.0)).unwrap().to_float(), -0.6666666666666667);
        assert_eq!(decimal(1.0).div(&decimal(0.0)), Err(DecimalError::DivisionByZero));
        assert!(Decimal::from_float(f64::INFINITY).is_err());
    }
}
