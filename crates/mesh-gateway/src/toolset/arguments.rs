//! The arguments of a call of a chosen tool: what the toolset fills in, and what it keeps back.

use crate::rejection::Rejection;
use crate::wire::object::RawObject;
use mesh_config::{Choice, Fill};

/// Fills in the arguments of a call. Members that the toolset says nothing of keep their text and their place.
pub(crate) fn fill(params: &mut RawObject<'_>, choice: &Choice) -> Result<(), Rejection> {
    if choice.arguments.values().all(|argument| argument.fill == Fill::Caller) {
        return Ok(());
    }
    let given = params.get("arguments").filter(|given| *given != "null").unwrap_or("{}");
    let mut arguments = RawObject::parse(given).map_err(|error| {
        Rejection::InvalidParams(format!("`params.arguments` must be an object: {error}"))
    })?;
    for (name, argument) in &choice.arguments {
        match &argument.fill {
            Fill::Fixed(value) => arguments.set(name, value.to_string()),
            Fill::Default(value) if arguments.get(name).is_none() => arguments.set(name, value.to_string()),
            Fill::Never => drop(arguments.take(name)),
            Fill::Default(_) | Fill::Caller => {}
        }
    }
    let filled = arguments.to_text();
    params.set("arguments", filled);
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn choice(text: &str) -> Choice {
        let text = format!(
            "tools: {{ crm: {{ url: \"http://x\" }} }}\ntoolsets: {{ kit: {{ tools: [{{ tool: crm/get, {text} }}] }} }}"
        );
        let options = mesh_config::LoadOptions::new(&|_| None);
        let mesh =
            mesh_config::parse(&text, "mesh.yaml", &options).unwrap_or_else(|report| panic!("{report}"));
        mesh.toolsets["kit"].tools[0].clone()
    }

    #[test]
    fn what_is_fixed_defaulted_and_kept_back_is_and_the_rest_keeps_its_text() {
        let choice = choice(
            r#"arguments: { region: { value: eu }, limit: { default: 10 }, debug: { hide: true }, id: { description: x } }"#,
        );
        let filled = |arguments: &str| {
            let text = format!(r#"{{"name":"x","arguments":{arguments},"more":1.0}}"#);
            let mut params = RawObject::parse(&text).unwrap();
            fill(&mut params, &choice).map(|()| params.get("arguments").unwrap().to_owned())
        };
        assert_eq!(
            filled(r#"{"region":"us","n":1.0,"debug":true,"limit":3,"big":12345678901234567890123}"#)
                .unwrap(),
            r#"{"region":"eu","n":1.0,"limit":3,"big":12345678901234567890123}"#
        );
        assert_eq!(filled("{}").unwrap(), r#"{"limit":10,"region":"eu"}"#);
        assert_eq!(filled("null").unwrap(), r#"{"limit":10,"region":"eu"}"#);
        for bad in ["[]", r#"{"region":1,"region":2}"#] {
            assert!(matches!(filled(bad), Err(Rejection::InvalidParams(_))), "{bad}");
        }
        let mut none = RawObject::parse(r#"{"name":"x"}"#).unwrap();
        fill(&mut none, &choice).unwrap();
        assert_eq!(none.get("arguments"), Some(r#"{"limit":10,"region":"eu"}"#));
    }
}
