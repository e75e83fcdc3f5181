//! Commands for agent cards.

use super::GatewayArgs;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum CardCommand {
    Show(CardShowArgs),
    Verify(CardVerifyArgs),
    Keygen(CardKeygenArgs),
}

/// Show the card of an agent
#[derive(Args, Debug)]
pub(crate) struct CardShowArgs {
    /// Name of an agent of the mesh, or URL of any A2A server
    pub(crate) agent: String,

    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
}

/// Check the signatures of an agent's card
///
/// One signature has to count. The key is taken from --key; without it, from where the signature says (jku), if that is
/// the origin of the card and the connection is encrypted or local: such a key proves that the card is whole, and no
/// more about who made it than the connection does.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh card verify https://agents.example.com/sales --key partner.pem
  agentmesh card verify sales --trust-jku
  agentmesh -o json card verify http://127.0.0.1:8092 | jq .signatures")]
pub(crate) struct CardVerifyArgs {
    /// Name of an agent of the mesh, or URL of any A2A server
    pub(crate) agent: String,

    /// Public key: PEM, a JSON Web Key, or a set of them; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "trust_jku")]
    pub(crate) key: Option<PathBuf>,

    /// Take the key from wherever the signature says it is
    #[arg(long)]
    pub(crate) trust_jku: bool,

    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
}

/// Make a key to sign cards with, and print its public half
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh card keygen card.pem > card.jwk")]
pub(crate) struct CardKeygenArgs {
    /// File for the private key, in PEM; it must not be there yet
    pub(crate) file: PathBuf,

    /// How it signs
    #[arg(long, value_enum, default_value_t, value_name = "NAME")]
    pub(crate) algorithm: KeyAlgorithm,
}

/// How a key signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyAlgorithm {
    /// ECDSA on P-256, which every verifier knows
    #[default]
    Es256,
    /// Ed25519
    Eddsa,
}
