//! `agentmesh card verify`: whether one of a card's signatures counts.

use crate::cli::CardVerifyArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::{Printer, one_line};
use crate::{attach, directory, http};
use mesh_card::{Claimed, PublicKey, Reading, Refused, signatures, verify};
use reqwest::Url;
use serde_json::{Value, json};

/// A signature that was looked at.
struct Looked {
    claimed: Option<Claimed>,
    /// Where the key came from, and what of the card the signature covers; or why it does not count.
    result: Result<(String, Reading), String>,
}

/// Runs the command.
pub(crate) async fn run(args: CardVerifyArgs, printer: &Printer) -> Outcome {
    let http = http::Client::new()?;
    let keys = Keys::read(&args, http.clone()).await?;
    let (url, card) = directory::card(&http, &args.gateway, &args.agent).await?;
    let mut looked = Vec::new();
    for claimed in signatures(&card) {
        let result = match &claimed {
            Ok(claimed) => keys.check(&url, &card, claimed).await?,
            Err(refused) => Err(refused.to_string()),
        };
        looked.push(Looked { claimed: claimed.ok(), result });
    }
    // What one signature covers, all of them together cover.
    let best = looked
        .iter()
        .filter_map(|looked| looked.result.as_ref().ok())
        .min_by_key(|(_, reading)| Reading::ALL.iter().position(|known| known == reading));
    if printer.is_json() {
        printer.document(&document(&url, &card, &looked, best.map(|(_, reading)| *reading)))?;
        return best.map(|_| ExitStatus::Ok).ok_or(Failure::silent(ExitStatus::Failed));
    }
    let Some((from, reading)) = best else { return Err(failure(&url, &looked)) };
    let by = looked.iter().find(|looked| looked.result.as_ref().ok() == Some(&(from.clone(), *reading)));
    if let Some(claimed) = by.and_then(|looked| looked.claimed.as_ref()) {
        let name = one_line(card["name"].as_str().unwrap_or("the agent"));
        printer.line(&format!("{name}: signed with {} by key {}", claimed.alg, one_line(&claimed.kid)))?;
    }
    printer.line(&format!("the key is from {from}"))?;
    let uncovered: Vec<String> = reading.uncovered(&card).into_iter().map(one_line).collect();
    if !uncovered.is_empty() {
        printer.warn(&format!("the signature says nothing of {}", uncovered.join(", ")));
    }
    Ok(ExitStatus::Ok)
}

fn failure(url: &Url, looked: &[Looked]) -> Failure {
    if looked.is_empty() {
        return Failure::failed(format!("the card at {url} is not signed"));
    }
    let why = |looked: &Looked| {
        let name = looked.claimed.as_ref().map(|claimed| format!("key {}: ", one_line(&claimed.kid)));
        let why = looked.result.as_ref().err().map(|why| one_line(why)).unwrap_or_default();
        format!("\n  {}{why}", name.unwrap_or_default())
    };
    let mut reasons: Vec<String> = looked.iter().map(why).collect();
    reasons.dedup();
    Failure::failed(format!("no signature of the card at {url} counts{}", reasons.concat()))
}

fn document(url: &Url, card: &Value, looked: &[Looked], best: Option<Reading>) -> Value {
    let one = |looked: &Looked| {
        let claimed = looked.claimed.as_ref();
        json!({
            "alg": claimed.map(|claimed| &claimed.alg),
            "kid": claimed.map(|claimed| &claimed.kid),
            "jku": claimed.and_then(|claimed| claimed.jku.as_ref()),
            "verified": looked.result.is_ok(),
            "key_from": looked.result.as_ref().ok().map(|(from, _)| from),
            "covers": looked.result.as_ref().ok().map(|(_, reading)| covers(*reading)),
            "reason": looked.result.as_ref().err(),
        })
    };
    json!({
        "url": url.as_str(),
        "name": card["name"],
        "verified": best.is_some(),
        "not_covered": best.map(|reading| reading.uncovered(card)),
        "signatures": looked.iter().map(one).collect::<Vec<_>>(),
    })
}

fn covers(reading: Reading) -> &'static str {
    match reading {
        Reading::Whole => "every field",
        Reading::Known => "the fields of A2A 1.0",
        Reading::Stripped => "the fields of A2A 1.0 that are not empty",
    }
}

