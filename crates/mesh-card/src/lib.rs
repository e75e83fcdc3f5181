//! Signed agent cards (A2A 1.0, section 8.4): what is signed, with which keys, and how a signature is checked.
//!
//! - `canonical`: JSON in the one form that RFC 8785 gives it.
//! - `reading`: the readings of a card that verifiers differ in, and what each of them covers.
//! - `private_key`: keys that sign, from PEM.
//! - `public_key`: keys that verify, from PEM and JSON Web Keys.
//! - `signature`: detached JSON Web Signatures over a card.

mod canonical;
mod private_key;
mod public_key;
mod reading;
mod signature;

pub use canonical::{TooDeep, canonical};
pub use private_key::{Algorithm, KeyError, PrivateKey};
pub use public_key::{Jwk, Jwks, PublicKey};
pub use reading::Reading;
pub use signature::{ACCEPTED, Claimed, Refused, Signing, sign, signatures, verify};
