//! Amounts of memory as Kubernetes writes them.

use serde::de::{Deserialize, Deserializer, Error};

/// Why a text is no amount of memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// No number, or another suffix.
    #[error("is not an amount of memory: write bytes, or a number with Ki, Mi, Gi, k, M or G")]
    Syntax,
    /// More than 52 bits of address reach.
    #[error("is more memory than any machine has")]
    TooLarge,
}

/// The suffixes of a quantity and what they stand for.
///
/// Source: k8s.io/apimachinery, pkg/api/resource, `Quantity`.
const SUFFIXES: &[(&str, u64)] = &[
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

/// The most that is taken for an amount of memory: the guest-physical address
/// space of today's processors (52 bits), in bytes.
const MAX: f64 = (1u64 << 52) as f64;

/// Reads `128Mi`, `1.5Gi`, `134217728`, `1e9`; gives bytes, rounded down.
///
/// # Errors
/// When the text is no quantity, or no machine could have so much.
pub fn bytes(text: &str) -> Result<u64, QuantityError> {
    let (number, unit) = SUFFIXES
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
        .unwrap_or((text, 1));
    // `f64::from_str` also takes "inf", "nan" and signs: they are no amounts.
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(QuantityError::Syntax);
    }
    let number: f64 = number.parse().map_err(|_| QuantityError::Syntax)?;
    let bytes = number * unit as f64;
    if bytes > MAX {
        return Err(QuantityError::TooLarge);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most MAX, and of digits without a sign"
    )]
    Ok(bytes as u64)
}

/// For serde: bytes from a text as [`bytes`] reads it.
///
/// # Errors
/// Where it cannot read it, with the text.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    bytes(&text).map_err(|why| D::Error::custom(format!("{text:?} {why}")))
}

/// An amount of memory for people: `64 MiB`, or bytes where it is no round number.
pub fn display(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 30 && b % (1 << 30) == 0 => format!("{} GiB", b >> 30),
        b if b >= 1 << 20 && b % (1 << 20) == 0 => format!("{} MiB", b >> 20),
        b if b >= 1 << 20 => format!("{:.1} MiB", b as f64 / (1u64 << 20) as f64),
        b => format!("{b} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        assert_eq!(bytes("12"), Ok(12));
        assert_eq!(bytes("64Mi"), Ok(64 << 20));
        assert_eq!(bytes("1.5Gi"), Ok(3 << 29));
        assert_eq!(bytes("128M"), Ok(128_000_000));
        assert_eq!(bytes("1e9"), Ok(1_000_000_000));
        assert_eq!(bytes("1e30"), Err(QuantityError::TooLarge));
        assert_eq!(bytes("1e400"), Err(QuantityError::TooLarge));
        for bad in [
            "", "Mi", "-1", "+1", "inf", "nan", "64 Mi", "64MB", "0x10", "１",
        ] {
            assert_eq!(bytes(bad), Err(QuantityError::Syntax), "{bad:?}");
        }
    }
}