/// Where keys come from.
enum Keys {
    /// From a file: nothing else is asked.
    File { path: String, keys: Vec<PublicKey> },
    /// From where the signature says, if that can be trusted.
    Named { http: http::Client, anywhere: bool },
}

impl Keys {
    async fn read(args: &CardVerifyArgs, http: http::Client) -> Outcome<Self> {
        let Some(file) = &args.key else { return Ok(Self::Named { http, anywhere: args.trust_jku }) };
        let keys = PublicKey::read(&attach::text(file).await?);
        let path = file.display().to_string();
        if keys.is_empty() {
            return Err(Failure::usage(format!("{path} holds no public key"))
                .hint("it may be PEM (BEGIN PUBLIC KEY), a JSON Web Key, or a set of them"));
        }
        Ok(Self::File { path, keys })
    }

    /// Checks one signature. The outer failure is that keys cannot be had.
    async fn check(
        &self,
        card_url: &Url,
        card: &Value,
        claimed: &Claimed,
    ) -> Outcome<Result<(String, Reading), String>> {
        let (from, keys) = match self {
            Self::File { path, keys } => (path.clone(), keys.clone()),
            Self::Named { http, anywhere } => match place(card_url, claimed.jku.as_deref(), *anywhere) {
                Ok(place) => {
                    let set = http.get_json(place.as_str()).await?;
                    (place.to_string(), PublicKey::read(&set.to_string()))
                }
                Err(why) => return Ok(Err(why)),
            },
        };
        let mut named = keys.iter().filter(|key| key.answers_to(&claimed.kid)).peekable();
        if named.peek().is_none() {
            return Ok(Err(format!("{from} has no key of that name")));
        }
        let found = named.find_map(|key| verify(card, claimed, key).ok());
        Ok(found.map(|reading| (from, reading)).ok_or_else(|| Refused::Wrong.to_string()))
    }
}

/// Where a signature says its key is, if keys from there prove anything: who can change the card must not be able to choose
/// the key as well. So it is the card's own origin, which the connection vouches for, or what the user trusts.
fn place(card: &Url, jku: Option<&str>, anywhere: bool) -> Result<Url, String> {
    let jku = jku.ok_or("the signature does not say where its key is; name a file with --key")?;
    let place = http::parse_url(jku)?;
    if anywhere {
        return Ok(place);
    }
    if place.origin() != card.origin() {
        return Err(format!(
            "its key is said to be at {place}, which is not where the card is; name the key with --key FILE, or trust \
             that address with --trust-jku"
        ));
    }
    if place.scheme() != "https" && !is_local(&place) {
        return Err(format!(
            "its key is said to be at {place}, and without https anybody on the way can change the card and the key; \
             name the key with --key FILE"
        ));
    }
    Ok(place)
}

fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(card: &str, jku: &str, anywhere: bool) -> bool {
        place(&Url::parse(card).unwrap(), Some(jku), anywhere).is_ok()
    }

    #[test]
    fn keys_are_taken_from_the_origin_of_the_card_or_where_the_user_says() {
        assert!(ok("https://a.example/x", "https://a.example/keys", false));
        assert!(ok("http://127.0.0.1:1/x", "http://127.0.0.1:1/keys", false));
        assert!(ok("http://[::1]:1/x", "http://[::1]:1/keys", false));
        for (card, jku) in [
            ("https://a.example/", "https://b.example/keys"),
            ("https://a.example/", "https://a.example:8443/keys"),
            ("https://a.example/", "http://a.example/keys"),
            ("https://a.example/", "https://a.example.evil.example/keys"),
            ("https://a.example/", "https://a.example@evil.example/keys"),
            ("http://a.example/", "http://a.example/keys"),
            ("http://127.0.0.1:1/", "http://127.0.0.1:2/keys"),
        ] {
            assert!(!ok(card, jku, false), "{card} {jku}");
            assert!(ok(card, jku, true), "{card} {jku}");
        }
        assert!(!ok("https://a.example/", "file:///etc/passwd", true));
        assert!(place(&Url::parse("https://a.example/").unwrap(), None, true).is_err());
    }
}
