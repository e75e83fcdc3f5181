use super::*;
use proptest::prelude::*;
use serde_json::value::RawValue;

/// What is cut out of the pieces.
fn splice<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Damage> {
    let mut splicer = Splicer::new(7);
    let mut result = Vec::new();
    for piece in pieces {
        let range = splicer.push(piece)?;
        result.extend_from_slice(&piece[range]);
    }
    splicer.finish()?;
    Ok(result)
}

/// What is cut out is the same wherever the text is cut. Of several damages any may be found first.
fn at_every_byte(text: &[u8]) -> Result<Vec<u8>, Damage> {
    let whole = splice([text]);
    for at in 0..=text.len() {
        let cut = splice([&text[..at], &text[at..]]);
        assert_eq!(cut.ok(), whole.clone().ok(), "cut at {at} of {}", String::from_utf8_lossy(text));
    }
    assert_eq!(splice(text.chunks(1)).ok(), whole.clone().ok());
    whole
}

#[test]
fn the_result_is_found_wherever_the_id_stands() {
    for (message, result) in [
        (
            r#"{"jsonrpc":"2.0","id":7,"result":{"a":[1.0,{"id":9}],"é":"\u00e9\"}"}}"#,
            r#"{"a":[1.0,{"id":9}],"é":"\u00e9\"}"}"#,
        ),
        (r#"{"result":{"result":{"id":8}},"id":7,"jsonrpc":"2.0"}"#, r#"{"result":{"id":8}}"#),
        (" { \"r\\u0065sult\" : { } , \"x\" : [ \"id\" ] , \"id\" : 7 } \r\n", "{ }"),
        (r#"{"id":7,"error":null,"result":12}"#, "12"),
        (r#"{"id":7,"result":12,"error":null}"#, "12"),
        (r#"{"id":7,"result":-0.5e+1 ,"x":null}"#, "-0.5e+1"),
        (r#"{"id":7,"result":"t"}"#, "\"t\""),
        (r#"{"id":7,"result":[true,false,null]}"#, "[true,false,null]"),
    ] {
        let found = at_every_byte(message.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(found).unwrap(), result, "{message}");
    }
}

#[test]
fn what_is_no_answer_of_ours_is_refused_wherever_it_is_cut() {
    for (message, damage) in [
        (r#"{"id":8,"result":{}}"#, Damage::Id),
        (r#"{"result":{},"id":"7"}"#, Damage::Id),
        (r#"{"result":{}}"#, Damage::Id),
        (r#"{"id":7,"error":{}}"#, Damage::Envelope),
        (r#"{"id":7,"result":{},"error":{}}"#, Damage::Envelope),
        (r#"{"id":7,"result":{},"result":{}}"#, Damage::Envelope),
        (r#"{"id":8,"result":{},"id":7}"#, Damage::Envelope),
        (r#"{"id":7,"result":{},"method":"m"}"#, Damage::Envelope),
        (r"[]", Damage::Envelope),
        (r"7", Damage::Envelope),
        (r#"{"id":7,"result":{}"#, Damage::Syntax),
        (r#"{"id":7,"result":{]}"#, Damage::Syntax),
        (r#"{"id":7,"result":[}]}"#, Damage::Syntax),
        (r#"{"id":7,"result":{}}{"#, Damage::Syntax),
        (r#"{"id":7,"result":{},}"#, Damage::Syntax),
        (r#"{"id":7,"result":01}"#, Damage::Syntax),
        ("{\"id\":7,\"result\":\"\n\"}", Damage::Syntax),
        (r#"{"id":7,"result":"\x"}"#, Damage::Syntax),
    ] {
        assert_eq!(at_every_byte(message.as_bytes()).unwrap_err(), damage, "{message}");
        assert_eq!(splice(message.as_bytes().chunks(1)).unwrap_err(), damage, "{message}");
    }
    assert_eq!(at_every_byte(b"{\"id\":7,\"result\":\"\xc3\"}").unwrap_err(), Damage::Syntax);
    let deep = format!(r#"{{"id":7,"result":{}"#, "[".repeat(MAX_DEPTH));
    assert_eq!(splice([deep.as_bytes()]).unwrap_err(), Damage::Depth);
}

#[test]
fn the_kind_is_known_when_the_result_begins() {
    let mut splicer = Splicer::new(7);
    splicer.push(br#"{"jsonrpc":"2.0","result"#).unwrap();
    assert_eq!(splicer.kind(), Kind::Undecided);
    let piece = br#"":{"content"#;
    assert_eq!(&piece[splicer.push(piece).unwrap()], br#"{"content"#);
    assert_eq!(splicer.kind(), Kind::Result);
    let mut splicer = Splicer::new(7);
    splicer.push(br#"{"method":"notifications/message","params":{"#).unwrap();
    assert_eq!(splicer.kind(), Kind::Other);
}

/// Any JSON value, as text with odd spaces.
fn json() -> impl Strategy<Value = String> {
    let space = prop::sample::select(vec!["", " ", "\t", "\r\n"]);
    let text = prop::string::string_regex(r#"([a-zé€😀{}\[\],:]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,8}"#)
        .unwrap()
        .boxed();
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        prop::string::string_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?").unwrap(),
        text.clone().prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let member = (text.clone(), space.clone(), inner.clone());
        let member = member.prop_map(|(name, space, value)| format!("\"{name}\"{space}:{space}{value}"));
        prop_oneof![
            (prop::collection::vec(inner, 0..5), space.clone())
                .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(","))),
            (prop::collection::vec(member, 0..5), space.clone())
                .prop_map(|(items, space)| format!("{{{space}{}{space}}}", items.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn any_result_comes_out_as_it_went_in(result in json(), other in json(), order in 0..6_usize) {
        let members = [r#""id":7"#.to_owned(), format!("\"result\" :{result}"), format!("\"other\":{other}")];
        let order = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]][order];
        let message = format!("{{{}}}", order.map(|at| members[at].as_str()).join(","));
        let found = at_every_byte(message.as_bytes()).unwrap();
        prop_assert_eq!(String::from_utf8(found).unwrap(), result);
    }

    #[test]
    fn what_is_taken_is_what_serde_takes(
        result in json(), at in any::<prop::sample::Index>(), byte in any::<u8>(), what in 0..3_u8,
    ) {
        let mut message = format!(r#"{{"id":7,"result":{result}}}"#).into_bytes();
        let at = at.index(message.len());
        match what {
            0 => message[at] = byte,
            1 => message.insert(at, byte),
            _ => drop(message.remove(at)),
        }
        let ours = at_every_byte(&message);
        let theirs = serde_json::from_slice::<&RawValue>(&message);
        match ours {
            Ok(_) | Err(Damage::Id | Damage::Envelope) => {
                // Of what is no answer, the rest was not read.
                prop_assert!(theirs.is_ok() || ours == Err(Damage::Envelope), "{:?}", ours);
            }
            Err(_) => prop_assert!(theirs.is_err(), "{ours:?}"),
        }
    }
}
